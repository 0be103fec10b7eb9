//! Rollouts from end to end: what replicas are sent, by what they say.

use std::time::Duration;

use gateway_core::Revision;
use gateway_core::config::{ServerSpec, TenantConfig, Violation};
use gateway_proto::push::v1 as pb;
use gateway_proto::push::v1::subscribe_request::Message;
use tokio::task::JoinSet;

use super::harness::{Plane, Replica};
use super::{change, tenant};
use crate::{Applied, ApplyError, Change, Decision, Plan, Rollout, Stage};

/// A command that no replica starts.
const POISON: &str = "poison";

const LONG: Duration = Duration::from_secs(3600);

/// Replicas that answer to everything, for as long as this is held.
struct Fleet {
    names: Vec<String>,
    _answering: JoinSet<()>,
}

impl Fleet {
    async fn start(plane: &Plane, size: usize) -> Self {
        let names: Vec<_> = (0..size).map(|n| format!("r{n}")).collect();
        let mut answering = JoinSet::new();
        for name in &names {
            let mut replica = Replica::synced(plane, name).await;
            answering.spawn(async move {
                loop {
                    answer(&mut replica).await;
                }
            });
        }
        Self {
            names,
            _answering: answering,
        }
    }

    fn in_force(&self, plane: &Plane) -> Vec<u64> {
        let of = |name: &String| plane.status(name, "acme").in_force;
        let revisions = self.names.iter().map(of);
        revisions
            .map(|found| found.map_or(0, |found| found.0))
            .collect()
    }

    async fn until(&self, plane: &Plane, revisions: &[u64]) {
        let sorted = || {
            let mut found = self.in_force(plane);
            found.sort_unstable();
            found
        };
        plane.until(|| sorted() == revisions).await;
    }
}

async fn answer(replica: &mut Replica) {
    let batch = replica.next_or_end().await;
    let Some(batch) = batch else {
        return std::future::pending().await;
    };
    let poisoned = batch
        .documents
        .iter()
        .find(|(_, config)| is_poisoned(config));
    match poisoned {
        Some((revision, config)) => {
            let violation = Violation::new("servers.files.command", "is not permitted");
            let (name, revision) = (config.tenant.to_string(), Revision(*revision));
            replica.refuse(&batch, &name, revision, violation).await;
        }
        None => replica.acknowledge(&batch).await,
    }
}

fn is_poisoned(config: &TenantConfig) -> bool {
    config.servers.values().any(
        |server| matches!(&server.spec, ServerSpec::Command { command, .. } if command == POISON),
    )
}

async fn roll_out(plane: &Plane, command: &str, bake: Duration) -> Applied {
    let plan = Plan {
        share: 0.25,
        bake,
        max_error_rate: Plan::MAX_ERROR_RATE,
    };
    let change = Change {
        canary: Some(plan),
        ..change("acme", command)
    };
    plane.control_plane.apply(change).await.unwrap()
}

async fn rollout(plane: &Plane) -> Rollout {
    let found = plane.control_plane.store.rollout(&tenant("acme")).await;
    found.unwrap().unwrap()
}

async fn until_stage(plane: &Plane, stage: Stage) -> Rollout {
    loop {
        let now = rollout(plane).await;
        if now.stage == stage {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn decision() -> Decision {
    Decision {
        tenant: tenant("acme"),
        author: "ada".to_owned(),
        reason: "because".to_owned(),
    }
}

#[tokio::test]
async fn a_canary_has_a_revision_before_the_others() {
    let plane = Plane::start().await;
    plane.apply("acme", "one").await;
    let fleet = Fleet::start(&plane, 4).await;
    roll_out(&plane, "two", LONG).await;
    fleet.until(&plane, &[1, 1, 1, 2]).await;
    let now = rollout(&plane).await;
    assert_eq!((now.stage, now.canaries.len()), (Stage::Canary, 1));
    for name in &fleet.names {
        let status = plane.status(name, "acme");
        let expected = if now.canaries.contains(name) { 2 } else { 1 };
        assert_eq!(status.desired, Some(Revision(expected)), "{name}");
        assert_eq!(status.in_force, status.desired, "{name}");
    }
    // The same once more is what is under way already.
    let again = roll_out(&plane, "two", LONG).await;
    assert_eq!((again.revision, again.changed), (Revision(2), false));
    // At once is another way.
    plane.apply("acme", "two").await;
    fleet.until(&plane, &[3, 3, 3, 3]).await;
    assert_eq!(rollout(&plane).await.stage, Stage::Superseded);
    plane.stop().await;
}

#[tokio::test]
async fn everybody_gets_what_has_baked() {
    let plane = Plane::start().await;
    plane.apply("acme", "one").await;
    let fleet = Fleet::start(&plane, 5).await;
    roll_out(&plane, "two", Duration::ZERO).await;
    fleet.until(&plane, &[2, 2, 2, 2, 2]).await;
    let over = until_stage(&plane, Stage::Complete).await;
    assert_eq!(over.canaries.len(), 2);
    assert!(!plane.control_plane.hub.has_rollouts());
    plane.stop().await;
}

#[tokio::test]
async fn what_a_canary_refuses_goes_no_further() {
    let plane = Plane::start().await;
    plane.apply("acme", "one").await;
    let fleet = Fleet::start(&plane, 4).await;
    roll_out(&plane, POISON, Duration::ZERO).await;
    let halted = until_stage(&plane, Stage::Halted).await;
    assert!(halted.reason.contains("is not permitted"), "{halted:?}");
    fleet.until(&plane, &[1, 1, 1, 1]).await;

    // What the hub knows follows the store.
    let hub = &plane.control_plane.hub;
    let counted = r#"mcp_gateway_control_rollouts{stage="halted"} 1"#;
    plane
        .until(|| hub.metrics.render(hub).unwrap().contains(counted))
        .await;

    plane.control_plane.resume(decision()).await.unwrap();
    until_stage(&plane, Stage::Halted).await;
    let aborted = plane.control_plane.abort(decision()).await.unwrap();
    assert_eq!(aborted.unwrap().revision, Revision(3));
    fleet.until(&plane, &[3, 3, 3, 3]).await;
    assert_eq!(rollout(&plane).await.stage, Stage::Aborted);
    let current = plane
        .control_plane
        .submitted(&tenant("acme"))
        .await
        .unwrap();
    assert_eq!(current.unwrap(), (Revision(3), "# one".to_owned()));
    let error = plane.control_plane.abort(decision()).await.unwrap_err();
    assert!(matches!(error, ApplyError::NoRollout { .. }), "{error:?}");
    plane.stop().await;
}

#[tokio::test]
async fn a_tenant_that_is_new_is_served_by_canaries_only() {
    let plane = Plane::start().await;
    let fleet = Fleet::start(&plane, 4).await;
    roll_out(&plane, "one", LONG).await;
    fleet.until(&plane, &[0, 0, 0, 1]).await;
    assert_eq!(plane.control_plane.tenants(), [tenant("acme")]);
    let aborted = plane.control_plane.abort(decision()).await.unwrap();
    assert_eq!(aborted, None);
    fleet.until(&plane, &[0, 0, 0, 0]).await;
    assert_eq!(plane.control_plane.tenants(), []);
    plane.stop().await;
}

#[tokio::test]
async fn it_waits_for_a_replica_where_there_is_none() {
    let plane = Plane::start().await;
    roll_out(&plane, "one", Duration::ZERO).await;
    assert_eq!(rollout(&plane).await.stage, Stage::Canary);
    let fleet = Fleet::start(&plane, 1).await;
    fleet.until(&plane, &[1]).await;
    until_stage(&plane, Stage::Complete).await;
    plane.stop().await;
}

#[tokio::test]
async fn a_canary_whose_requests_fail_gets_back_what_it_had() {
    let plane = Plane::start().await;
    plane.apply("acme", "one").await;
    let mut replica = Replica::synced(&plane, "r1").await;
    roll_out(&plane, "two", LONG).await;
    let batch = replica.take().await;
    assert_eq!(batch.canaries, ["acme"], "it is to report");
    let report = |requests, errors| pb::Report {
        outcomes: vec![pb::Outcome {
            tenant: "acme".to_owned(),
            revision: 2,
            requests,
            errors,
        }],
    };
    let conversation = &replica.conversation;
    conversation.say(Message::Report(report(100, 5))).await;
    conversation.say(Message::Report(report(200, 50))).await;
    let halted = until_stage(&plane, Stage::Halted).await;
    let expected = "50 of 200 requests on the canary replicas failed: 25.0% are more than 5.0%";
    assert_eq!(halted.reason, expected);
    loop {
        let batch = replica.take().await;
        if let Some((revision, _)) = batch.documents.first() {
            assert_eq!((*revision, batch.canaries.len()), (1, 0));
            break;
        }
    }
    plane.stop().await;
}

#[tokio::test]
async fn a_plan_without_sense_changes_nothing() {
    let plan = Plan {
        share: 0.0,
        bake: Duration::ZERO,
        max_error_rate: 0.1,
    };
    let change = Change {
        canary: Some(plan),
        ..change("acme", "one")
    };
    let plane = Plane::start().await;
    let error = plane.control_plane.apply(change).await.unwrap_err();
    let ApplyError::Invalid(violations) = error else {
        panic!("{error:?}");
    };
    assert_eq!(violations[0].path, "canary.share");
    assert_eq!(plane.control_plane.tenants(), []);
    plane.stop().await;
}

#[tokio::test]
async fn a_canary_that_is_away_for_a_moment_stays_the_only_one() {
    let plane = Plane::start().await;
    plane.apply("acme", "one").await;
    let mut replicas = Vec::new();
    for name in ["r0", "r1", "r2", "r3"] {
        replicas.push(Replica::synced(&plane, name).await);
    }
    roll_out(&plane, "two", LONG).await;
    let chosen = || async { rollout(&plane).await.canaries };
    while chosen().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let canaries = chosen().await;
    let number = (0..4)
        .find(|n| canaries.contains(&format!("r{n}")))
        .unwrap();
    let away = replicas.remove(number).disconnect();
    plane
        .until(|| plane.control_plane.replicas().len() == 3)
        .await;
    // Longer than it takes to be noticed.
    tokio::time::sleep(Duration::from_millis(800)).await;
    let now = rollout(&plane).await;
    assert_eq!((&now.canaries, now.lost), (&canaries, 0));
    let mut back = away.reconnect(&plane).await;
    assert_eq!(back.take().await.canaries, ["acme"]);
    plane.stop().await;
}
