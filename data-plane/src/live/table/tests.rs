use std::sync::{Arc, Weak};

use super::super::LiveSessions;
use super::*;

fn id(number: u128) -> SessionId {
    SessionId::from_u128(number)
}

fn is_gone(live: &Weak<LiveSession>) -> bool {
    live.upgrade().is_none()
}

#[tokio::test]
async fn a_session_that_keeps_nothing_leaves_only_its_entry_behind() {
    let sessions = LiveSessions::default();
    let live = sessions.of(None, id(1));
    let again = sessions.of(None, id(1));
    assert!(
        Arc::ptr_eq(&live, &again),
        "two requests at once share their session"
    );
    let weak = Arc::downgrade(&live);
    drop(live);
    assert!(!is_gone(&weak));
    drop(again);
    assert!(is_gone(&weak) && sessions.find(id(1)).is_none());
    assert_eq!(sessions.count(), 1, "it was used");
    let entries = sessions.table.lock();
    let Live::Used(left) = &entries.by_id[&id(1)].live else {
        panic!("nothing is kept of it")
    };
    assert!(left.ptr_eq(&Weak::new()), "its memory is given back");
    drop(entries);
    assert!(
        sessions.of(None, id(1)).level().is_none(),
        "it can be used again"
    );
}

#[tokio::test]
async fn what_a_session_keeps_outlasts_its_users() {
    let sessions = LiveSessions::default();
    sessions.of(None, id(1)).set_level("\"debug\"");
    assert_eq!(*sessions.of(None, id(1)).level().unwrap(), "\"debug\"");
    let feed = Arc::clone(sessions.of(None, id(2)).keep().feeds.standing());
    let found = sessions.of(None, id(2));
    assert!(Arc::ptr_eq(&feed, found.keep().feeds.standing()));
    assert!(
        sessions.of(None, id(3)).kept().is_none(),
        "it is another one"
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_expires_and_what_is_in_use_does_not() {
    let sessions = LiveSessions::default();
    let used = sessions.of(None, id(1));
    used.set_level("\"info\"");
    sessions.of(None, id(2)).set_level("\"info\"");
    sessions.of(None, id(3));
    tokio::time::sleep(IDLE / 2).await;
    sessions.of(None, id(4));
    assert_eq!(sessions.count(), 4);
    tokio::time::sleep(IDLE / 2).await;
    assert_eq!(sessions.count(), 2);
    assert!(Arc::ptr_eq(&used, &sessions.of(None, id(1))));
    assert!(sessions.of(None, id(2)).level().is_none());
    drop(used);
    tokio::time::sleep(IDLE * 2).await;
    sessions.of(None, id(5));
    assert_eq!(sessions.count(), 1, "one request makes way for all");
}

#[tokio::test]
async fn an_ended_session_starts_nothing_more() {
    let sessions = LiveSessions::default();
    let under_way = sessions.of(None, id(1));
    sessions.end(id(1));
    assert!(sessions.find(id(1)).is_none());
    under_way.set_level("\"info\"");
    let weak = Arc::downgrade(&under_way);
    drop(under_way);
    assert!(is_gone(&weak) && sessions.count() == 0);
}

#[tokio::test(start_paused = true)]
async fn those_unused_for_longest_make_room() {
    let sessions = LiveSessions::default();
    let used = sessions.of(None, id(0));
    for number in 1..MOST as u128 {
        sessions.of(None, id(number));
        if number.is_multiple_of(1000) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(sessions.count(), MOST);
    sessions.of(None, id(1));
    sessions.of(None, id(MOST as u128));
    let count = sessions.count();
    assert!(count < MOST && count > MOST - 2 * MAKING_ROOM, "{count}");
    let entries = sessions.table.lock();
    assert!(entries.by_id.contains_key(&id(0)), "it is in use");
    assert!(!entries.by_id.contains_key(&id(2)));
    assert!(entries.by_id.contains_key(&id(MOST as u128 - 1)));
    drop((entries, used));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_opens_ever_more_sessions_takes_nothing_from_others() {
    let (sessions, quiet, loud) = (LiveSessions::default(), tenant("quiet"), tenant("loud"));
    const QUIET: u128 = 1_000;
    for number in 0..QUIET {
        sessions.of(&quiet, id(number)).set_level("\"debug\"");
    }
    // Theirs are unused for longer than any of the other tenant's.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for number in QUIET..2 * MOST as u128 {
        sessions.of(&loud, id(number)).set_level("\"debug\"");
    }
    for number in 0..QUIET {
        let live = sessions.find(id(number)).unwrap();
        assert_eq!(*live.level().unwrap(), "\"debug\"", "{number}");
    }
    assert!(sessions.count() <= MOST);
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}
