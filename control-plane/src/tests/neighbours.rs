//! Control planes on one PostgreSQL: each answers for the replicas of all.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_core::Revision;

use super::harness::{Memory, Plane, Replica};
use super::{at_once, soon, tenant, violation};
use crate::push::{Feed, Hello, Seat};
use crate::store::new_database;
use crate::{Scope, Verdict, VerdictError};

async fn two() -> (Plane, Plane) {
    two_on(&new_database()).await
}

async fn two_on(url: &str) -> (Plane, Plane) {
    let (one, two) = tokio::join!(Plane::start_at("one", url), Plane::start_at("two", url));
    (one, two)
}

/// The connected replicas and their control planes, as a control plane has them.
fn seen(plane: &Plane) -> Vec<String> {
    let replicas = plane.control_plane.replicas().into_iter();
    let named = replicas.map(|one| format!("{}@{}", one.replica, one.control_plane));
    named.collect()
}

async fn until_seen(plane: &Plane, expected: &[&str]) {
    plane.until(|| seen(plane) == expected).await;
}

#[tokio::test]
async fn a_verdict_waits_for_the_replicas_of_all_control_planes() {
    let (one, two) = two().await;
    let mut near = Replica::reachable(&one, "near", "near.example:8815").await;
    let mut far = Replica::reachable(&two, "far", "far.example:8815").await;
    let both = ["far", "near"].map(|name| (name.to_owned(), format!("{name}.example:8815")));
    for replica in [&mut near, &mut far] {
        // Each is told of the other, wherever that is connected.
        while replica.take().await.peers.as_deref() != Some(&both) {}
    }
    for plane in [&one, &two] {
        until_seen(plane, &["far@two", "near@one"]).await;
    }
    let addresses = one.control_plane.replicas().into_iter();
    let addresses: Vec<_> = addresses.filter_map(|one| one.advertise).collect();
    assert_eq!(addresses, ["far.example:8815", "near.example:8815"]);

    let revision = one.apply("acme", "one").await;
    near.take().await;
    let batch = far.next().await;
    let early = one.verdict("acme", revision, at_once()).await;
    let waiting_for = vec!["far".to_owned()];
    assert_eq!(early, Err(VerdictError::Unanswered { waiting_for }));
    let (verdict, ()) = tokio::join!(
        one.verdict("acme", revision, soon()),
        far.acknowledge(&batch)
    );
    assert_eq!(verdict, Ok(Verdict::InForce));
    let status = one.status("far", "acme");
    assert_eq!(
        (status.delivered, status.in_force),
        (Some(revision), Some(revision))
    );
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_refusal_at_another_control_plane_is_told_with_its_reasons() {
    let (one, two) = two().await;
    let mut far = Replica::synced(&two, "far").await;
    let good = one.apply("acme", "good").await;
    far.take().await;
    assert_eq!(
        one.verdict("acme", good, soon()).await,
        Ok(Verdict::InForce)
    );
    let bad = one.apply("acme", "bad").await;
    let batch = far.next().await;
    far.refuse(&batch, "acme", bad, violation()).await;
    let verdict = one.verdict("acme", bad, soon()).await;
    assert_eq!(verdict, Ok(Verdict::Refused(vec![violation()])));
    let status = one.status("far", "acme");
    assert_eq!((status.desired, status.delivered), (Some(bad), Some(bad)));
    assert_eq!(status.in_force, Some(good));
    assert_eq!(status.refusal.unwrap().violations, [violation()]);

    let mended = two.apply("acme", "mended").await;
    far.take().await;
    let hub = &one.control_plane.hub;
    one.until(|| hub.current(&tenant("acme")) == Some(mended))
        .await;
    let verdict = one.verdict("acme", mended, soon()).await;
    assert_eq!(verdict, Ok(Verdict::InForce));
    assert_eq!(one.status("far", "acme").refusal, None);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_replica_that_goes_from_one_to_the_other_counts_once_where_it_connected_last() {
    let (one, two) = two().await;
    let revision = one.apply("acme", "one").await;
    let first = Replica::synced(&one, "edge").await;
    until_seen(&two, &["edge@one"]).await;
    // The stream of before is not seen to end, as when a machine is gone.
    let _second = Replica::synced(&two, "edge").await;
    until_seen(&one, &["edge@two"]).await;
    assert_eq!(seen(&two), ["edge@two"]);
    assert_eq!(
        one.verdict("acme", revision, soon()).await,
        Ok(Verdict::InForce)
    );
    let _: Memory = first.disconnect();
    until_seen(&one, &["edge@two"]).await;
    assert_eq!(one.status("edge", "acme").in_force, Some(Revision(1)));
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn the_replicas_of_a_control_plane_that_ends_are_gone_for_the_others_at_once() {
    let (one, two) = two().await;
    let far = Replica::synced(&two, "far").await;
    until_seen(&one, &["far@two"]).await;
    drop(far);
    until_seen(&one, &[]).await;
    let _far = Replica::synced(&two, "far").await;
    until_seen(&one, &["far@two"]).await;
    two.stop().await;
    until_seen(&one, &[]).await;
    assert_eq!(one.control_plane.hub.current(&tenant("acme")), None);
    one.stop().await;
}

#[tokio::test]
async fn a_thousand_replicas_are_told_of_in_a_few_writes() {
    const REPLICAS: usize = 1000;
    let url = new_database();
    let (one, two) = two_on(&url).await;
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    two.apply("acme", "one").await;
    let hub = &two.control_plane.hub;
    let mut seats = Vec::new();
    for number in 0..REPLICAS {
        let hello = Hello {
            replica: format!("r{number}"),
            version: "1".to_owned(),
            advertise: None,
            store: String::new(),
            cursor: 0,
            held: BTreeMap::new(),
        };
        seats.push(hub.join(hello, Scope::all()).unwrap());
    }
    let follow = |seats: &mut Vec<(Seat, Feed)>| {
        let current = Arc::clone(&hub.follow().borrow());
        for (seat, feed) in seats {
            let batch = feed.next_batch(&current).unwrap();
            seat.delivered(feed.target().unwrap().clone());
            let arrival = feed.acknowledge(batch.nonce, Vec::new()).unwrap();
            seat.arrived(arrival.unwrap());
        }
    };
    follow(&mut seats);
    one.until(|| one.control_plane.replicas().len() == REPLICAS)
        .await;
    let written = async || -> i64 {
        let told = "SELECT max(version) FROM control_planes";
        sqlx::query_scalar(told).fetch_one(&pool).await.unwrap()
    };
    let before = written().await;
    let revision = one.apply("acme", "two").await;
    two.until(|| hub.current(&tenant("acme")) == Some(revision))
        .await;
    follow(&mut seats);
    assert_eq!(
        one.verdict("acme", revision, soon()).await,
        Ok(Verdict::InForce)
    );
    let writes = written().await - before;
    assert!(writes < 10, "{writes} writes for one change");
    drop(seats);
    one.stop().await;
    two.stop().await;
}
