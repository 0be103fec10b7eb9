//! How many replicas are how far, as operators read it.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_proto::Refusal;

use super::harness::Plane;
use super::{tenant, violation};
use crate::Scope;
use crate::push::{Feed, Hello, Seat};

fn join(plane: &Plane, name: &str, scope: &Scope) -> (Seat, Feed) {
    let hello = Hello {
        replica: name.to_owned(),
        version: "1".to_owned(),
        advertise: None,
        store: String::new(),
        cursor: 0,
        held: BTreeMap::new(),
    };
    let joined = plane.control_plane.hub.join(hello, scope.clone());
    joined.unwrap()
}

/// Sends what there is.
fn send(plane: &Plane, (seat, feed): &mut (Seat, Feed)) -> u64 {
    let current = Arc::clone(&plane.control_plane.hub.follow().borrow());
    let batch = feed.next_batch(&current).unwrap();
    seat.delivered(feed.target().unwrap().clone());
    batch.nonce
}

fn answer((seat, feed): &mut (Seat, Feed), nonce: u64, refusals: Vec<Refusal>) {
    let arrival = feed.acknowledge(nonce, refusals).unwrap();
    seat.arrived(arrival.unwrap());
}

fn counted(plane: &Plane) -> Vec<String> {
    let count = plane.control_plane.hub.count();
    let tenants = count.tenants.iter();
    let tenants = tenants.map(|(tenant, count)| {
        format!(
            "{tenant}@{}: {} in force, {} delivered, {} waiting, {} refused",
            count.revision, count.in_force, count.delivered, count.waiting, count.refused
        )
    });
    tenants.collect()
}

#[tokio::test]
async fn replicas_are_counted_by_how_far_they_are() {
    let plane = Plane::start().await;
    plane.apply("acme", "one").await;
    plane.apply("zoo", "one").await;
    let mut all = join(&plane, "all", &Scope::all());
    let mut limited = join(&plane, "limited", &"acme+later".parse().unwrap());
    let expected = [
        "acme@1: 0 in force, 0 delivered, 2 waiting, 0 refused",
        "zoo@1: 0 in force, 0 delivered, 1 waiting, 0 refused",
    ];
    assert_eq!(counted(&plane), expected);
    for replica in [&mut all, &mut limited] {
        let nonce = send(&plane, replica);
        answer(replica, nonce, Vec::new());
    }
    let expected = [
        "acme@1: 2 in force, 0 delivered, 0 waiting, 0 refused",
        "zoo@1: 1 in force, 0 delivered, 0 waiting, 0 refused",
    ];
    assert_eq!(counted(&plane), expected);

    let revision = plane.apply("acme", "two").await;
    send(&plane, &mut limited);
    let first = "acme@2: 0 in force, 1 delivered, 1 waiting, 0 refused";
    assert_eq!(counted(&plane)[0], first);
    let refusal = Refusal {
        tenant: tenant("acme"),
        revision,
        violations: vec![violation()],
    };
    answer(&mut limited, 2, vec![refusal]);
    let nonce = send(&plane, &mut all);
    answer(&mut all, nonce, Vec::new());
    let expected = [
        "acme@2: 1 in force, 0 delivered, 0 waiting, 1 refused",
        "zoo@1: 1 in force, 0 delivered, 0 waiting, 0 refused",
    ];
    assert_eq!(counted(&plane), expected);
    // What was refused is not the current one any more.
    plane.apply("acme", "three").await;
    let first = "acme@3: 0 in force, 0 delivered, 2 waiting, 0 refused";
    assert_eq!(counted(&plane)[0], first);
    drop((all, limited));
    plane.stop().await;
}
