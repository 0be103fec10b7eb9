//! The whole control plane over the in-memory pipe, with replicas that only speak the protocol.

use std::time::Duration;

use gateway_core::config::{TenantConfig, Violation, load_yaml};
use gateway_core::{Deadline, Revision, TenantId};

use crate::{ApplyError, Change, Removal, Verdict, VerdictError};

pub(crate) mod harness;

mod apply;
mod counting;
mod fleet;
mod hostile;
mod neighbours;
mod rollout;

use harness::{Plane, Replica};

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// A configuration of `name` that differs from others by its one server's command.
fn config(name: &str, command: &str) -> TenantConfig {
    load_yaml(&format!(
        "tenant: {name}\nservers:\n  files: {{ type: command, command: {command} }}\n"
    ))
    .unwrap()
}

fn change(name: &str, command: &str) -> Change {
    Change {
        config: config(name, command),
        submitted: format!("# {command}"),
        author: "ada".to_owned(),
        reason: "test".to_owned(),
        expected: None,
        validate_only: false,
        must_exist: false,
        canary: None,
    }
}

fn removal(name: &str) -> Removal {
    Removal {
        tenant: tenant(name),
        author: "ada".to_owned(),
        reason: "test".to_owned(),
        expected: None,
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(5))
}

/// For verdicts that are expected not to come.
fn at_once() -> Deadline {
    Deadline::after(Duration::from_millis(1))
}

fn violation() -> Violation {
    Violation::new("servers.files.command", "`npx` was not found")
}

#[tokio::test]
async fn the_first_batch_says_that_there_is_nothing() {
    let plane = Plane::start().await;
    let mut replica = Replica::connect(&plane, "r1").await;
    let batch = replica.next().await;
    assert_eq!(
        (batch.sequence, batch.documents, batch.removed),
        (0, vec![], vec![])
    );
    plane.stop().await;
}

#[tokio::test]
async fn the_first_batch_has_every_tenants_current_configuration() {
    let plane = Plane::start().await;
    plane.apply("acme", "one").await;
    plane.apply("acme", "two").await;
    plane.apply("zoo", "one").await;
    let mut replica = Replica::connect(&plane, "r1").await;
    let batch = replica.next().await;
    let expected = [(2, config("acme", "two")), (1, config("zoo", "one"))];
    assert_eq!(batch.documents, expected);
    assert_eq!(batch.sequence, 3);
    plane.stop().await;
}

#[tokio::test]
async fn a_change_reaches_a_replica_within_a_second_and_is_in_force_once_acknowledged() {
    let plane = Plane::start().await;
    let mut replica = Replica::synced(&plane, "r1").await;
    let applied_at = tokio::time::Instant::now();
    let revision = plane.apply("acme", "one").await;
    let batch = replica.next().await;
    assert!(applied_at.elapsed() < Duration::from_secs(1));
    assert_eq!(batch.documents, [(1, config("acme", "one"))]);

    let early = plane.verdict("acme", revision, at_once()).await;
    let waiting_for = vec!["r1".to_owned()];
    assert_eq!(early, Err(VerdictError::Unanswered { waiting_for }));
    let (verdict, ()) = tokio::join!(
        plane.verdict("acme", revision, soon()),
        replica.acknowledge(&batch),
    );
    assert_eq!(verdict, Ok(Verdict::InForce));
    let status = plane.status("r1", "acme");
    assert_eq!(status.desired, Some(revision));
    assert_eq!(status.delivered, Some(revision));
    assert_eq!(status.in_force, Some(revision));
    plane.stop().await;
}

#[tokio::test]
async fn a_refusal_is_the_verdict_and_the_last_good_revision_stays_in_force() {
    let plane = Plane::start().await;
    let mut replica = Replica::synced(&plane, "r1").await;
    let good = plane.apply("acme", "good").await;
    replica.take().await;
    let bad = plane.apply("acme", "bad").await;
    let batch = replica.next().await;
    replica.refuse(&batch, "acme", bad, violation()).await;

    let verdict = plane.verdict("acme", bad, soon()).await;
    assert_eq!(verdict, Ok(Verdict::Refused(vec![violation()])));
    let status = plane.status("r1", "acme");
    assert_eq!((status.desired, status.delivered), (Some(bad), Some(bad)));
    assert_eq!(status.in_force, Some(good));
    assert_eq!(status.refusal.unwrap().violations, [violation()]);

    let mended = plane.apply("acme", "mended").await;
    replica.take().await;
    let verdict = plane.verdict("acme", mended, soon()).await;
    assert_eq!(verdict, Ok(Verdict::InForce));
    let status = plane.status("r1", "acme");
    assert_eq!((status.in_force, status.refusal), (Some(mended), None));
    plane.stop().await;
}

#[tokio::test]
async fn a_tenant_whose_first_revision_is_refused_has_nothing_in_force() {
    let plane = Plane::start().await;
    let mut replica = Replica::synced(&plane, "r1").await;
    for command in ["bad", "worse"] {
        let revision = plane.apply("acme", command).await;
        let batch = replica.next().await;
        replica.refuse(&batch, "acme", revision, violation()).await;
        plane.verdict("acme", revision, soon()).await.unwrap();
        assert_eq!(plane.status("r1", "acme").in_force, None);
    }
    plane.stop().await;
}

#[tokio::test]
async fn a_refusal_by_one_of_several_replicas_is_the_verdict() {
    let plane = Plane::start().await;
    let mut one = Replica::synced(&plane, "r1").await;
    let mut two = Replica::synced(&plane, "r2").await;
    let revision = plane.apply("acme", "bad").await;
    let batch = one.next().await;
    one.refuse(&batch, "acme", revision, violation()).await;
    two.take().await;
    let verdict = plane.verdict("acme", revision, soon()).await;
    assert_eq!(verdict, Ok(Verdict::Refused(vec![violation()])));
    plane.stop().await;
}

#[tokio::test]
async fn a_known_refusal_is_the_verdict_at_the_deadline_though_others_are_silent() {
    let plane = Plane::start().await;
    let mut one = Replica::synced(&plane, "r1").await;
    let _silent = Replica::synced(&plane, "r2").await;
    let revision = plane.apply("acme", "bad").await;
    let batch = one.next().await;
    one.refuse(&batch, "acme", revision, violation()).await;
    plane
        .until(|| plane.status("r1", "acme").refusal.is_some())
        .await;
    let verdict = plane.verdict("acme", revision, at_once()).await;
    assert_eq!(verdict, Ok(Verdict::Refused(vec![violation()])));
    plane.stop().await;
}

#[tokio::test]
async fn there_is_no_verdict_without_a_replica_and_none_of_what_is_not_there() {
    let plane = Plane::start().await;
    let revision = plane.apply("acme", "one").await;
    let verdict = plane.verdict("acme", revision, at_once()).await;
    assert_eq!(verdict, Err(VerdictError::NoReplica));
    for (name, number) in [("acme", 2), ("zoo", 1)] {
        let verdict = plane.verdict(name, Revision(number), soon()).await;
        assert!(matches!(verdict, Err(VerdictError::NotFound { .. })));
    }
    plane.stop().await;
}

#[tokio::test]
async fn a_later_revision_or_a_removal_supersedes() {
    let plane = Plane::start().await;
    let first = plane.apply("acme", "one").await;
    let (verdict, second) = tokio::join!(
        plane.verdict("acme", first, soon()),
        plane.apply("acme", "two"),
    );
    assert_eq!(verdict, Ok(Verdict::Superseded));
    plane.control_plane.remove(removal("acme")).await.unwrap();
    let verdict = plane.verdict("acme", second, soon()).await;
    assert_eq!(verdict, Ok(Verdict::Superseded));
    plane.stop().await;
}

#[tokio::test]
async fn a_replica_that_comes_back_gets_only_what_changed() {
    let plane = Plane::start().await;
    for name in ["acme", "bank", "cafe", "dock"] {
        plane.apply(name, "one").await;
    }
    let mut replica = Replica::synced(&plane, "r1").await;
    let bad = plane.apply("dock", "bad").await;
    let batch = replica.next().await;
    replica.refuse(&batch, "dock", bad, violation()).await;
    plane
        .until(|| plane.status("r1", "dock").refusal.is_some())
        .await;

    let memory = replica.disconnect();
    plane
        .until(|| plane.control_plane.replicas().is_empty())
        .await;
    plane.apply("bank", "two").await;
    plane.control_plane.remove(removal("cafe")).await.unwrap();

    let mut replica = memory.reconnect(&plane).await;
    let status = plane.status_of("r1", "bank").await;
    assert_eq!(status.in_force, Some(Revision(1)), "as it said");
    let batch = replica.next().await;
    // What it had refused is tried again: another program may have come back.
    let expected = [(2, config("dock", "bad")), (2, config("bank", "two"))];
    assert_eq!(batch.documents, expected);
    assert_eq!(batch.removed, [tenant("cafe")]);
    plane.stop().await;
}

#[tokio::test]
async fn a_replica_of_another_store_gets_everything() {
    let plane = Plane::start().await;
    plane.apply("acme", "one").await;
    let mut replica = Replica::synced(&plane, "r1").await;
    replica.memory.store = "another".to_owned();
    let mut replica = replica.disconnect().reconnect(&plane).await;
    assert_eq!(replica.next().await.documents, [(1, config("acme", "one"))]);
    plane.stop().await;
}

#[tokio::test]
async fn a_replica_ahead_of_a_restored_store_gets_everything() {
    let plane = Plane::start().await;
    plane.apply("acme", "one").await;
    let mut replica = Replica::synced(&plane, "r1").await;
    replica.memory.cursor = 9;
    let mut replica = replica.disconnect().reconnect(&plane).await;
    assert_eq!(replica.next().await.documents, [(1, config("acme", "one"))]);
    plane.stop().await;
}

#[tokio::test]
async fn a_replica_that_does_not_answer_delays_no_other() {
    let plane = Plane::start().await;
    let mut slow = Replica::synced(&plane, "slow").await;
    let mut quick = Replica::synced(&plane, "quick").await;
    plane.apply("acme", "zero").await;
    let unanswered = slow.next().await;
    quick.take().await;
    for command in ["one", "two", "three"] {
        plane.apply("acme", command).await;
        assert_eq!(quick.take().await.documents.len(), 1);
    }
    // What it missed comes as one batch of the latest.
    slow.acknowledge(&unanswered).await;
    assert_eq!(slow.next().await.documents, [(4, config("acme", "three"))]);
    plane.stop().await;
}

#[tokio::test]
async fn changes_in_quick_succession_come_as_one_batch() {
    let plane = Plane::start().await;
    let mut replica = Replica::synced(&plane, "r1").await;
    for attempt in 0.. {
        let started_at = tokio::time::Instant::now();
        plane.apply("acme", &format!("one{attempt}")).await;
        plane.apply("acme", &format!("two{attempt}")).await;
        plane.apply("zoo", &format!("one{attempt}")).await;
        let quick = started_at.elapsed() < Duration::from_millis(40);
        let mut batch = replica.take().await;
        if quick {
            assert_eq!(batch.documents.len(), 2);
            break;
        }
        // The machine was busy: what was too slow to be put together proves nothing.
        while !batch
            .documents
            .iter()
            .any(|(_, config)| config.tenant == tenant("zoo"))
        {
            batch = replica.take().await;
        }
    }
    plane.stop().await;
}

#[tokio::test]
async fn a_removed_tenant_is_taken_away() {
    let plane = Plane::start().await;
    plane.apply("acme", "one").await;
    let mut replica = Replica::synced(&plane, "r1").await;
    assert!(plane.control_plane.remove(removal("acme")).await.unwrap());
    let batch = replica.next().await;
    assert_eq!(
        (batch.documents, batch.removed),
        (vec![], vec![tenant("acme")])
    );
    assert!(!plane.control_plane.remove(removal("acme")).await.unwrap());
    plane.stop().await;
}

#[tokio::test]
async fn every_replica_gets_the_same_bytes() {
    let plane = Plane::start().await;
    let mut one = Replica::synced(&plane, "r1").await;
    let mut two = Replica::synced(&plane, "r2").await;
    plane.apply("acme", "one").await;
    assert_eq!(one.next().await.encoded, two.next().await.encoded);
    plane.stop().await;
}
