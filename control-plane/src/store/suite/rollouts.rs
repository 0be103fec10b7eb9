//! Rollouts: what is kept of them, and what heads say while they last.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::rollout::{Plan, Rollout, RolloutStep, Stage};

const PLAN: Plan = Plan {
    share: 0.25,
    bake: Duration::from_millis(1500),
    max_error_rate: 0.05,
};

fn rolled_out(name: &str, expected: u64, content: &str) -> NewRevision {
    NewRevision {
        rolled: Rolled::By(PLAN),
        ..change(name, expected, content)
    }
}

async fn last(store: &dyn Store, name: &str) -> Rollout {
    store.rollout(&tenant(name)).await.unwrap().unwrap()
}

fn step(from: &Rollout, stage: Stage, canaries: &[&str]) -> RolloutStep {
    RolloutStep {
        tenant: from.tenant.clone(),
        revision: from.revision,
        after: from.sequence,
        stage,
        reason: String::new(),
        canaries: Arc::new(canaries.iter().map(ToString::to_string).collect()),
        lost: 0,
        baking_since: None,
        at: "2026-11-22T10:00:01Z".parse().unwrap(),
        author: "rollout".to_owned(),
        because: String::new(),
    }
}

/// What ordinary replicas have, what canaries have, and who they are.
async fn head(store: &dyn Store, since: u64) -> (Option<u64>, Option<(u64, BTreeSet<String>)>) {
    let heads = store.heads_since(since).await.unwrap().heads;
    let [head] = <[Head; 1]>::try_from(heads).unwrap();
    let current = head.current.map(|(revision, _)| revision.0);
    let canary = head.canary;
    let canary = canary.map(|canary| (canary.revision.0, BTreeSet::clone(&canary.replicas)));
    (current, canary)
}

pub(in crate::store) async fn a_rollout_begins_with_its_revision(store: Arc<dyn Store>) {
    store.write(change("acme", 0, "a1")).await.unwrap();
    assert_eq!(store.rollout(&tenant("acme")).await.unwrap(), None);
    store.write(rolled_out("acme", 1, "a2")).await.unwrap();
    let rollout = last(&*store, "acme").await;
    assert_eq!(rollout.revision, Revision(2));
    assert_eq!(rollout.stable, Some(Revision(1)));
    assert_eq!((rollout.plan, rollout.stage), (PLAN, Stage::Canary));
    assert_eq!((rollout.author.as_str(), rollout.lost), ("ada", 0));
    assert_eq!(store.active_rollouts().await.unwrap(), [rollout]);
    // What was accepted last is the document, whoever has it in force.
    assert_eq!(current(&*store, "acme").await.unwrap().0, 2);
    assert_eq!(
        head(&*store, 1).await,
        (Some(1), Some((2, BTreeSet::new())))
    );
}

pub(in crate::store) async fn a_step_is_made_once_and_told(store: Arc<dyn Store>) {
    store.write(change("acme", 0, "a1")).await.unwrap();
    store.write(rolled_out("acme", 1, "a2")).await.unwrap();
    let begun = last(&*store, "acme").await;
    let chosen = step(&begun, Stage::Canary, &["r1", "r2"]);
    store.step_rollout(chosen.clone()).await.unwrap();
    let names: BTreeSet<_> = ["r1".to_owned(), "r2".to_owned()].into();
    assert_eq!(head(&*store, 2).await, (Some(1), Some((2, names))));
    // Whoever has not seen it makes no other one.
    let again = store.step_rollout(chosen).await;
    assert!(matches!(again, Err(WriteError::Conflict { .. })));
    let chosen = last(&*store, "acme").await;
    let complete = step(&chosen, Stage::Complete, &["r1", "r2"]);
    store.step_rollout(complete).await.unwrap();
    assert_eq!(head(&*store, 3).await, (Some(2), None));
    assert_eq!(store.active_rollouts().await.unwrap(), []);
    let over = last(&*store, "acme").await;
    let after_its_end = store.step_rollout(step(&over, Stage::Canary, &[])).await;
    assert!(matches!(after_its_end, Err(WriteError::Conflict { .. })));
    let actions = store.trail().await.into_iter().map(|row| row.action);
    let actions: Vec<_> = actions.collect();
    assert_eq!(actions, ["apply", "apply", "rollout", "rollout"]);
}

pub(in crate::store) async fn a_halted_rollout_leaves_what_was_there(store: Arc<dyn Store>) {
    store.write(change("acme", 0, "a1")).await.unwrap();
    store.write(rolled_out("acme", 1, "a2")).await.unwrap();
    let begun = last(&*store, "acme").await;
    let halted = RolloutStep {
        reason: "7 of 9 requests failed".to_owned(),
        ..step(&begun, Stage::Halted, &["r1"])
    };
    store.step_rollout(halted).await.unwrap();
    assert_eq!(head(&*store, 2).await, (Some(1), None));
    let halted = last(&*store, "acme").await;
    assert_eq!(halted.reason, "7 of 9 requests failed");
    let resumed = halted.resumed(Timestamp::UNIX_EPOCH, "ada", "mended".to_owned());
    store.step_rollout(resumed).await.unwrap();
    let names: BTreeSet<_> = ["r1".to_owned()].into();
    assert_eq!(head(&*store, 3).await, (Some(1), Some((2, names))));
    assert_eq!(last(&*store, "acme").await.reason, "");
}

pub(in crate::store) async fn another_change_ends_a_rollout(store: Arc<dyn Store>) {
    store.write(change("acme", 0, "a1")).await.unwrap();
    store.write(rolled_out("acme", 1, "a2")).await.unwrap();
    // One on top of another keeps what replicas have had all along.
    store.write(rolled_out("acme", 2, "a3")).await.unwrap();
    let second = last(&*store, "acme").await;
    assert_eq!(
        (second.revision, second.stable),
        (Revision(3), Some(Revision(1)))
    );
    assert_eq!(head(&*store, 2).await.0, Some(1));
    store.write(change("acme", 3, "a4")).await.unwrap();
    assert_eq!(last(&*store, "acme").await.stage, Stage::Superseded);
    assert_eq!(head(&*store, 3).await, (Some(4), None));

    store.write(rolled_out("acme", 4, "a5")).await.unwrap();
    let aborted = NewRevision {
        rolled: Rolled::AtOnce(Stage::Aborted),
        ..change("acme", 5, "a4")
    };
    store.write(aborted).await.unwrap();
    assert_eq!(last(&*store, "acme").await.stage, Stage::Aborted);

    store.write(rolled_out("acme", 6, "a7")).await.unwrap();
    store.remove(removal("acme", 7)).await.unwrap();
    assert_eq!(last(&*store, "acme").await.stage, Stage::Superseded);
    assert_eq!(head(&*store, 7).await, (None, None));
}

pub(in crate::store) async fn of_a_new_tenant_only_canaries_have_anything(store: Arc<dyn Store>) {
    store.write(rolled_out("acme", 0, "a1")).await.unwrap();
    let begun = last(&*store, "acme").await;
    assert_eq!(begun.stable, None);
    store
        .step_rollout(step(&begun, Stage::Canary, &["r1"]))
        .await
        .unwrap();
    let names: BTreeSet<_> = ["r1".to_owned()].into();
    assert_eq!(head(&*store, 0).await, (None, Some((1, names))));
}

pub(in crate::store) async fn somebody_leads(store: Arc<dyn Store>) {
    assert!(store.lead().await.unwrap());
    assert!(store.lead().await.unwrap());
}
