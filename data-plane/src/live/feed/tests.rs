//! Streams that clients come back to.

use futures_util::{FutureExt as _, StreamExt as _};

use super::*;

fn text(event: &Bytes) -> String {
    String::from_utf8(event.to_vec()).unwrap()
}

#[tokio::test]
async fn a_client_that_comes_back_goes_on_where_it_stopped() {
    let feeds = Feeds::new(None);
    let feed = feeds.open();
    feed.push(b"one");
    feed.push(b"two");
    let mut first = Box::pin(feed.read(0));
    assert!(text(&first.next().await.unwrap()).contains("data: one"));
    feed.push(b"three");
    feed.close();
    let (again, seen) = feeds.resume("1-0").unwrap();
    let rest: Vec<_> = again.read(seen).map(|event| text(&event)).collect().await;
    assert_eq!(rest.len(), 2);
    assert!(
        rest[0].contains("data: two") && rest[0].contains("id: 1-1"),
        "{rest:?}"
    );
    assert!(
        first.next().await.is_none(),
        "the first connection reads no further"
    );
}

#[tokio::test]
async fn an_event_of_another_replica_leads_to_no_stream_but_the_standing_one() {
    let (here, there) = (ReplicaTag::of("here"), ReplicaTag::of("there"));
    let feeds = Feeds::new(Some(here));
    feeds.open().push(b"answer");
    feeds.standing().push(b"news");
    assert!(feeds.resume(&format!("1-0-{here}")).is_some());
    for id in [format!("1-0-{there}"), "1-0".to_owned(), "1-0-x".to_owned()] {
        assert!(feeds.resume(&id).is_none(), "{id}");
    }
    let (standing, seen) = feeds.resume(&format!("0-7-{there}")).unwrap();
    let event = Box::pin(standing.read(seen)).next().await.unwrap();
    assert!(
        text(&event).contains(&format!("id: 0-0-{here}")),
        "{event:?}"
    );
    assert_eq!(replica_of_stream(&format!("1-0-{there}")), Some(there));
    assert_eq!(replica_of_stream(&format!("0-7-{there}")), None);
}

#[tokio::test]
async fn a_reader_waits_for_what_is_to_come() {
    let feeds = Feeds::new(None);
    let mut reader = Box::pin(feeds.standing().read(0));
    assert!(reader.next().now_or_never().is_none());
    feeds.standing().push(b"news");
    assert!(text(&reader.next().await.unwrap()).contains("news"));
    feeds.close();
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn nothing_is_lost_to_a_reader_that_is_slow() {
    const COUNT: usize = 3 * KEPT_EVENTS;
    let feeds = Feeds::new(None);
    let feed = feeds.open();
    let reader = feed.read(0);
    let writing = async {
        for number in 0..COUNT {
            feed.deliver(number.to_string().as_bytes()).await;
        }
        feed.close();
    };
    let ((), read) = tokio::join!(writing, reader.count());
    assert_eq!(read, COUNT);
}

#[tokio::test]
async fn nobody_waits_for_a_reader_that_is_gone() {
    let feed = Feeds::new(None).open();
    drop(feed.read(0));
    for _ in 0..=KEPT_EVENTS {
        feed.deliver(b"x").await;
    }
    assert_eq!(feed.kept.lock().unwrap().events.len(), KEPT_EVENTS);
}

#[test]
fn memory_is_bounded_and_ids_of_others_lead_nowhere() {
    let feeds = Feeds::new(None);
    for _ in 0..3 {
        feeds.standing().push(&vec![b'x'; KEPT_BYTES / 2]);
    }
    assert!(feeds.standing().kept.lock().unwrap().events.len() <= 2);
    for id in ["", "7", "7-0", "1-0", "x-y", "1--1"] {
        assert!(feeds.resume(id).is_none(), "{id}");
    }
    for _ in 0..100 {
        feeds.open().close();
    }
    assert!(feeds.recent.lock().unwrap().len() <= KEPT_FEEDS);
}
