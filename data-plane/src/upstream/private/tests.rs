//! Tests of the connections that not everybody shares.

use gateway_core::Deadline;
use gateway_mcp::client::{ChildCommand, ClientHello};
use gateway_mcp::version::Era;

use super::*;
use crate::upstream::authorization::UserCredential;

/// A child that greets and then reads until its input ends, or ends with its first line.
async fn connect(then: &str) -> Result<Peer, ClientError> {
    let greeting = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}"#;
    let mut command = ChildCommand::new("test", "sh");
    let script = format!("read line; echo '{greeting}'; {then}");
    command.args = vec!["-c".to_owned(), script];
    let hello = ClientHello {
        name: "test".to_owned(),
        version: "1".to_owned(),
        capabilities: "{}".to_owned(),
        legacy_version: Version::LATEST_LEGACY,
    };
    let deadline = Deadline::after(Duration::from_secs(30));
    Peer::spawn(command, hello, Some(Era::Legacy), deadline).await
}

const STAYS: &str = "cat >&2";

fn key(session: u128) -> SessionKey {
    SessionKey {
        context: AuthorizationContext::GATEWAY,
        user: Some("ada".parse().unwrap()),
        session: Some(SessionId::from_u128(session)),
        version: Version::LATEST_LEGACY,
        callbacks: Callbacks::default(),
    }
}

/// What a user with this credential has in common with all of the user's sessions.
fn common(user: &str, credential: &str) -> SessionKey {
    let given = vec![("authorization".to_owned(), credential.into())];
    let credential = UserCredential::as_headers(given).unwrap();
    let user = user.parse().unwrap();
    SessionKey::common(&AuthorizationContext::of_user(
        &user,
        Some(credential),
        None,
    ))
}

fn peers_of(quota: &Arc<Quota>) -> Arc<PrivatePeers> {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    PrivatePeers::new(quota, None, &tasks, &stop)
}

async fn get(peers: &Arc<PrivatePeers>, key: &SessionKey, then: &str) -> Arc<Peer> {
    let connected = peers.get_or_connect(key, || connect(then)).await;
    connected.unwrap().0
}

#[tokio::test]
async fn those_who_want_the_same_connection_at_once_get_one() {
    let peers = peers_of(&Arc::default());
    let (one, other) = (key(1), key(1));
    let (one, other) = tokio::join!(get(&peers, &one, STAYS), get(&peers, &other, STAYS),);
    assert!(Arc::ptr_eq(&one, &other));
    let third = get(&peers, &key(2), STAYS).await;
    assert!(!Arc::ptr_eq(&one, &third));
}

#[tokio::test]
async fn only_the_connection_that_was_lost_is_given_up() {
    let peers = peers_of(&Arc::default());
    let lost = get(&peers, &key(1), STAYS).await;
    peers.give_up(&key(1), &lost);
    let next = get(&peers, &key(1), STAYS).await;
    assert!(!Arc::ptr_eq(&lost, &next));
    // Another request notices the same loss, late.
    peers.give_up(&key(1), &lost);
    let kept = get(&peers, &key(1), STAYS).await;
    assert!(Arc::ptr_eq(&next, &kept));
}

#[tokio::test]
async fn a_child_that_has_ended_is_replaced() {
    let peers = peers_of(&Arc::default());
    let ended = get(&peers, &key(1), "read line").await;
    ended.closed().await;
    let next = get(&peers, &key(1), STAYS).await;
    assert!(!Arc::ptr_eq(&ended, &next));
}

#[tokio::test]
async fn what_is_not_used_for_long_ends() {
    let peers = peers_of(&Arc::default());
    let connected = peers.get_or_connect(&key(1), || connect(STAYS)).await;
    let peer = Arc::downgrade(&connected.unwrap().0);
    peers.let_go_of_unused(Instant::now());
    assert!(peer.upgrade().is_some());
    peers.let_go_of_unused(Instant::now() + IDLE);
    assert!(peer.upgrade().is_none(), "nothing holds it any more");
}

#[tokio::test]
async fn everything_has_ended_once_it_was_told_to_stop() {
    let peers = peers_of(&Arc::default());
    let peer = get(&peers, &key(1), STAYS).await;
    let stop = CancellationToken::new();
    stop.cancel();
    Arc::clone(&peers).tend(stop).await;
    assert!(peer.closed().now_or_never().is_some());
}

#[tokio::test]
async fn a_changed_credential_lets_go_of_what_its_user_has_and_of_nothing_else() {
    let peers = peers_of(&Arc::default());
    let old = Arc::downgrade(&get(&peers, &common("ada", "1"), STAYS).await);
    let in_use = {
        let mut key = key(1);
        key.context = common("ada", "1").context;
        get(&peers, &key, STAYS).await
    };
    let other = get(&peers, &common("eve", "1"), STAYS).await;
    drop(get(&peers, &common("ada", "2"), STAYS).await);
    assert!(old.upgrade().is_none(), "nothing holds it any more");
    assert!(in_use.closed().now_or_never().is_none(), "it is drained");
    assert_eq!(peers.count(), 2);
    let kept = get(&peers, &common("eve", "1"), STAYS).await;
    assert!(Arc::ptr_eq(&other, &kept));
}

#[tokio::test]
async fn space_is_made_by_ending_what_is_idle_for_longest() {
    let peers = peers_of(&Arc::new(Quota::new(2, 100)));
    let oldest = Arc::downgrade(&get(&peers, &key(1), STAYS).await);
    let in_use = get(&peers, &key(2), STAYS).await;
    drop(get(&peers, &key(3), STAYS).await);
    assert!(oldest.upgrade().is_none());
    let kept = get(&peers, &key(2), STAYS).await;
    assert!(Arc::ptr_eq(&in_use, &kept));
}

#[tokio::test]
async fn one_more_than_may_be_in_use_is_refused_with_the_number() {
    let peers = peers_of(&Arc::new(Quota::new(2, 100)));
    let in_use = (
        get(&peers, &key(1), STAYS).await,
        get(&peers, &key(2), STAYS).await,
    );
    let refusal = peers.get_or_connect(&key(3), || connect(STAYS)).await;
    let refusal = refusal.unwrap_err().to_string();
    assert!(
        refusal.contains("all 2 sessions that one server"),
        "{refusal}"
    );
    drop(in_use);
    get(&peers, &key(3), STAYS).await;
    assert_eq!(peers.count(), 2);
}

#[tokio::test]
async fn a_tenants_servers_make_space_for_each_other() {
    let quota = Arc::new(Quota::new(10, 2));
    let (one, other) = (peers_of(&quota), peers_of(&quota));
    drop(get(&one, &key(1), STAYS).await);
    let in_use = get(&one, &key(2), STAYS).await;
    let further = get(&other, &key(1), STAYS).await;
    assert_eq!((one.count(), other.count()), (1, 1));
    let refusal = other.get_or_connect(&key(2), || connect(STAYS)).await;
    let refusal = refusal.unwrap_err().to_string();
    assert!(refusal.contains("servers of one tenant"), "{refusal}");
    drop((in_use, further));
}

#[tokio::test]
async fn what_could_not_be_connected_holds_no_space() {
    let peers = peers_of(&Arc::new(Quota::new(1, 1)));
    let wanted = key(1);
    let failed = peers.get_or_connect(&wanted, || async {
        let server = "test".into();
        Err(ClientError::DeadlineExceeded { server, sent: true })
    });
    failed.await.unwrap_err();
    get(&peers, &key(2), STAYS).await;
}

#[tokio::test]
async fn what_is_in_use_or_listened_to_is_not_idle() {
    let peers = peers_of(&Arc::default());
    let in_use = get(&peers, &key(1), STAYS).await;
    let listened = get(&peers, &key(2), STAYS).await;
    let changes = watch::Sender::new(Changes::default());
    let listener = changes.subscribe();
    let heard = Heard {
        changes,
        _until: CancellationToken::new().drop_guard(),
    };
    peers.hold(&key(2), &listened, heard);
    drop(listened);
    let late = Instant::now() + IDLE;
    peers.let_go_of_unused(late);
    assert_eq!(peers.count(), 2);
    drop((in_use, listener));
    peers.let_go_of_unused(late + SWEEP);
    assert_eq!(peers.count(), 2, "their time begins now");
    peers.let_go_of_unused(late + IDLE);
    assert_eq!(peers.count(), 0);
}
