//! Tests of what requests get of a connection that was given up.

use gateway_mcp::client::{ChildCommand, ClientHello};
use gateway_mcp::version::Era;

use super::*;

/// A connection to a child that greets, and then reads until its input ends.
async fn connection() -> Connection {
    let greeting = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}"#;
    let mut command = ChildCommand::new("test", "sh");
    let script = format!("read line; echo '{greeting}'; cat >&2");
    command.args = vec!["-c".to_owned(), script];
    let hello = ClientHello {
        name: "test".to_owned(),
        version: "1".to_owned(),
        capabilities: "{}".to_owned(),
        legacy_version: Version::LATEST_LEGACY,
    };
    let deadline = Deadline::after(Duration::from_secs(30));
    let peer = Peer::spawn(command, hello, Some(Era::Legacy), deadline).await;
    Connection {
        peer: Arc::new(peer.unwrap()),
        lost: CancellationToken::new(),
    }
}

fn links(now: Link) -> (watch::Sender<Link>, Links) {
    let (state, link) = watch::channel(now);
    let links = Links {
        state: link,
        changes: watch::Sender::default(),
        wanted: Arc::default(),
        last_outage: Arc::default(),
        sleeper: Arc::new(Sleeper {
            is_asleep: AtomicBool::new(false),
            supervisor: None.into(),
            tasks: TaskTracker::new(),
        }),
    };
    (state, links)
}

#[tokio::test]
async fn who_gives_a_connection_up_gets_the_next_one() {
    let (first, next) = (connection().await, connection().await);
    let (state, links) = links(Link::Ready(first.clone()));
    links.give_up(&first.peer);

    // The supervisor has not noticed yet.
    let soon = Duration::from_secs(30);
    let (ready, ready_soon, ()) = tokio::join!(
        links.ready(Deadline::after(soon)),
        links.ready_soon(soon),
        async {
            state.send_replace(Link::Starting(Instant::now()));
            tokio::task::yield_now().await;
            state.send_replace(Link::Ready(next.clone()));
        }
    );
    assert!(Arc::ptr_eq(&ready.unwrap(), &next.peer));
    assert!(Arc::ptr_eq(&ready_soon.unwrap(), &next.peer));
}
