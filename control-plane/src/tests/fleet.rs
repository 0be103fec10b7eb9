//! What replicas are told of each other.

use super::harness::{Plane, Replica};

const ONE: &str = "127.0.0.1:1001";
const TWO: &str = "127.0.0.1:1002";

fn table(entries: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    let entries = entries.iter();
    let owned = entries.map(|(name, address)| ((*name).to_owned(), (*address).to_owned()));
    Some(owned.collect())
}

#[tokio::test]
async fn every_replica_is_told_of_all_that_are_reached_and_of_each_change() {
    let plane = Plane::start().await;
    let mut one = Replica::reachable(&plane, "one", ONE).await;
    assert_eq!(one.take().await.peers, table(&[("one", ONE)]));
    let mut hidden = Replica::connect(&plane, "hidden").await;
    assert_eq!(hidden.take().await.peers, table(&[("one", ONE)]));

    let mut two = Replica::reachable(&plane, "two", TWO).await;
    let both = table(&[("one", ONE), ("two", TWO)]);
    for replica in [&mut one, &mut hidden, &mut two] {
        let batch = replica.take().await;
        assert_eq!(batch.peers, both);
        assert!(batch.documents.is_empty());
    }
    // What has not changed is not told again.
    plane.apply("acme", "one").await;
    let batch = one.take().await;
    assert_eq!((batch.documents.len(), batch.peers), (1, None));
    plane.stop().await;
}

#[tokio::test]
async fn a_replica_that_is_away_for_a_moment_stays_in_the_table() {
    let plane = Plane::start().await;
    let mut one = Replica::reachable(&plane, "one", ONE).await;
    let mut two = Replica::reachable(&plane, "two", TWO).await;
    while one.take().await.peers != table(&[("one", ONE), ("two", TWO)]) {}
    two.take().await;
    let memory = two.disconnect();
    plane
        .until(|| plane.control_plane.replicas().len() == 1)
        .await;
    plane.apply("acme", "one").await;
    assert_eq!(one.take().await.peers, None);
    let mut two = memory.reconnect(&plane).await;
    assert_eq!(two.take().await.peers, table(&[("one", ONE), ("two", TWO)]));
    plane.apply("acme", "two").await;
    assert_eq!(one.take().await.peers, None);
    plane.stop().await;
}

#[tokio::test]
async fn a_slow_replica_is_told_of_the_latest_table_alone() {
    let plane = Plane::start().await;
    let mut slow = Replica::reachable(&plane, "slow", ONE).await;
    let unanswered = slow.next().await;
    let others = [("a", "127.0.0.1:7"), ("b", "127.0.0.1:8")];
    for (name, address) in others {
        Replica::reachable(&plane, name, address).await.take().await;
    }
    slow.acknowledge(&unanswered).await;
    let all = table(&[others[0], others[1], ("slow", ONE)]);
    assert_eq!(slow.take().await.peers, all);
    plane.stop().await;
}
