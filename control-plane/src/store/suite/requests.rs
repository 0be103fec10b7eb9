//! Requests that may come again.

use super::*;

fn request(author: &str, id: &str, fingerprint: &[u8]) -> RequestRecord {
    RequestRecord {
        author: author.to_owned(),
        id: id.to_owned(),
        fingerprint: fingerprint.to_vec(),
        created_at: "2026-11-22T10:00:00Z".parse().unwrap(),
    }
}

pub(in crate::store) async fn a_request_is_kept_with_what_it_led_to(store: Arc<dyn Store>) {
    let first = request("ada", "1", b"x");
    assert_eq!(store.answered(&first).await.unwrap(), None);
    let by = |change: NewRevision, request: &RequestRecord| NewRevision {
        request: Some(request.clone()),
        ..change
    };
    let made = store.write(by(change("acme", 0, "a"), &first)).await;
    assert_eq!(made.unwrap(), Revision(1));
    let answered = |revision, based_on: u64, changed| Answered {
        revision: Revision(revision),
        based_on: Some(Revision(based_on)).filter(|revision| revision.0 > 0),
        changed,
    };
    let found = store.answered(&first).await.unwrap();
    assert_eq!(found, Some((true, answered(1, 0, true))));
    let other = store.answered(&request("ada", "1", b"y")).await.unwrap();
    assert_eq!(other, Some((false, answered(1, 0, true))));
    // The ids of another caller are others.
    let other = store.answered(&request("bob", "1", b"x")).await.unwrap();
    assert_eq!(other, None);

    let nothing = request("ada", "2", b"z");
    store
        .remember(&nothing, &answered(1, 1, false))
        .await
        .unwrap();
    let found = store.answered(&nothing).await.unwrap();
    assert_eq!(found, Some((true, answered(1, 1, false))));
    let removing = request("ada", "3", b"r");
    let removed = NewRemoval {
        request: Some(removing.clone()),
        ..removal("acme", 1)
    };
    store.remove(removed).await.unwrap();
    let found = store.answered(&removing).await.unwrap();
    assert_eq!(found, Some((true, answered(1, 1, true))));

    // After a day the id is free again.
    let later = RequestRecord {
        created_at: "2026-11-23T10:00:01Z".parse().unwrap(),
        ..first
    };
    assert_eq!(store.answered(&later).await.unwrap(), None);
    let made = store.write(by(change("acme", 0, "b"), &later)).await;
    assert_eq!(made.unwrap(), Revision(2));
}

pub(in crate::store) async fn a_request_that_came_before_changes_nothing(store: Arc<dyn Store>) {
    let twice = || NewRevision {
        request: Some(request("ada", "1", b"x")),
        ..change("acme", 0, "a")
    };
    store.write(twice()).await.unwrap();
    let again = NewRevision {
        expected: Some(Revision(1)),
        ..twice()
    };
    let again = store.write(again).await.unwrap_err();
    assert!(matches!(again, WriteError::Repeated), "{again:?}");
    let removed = NewRemoval {
        request: Some(request("ada", "1", b"x")),
        ..removal("acme", 1)
    };
    let removed = store.remove(removed).await.unwrap_err();
    assert!(matches!(removed, WriteError::Repeated), "{removed:?}");
    assert_eq!(current(&*store, "acme").await.unwrap().0, 1);
    assert_eq!(store.heads_since(0).await.unwrap().sequence, 1);
}
