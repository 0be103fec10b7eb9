//! What control planes tell each other of their replicas.

use super::*;
use crate::store::{Announcement, Other};

fn announcement(id: &str, version: u64, replicas: &[(&str, Option<&str>)]) -> Announcement {
    let replicas = replicas.iter();
    Announcement {
        id: id.to_owned(),
        name: format!("plane {id}"),
        sequence: version * 10,
        version,
        replicas: replicas
            .map(|(name, told)| ((*name).to_owned(), told.map(str::to_owned)))
            .collect(),
        replaces: Vec::new(),
    }
}

fn other(id: &str, version: u64, replicas: &[(&str, Option<&str>)]) -> Other {
    let Announcement {
        id,
        name,
        sequence,
        version,
        replicas,
        replaces: _,
    } = announcement(id, version, replicas);
    Other {
        id,
        name,
        sequence,
        version,
        replicas,
    }
}

async fn others(store: &PostgresStore, known: &[(&str, u64)]) -> Vec<Other> {
    let known: Vec<_> = known
        .iter()
        .map(|(id, at)| ((*id).to_owned(), *at))
        .collect();
    store.others("own", &known).await.unwrap()
}

#[tokio::test]
async fn what_is_told_of_replicas_is_read_once_and_then_what_changes() {
    let (one, two) = open_two().await;
    let first = announcement("a", 1, &[("r1", Some("x")), ("r2", Some("y"))]);
    assert!(one.announce(&first).await.unwrap());
    assert!(
        one.announce(&announcement("own", 1, &[("r3", Some("z"))]))
            .await
            .unwrap()
    );
    let expected = other("a", 1, &[("r1", Some("x")), ("r2", Some("y"))]);
    assert_eq!(others(&two, &[]).await, std::slice::from_ref(&expected));
    assert_eq!(others(&two, &[("a", 1)]).await, [other("a", 1, &[])]);

    let changed = announcement("a", 2, &[("r1", None), ("r3", Some("z"))]);
    assert!(one.announce(&changed).await.unwrap());
    let news = other("a", 2, &[("r1", None), ("r3", Some("z"))]);
    let mut read = others(&two, &[("a", 1), ("gone", 7)]).await;
    read[0].replicas.sort();
    assert_eq!(read, [news]);
    one.leave("a").await.unwrap();
    assert_eq!(others(&two, &[("a", 2)]).await, []);
    // Nothing of it is left to be told again.
    assert!(
        !one.announce(&announcement("a", 3, &[("r1", Some("x"))]))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn who_has_told_nothing_for_some_time_is_not_there() {
    let store = open_url(&new_database()).await.unwrap();
    let told = announcement("a", 1, &[("r1", Some("x"))]);
    store.announce(&told).await.unwrap();
    let later = async |seconds: u32| {
        let statement = "UPDATE control_planes SET seen_at = now() - make_interval(secs => $1)";
        let update = sqlx::query(statement).bind(f64::from(seconds));
        update.execute(&store.pool).await.unwrap();
    };
    later(14).await;
    assert_eq!(others(&store, &[]).await.len(), 1);
    later(16).await;
    assert_eq!(others(&store, &[]).await, []);
    // It has only been away.
    assert!(store.announce(&announcement("a", 2, &[])).await.unwrap());
    assert_eq!(others(&store, &[]).await.len(), 1);
    later(3601).await;
    store.announce(&announcement("b", 1, &[])).await.unwrap();
    assert!(!store.announce(&announcement("a", 3, &[])).await.unwrap());
}

#[tokio::test]
async fn who_begins_anew_takes_away_what_it_was() {
    let store = open_url(&new_database()).await.unwrap();
    let first = announcement("a", 1, &[("r1", Some("x"))]);
    store.announce(&first).await.unwrap();
    // As when the answer to it was lost.
    assert!(!store.announce(&first).await.unwrap());
    let anew = Announcement {
        replaces: vec!["a".to_owned()],
        ..announcement("b", 1, &[("r1", Some("y"))])
    };
    assert!(store.announce(&anew).await.unwrap());
    let expected = other("b", 1, &[("r1", Some("y"))]);
    assert_eq!(others(&store, &[("a", 1)]).await, [expected]);
}

#[tokio::test]
async fn others_hear_that_something_was_told() {
    let (one, two) = open_two().await;
    let mut listener = two.listener().unwrap();
    assert_eq!(listener.next().await, News::Unknown);
    one.announce(&announcement("a", 1, &[])).await.unwrap();
    assert_eq!(listener.next().await, News::Replicas);
    one.leave("a").await.unwrap();
    assert_eq!(listener.next().await, News::Replicas);
}
