//! Session ids: what they hold, and for whom they open.

use super::*;

fn begin(sessions: &Sessions, tenant: &str) -> (Session, String) {
    let user = "ada".parse().unwrap();
    let version = Version::V2025_11_25;
    let callbacks = Callbacks::of(r#"{"roots":{"listChanged":true}}"#, version);
    let tenant = tenant.parse().unwrap();
    sessions.begin(&tenant, user, version, callbacks).unwrap()
}

fn find(sessions: &Sessions, tenant: &str, token: &str) -> Option<Session> {
    sessions.find(&tenant.parse().unwrap(), token)
}

#[test]
fn keeps_what_a_client_can_be_asked_for_as_it_says_it() {
    let declared = r#"{"x":{"sampling":{}},"roots":{"listChanged":true},"elicitation":{"url":{}}}"#;
    let callbacks = |text: &str| Callbacks::of(text, Version::V2025_06_18);
    assert_eq!(
        callbacks(declared).as_json(),
        r#"{"elicitation":{"url":{}},"roots":{"listChanged":true}}"#
    );
    let early = Callbacks::of(declared, Version::V2025_03_26);
    assert_eq!(early.as_json(), r#"{"roots":{"listChanged":true}}"#);
    assert!(callbacks("7").is_empty() && callbacks("{}").is_empty());
    let long = format!(r#"{{"sampling":{{"x":"{}"}}}}"#, "y".repeat(1000));
    assert_eq!(callbacks(&long).as_json(), r#"{"sampling":{}}"#);
}

#[test]
fn an_id_holds_its_session() {
    let sessions = Sessions::new(SessionKeys::random().unwrap(), "one");
    let (session, token) = begin(&sessions, "acme");
    assert_eq!(find(&sessions, "acme", &token), Some(session));
    assert!(
        token.bytes().all(|b| (0x21..=0x7e).contains(&b)),
        "visible ASCII only"
    );
}

#[test]
fn an_id_says_where_its_session_is_at_home() {
    let sessions = Sessions::new(SessionKeys::random().unwrap(), "one");
    let (session, _) = begin(&sessions, "acme");
    assert_eq!(session.home, Some(ReplicaTag::of("one")));
    assert_ne!(session.home, Some(ReplicaTag::of("two")));
}

#[test]
fn an_id_of_the_format_without_a_home_still_opens() {
    let sessions = Sessions::new(SessionKeys::random().unwrap(), "one");
    let (session, _) = begin(&sessions, "acme");
    let session = Session {
        home: None,
        ..session
    };
    let token = seal_without_home(&sessions, &"acme".parse().unwrap(), &session);
    assert_eq!(find(&sessions, "acme", &token), Some(session));
    assert_eq!(find(&sessions, "rival", &token), None);
}

/// As versions before homes did it.
fn seal_without_home(sessions: &Sessions, tenant: &TenantId, session: &Session) -> String {
    let mut sealed = session.id.as_bytes().to_vec();
    sealed.extend_from_slice(&latest_end().to_be_bytes());
    for text in [session.version.as_str(), session.user.as_str()] {
        sealed.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        sealed.extend_from_slice(text.as_bytes());
    }
    sealed.extend_from_slice(session.callbacks.0.as_bytes());
    let keys = sessions.keys.load();
    let key = keys.current();
    let bound = [b"mcp session ", &key.id()[..], tenant.as_str().as_bytes()].concat();
    let cipher = key.for_tenant(tenant).unwrap();
    let nonce = cipher.seal_in_place_append_tag(Aad::from(bound), &mut sealed);
    let nonce = nonce.unwrap();
    URL_SAFE_NO_PAD.encode([&[2], &key.id()[..], nonce.as_ref(), &sealed].concat())
}

#[test]
fn another_tenant_finds_nothing() {
    let sessions = Sessions::new(SessionKeys::random().unwrap(), "one");
    let (_, token) = begin(&sessions, "acme");
    assert_eq!(find(&sessions, "rival", &token), None);
}

#[test]
fn an_id_of_another_key_is_unknown() {
    let (_, token) = begin(
        &Sessions::new(SessionKeys::random().unwrap(), "one"),
        "acme",
    );
    assert_eq!(
        find(
            &Sessions::new(SessionKeys::random().unwrap(), "one"),
            "acme",
            &token
        ),
        None
    );
}

#[test]
fn an_ended_session_is_unknown() {
    let sessions = Sessions::new(SessionKeys::random().unwrap(), "one");
    let (session, token) = begin(&sessions, "acme");
    sessions.end(session.id);
    assert_eq!(find(&sessions, "acme", &token), None);
}

#[test]
fn what_ended_elsewhere_is_unknown_here_and_told_on_until_it_has_expired() {
    let keys = SessionKeys::random().unwrap();
    let (one, two) = (
        Sessions::new(keys.clone(), "one"),
        Sessions::new(keys, "two"),
    );
    let (session, token) = begin(&one, "acme");
    assert_eq!(find(&two, "acme", &token), Some(session.clone()));
    two.remember_ended(session.id, one.end(session.id));
    two.remember_ended(SessionId::new_v4(), 7);
    assert_eq!(find(&two, "acme", &token), None);
    let told: Vec<_> = two.ended().map(|(session, _)| session).collect();
    assert_eq!(told, [session.id]);
}

#[test]
fn no_byte_of_an_id_can_be_changed() {
    let sessions = Sessions::new(SessionKeys::random().unwrap(), "one");
    let (_, token) = begin(&sessions, "acme");
    let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    for index in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[index] ^= 1;
        assert_eq!(
            find(&sessions, "acme", &URL_SAFE_NO_PAD.encode(forged)),
            None,
            "{index}"
        );
    }
    assert_eq!(find(&sessions, "acme", ""), None);
    assert_eq!(
        find(&sessions, "acme", token.split_at(token.len() / 2).0),
        None
    );
}

#[test]
fn keys_are_replaced_while_sessions_go_on() {
    let (old, new) = (
        SessionKeys::random().unwrap(),
        SessionKeys::random().unwrap(),
    );
    let sessions = Sessions::new(old.clone(), "one");
    let (_, before) = begin(&sessions, "acme");
    sessions.replace_keys(Arc::new(new.clone().and_older(&old)));
    let (_, after) = begin(&sessions, "acme");
    assert!(find(&sessions, "acme", &before).is_some(), "all keys open");
    assert!(find(&sessions, "acme", &after).is_some());
    let elsewhere = Sessions::new(new.clone(), "one");
    assert!(
        find(&elsewhere, "acme", &after).is_some(),
        "the first seals"
    );
    sessions.replace_keys(Arc::new(new));
    assert_eq!(find(&sessions, "acme", &before), None);
}

#[test]
fn of_too_many_ended_sessions_the_latest_are_remembered() {
    let ended = tombstones(10);
    for number in 0..100 {
        let session = SessionId::from_u128(number);
        ended.insert(session, 0);
        ended.run_pending_tasks();
        assert!(ended.contains_key(&session), "{number} was just ended");
    }
}
