use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::Revision;
use gateway_core::config::Violation;
use jiff::{SignedDuration, Timestamp};

use super::*;

const BEFORE: Revision = Revision(1);
const NEW: Revision = Revision(2);

fn rollout(share: f64, canaries: &[&str]) -> Rollout {
    Rollout {
        tenant: "acme".parse().unwrap(),
        revision: NEW,
        stable: Some(BEFORE),
        plan: Plan {
            share,
            bake: Duration::from_secs(60),
            max_error_rate: 0.05,
        },
        stage: Stage::Canary,
        reason: String::new(),
        canaries: names(canaries),
        lost: 0,
        author: "ada".to_owned(),
        created_at: at(0),
        updated_at: at(0),
        baking_since: None,
        sequence: 7,
    }
}

fn names(names: &[&str]) -> Arc<BTreeSet<String>> {
    Arc::new(names.iter().map(ToString::to_string).collect())
}

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
}

fn seen(replica: &str, in_force: Revision) -> Seen {
    Seen {
        replica: replica.to_owned(),
        in_force: Some(in_force),
        refused: None,
        tally: Tally::default(),
    }
}

fn fleet(size: usize) -> Vec<Seen> {
    (0..size).map(|n| seen(&format!("r{n}"), BEFORE)).collect()
}

fn counted(replica: &str, requests: u64, errors: u64) -> Seen {
    Seen {
        tally: Tally { requests, errors },
        ..seen(replica, NEW)
    }
}

fn baking(canaries: &[&str]) -> Rollout {
    Rollout {
        baking_since: Some(at(100)),
        ..rollout(0.1, canaries)
    }
}

#[test]
fn a_share_of_the_fleet_is_chosen_and_at_least_one() {
    for (size, share, expected) in [(1, 0.1, 1), (4, 0.25, 1), (4, 0.26, 2), (10, 1.0, 10)] {
        let step = rollout(share, &[]).next(&fleet(size), at(1)).unwrap();
        assert_eq!(step.canaries.len(), expected, "{share} of {size}");
        assert_eq!((step.stage, step.after), (Stage::Canary, 7));
    }
    assert_eq!(rollout(0.5, &[]).next(&[], at(1)), None, "nobody is there");
}

#[test]
fn other_rollouts_have_other_canaries() {
    let fleet = fleet(100);
    let chosen = |revision| {
        let rollout = Rollout {
            revision: Revision(revision),
            ..rollout(0.01, &[])
        };
        rollout.next(&fleet, at(1)).unwrap().canaries
    };
    let all: BTreeSet<_> = (2..12).map(chosen).collect();
    assert!(all.len() > 5, "{all:?}");
}

#[test]
fn it_bakes_once_all_canaries_have_it_and_then_everybody_gets_it() {
    let rollout = rollout(0.1, &["r0"]);
    let mut fleet = fleet(3);
    assert_eq!(rollout.next(&fleet, at(100)), None, "r0 has not got it");
    fleet[0] = seen("r0", NEW);
    let step = rollout.next(&fleet, at(100)).unwrap();
    assert_eq!(step.baking_since, Some(at(100)));

    let baking = baking(&["r0"]);
    assert_eq!(baking.next(&fleet, at(159)), None);
    let step = baking.next(&fleet, at(160)).unwrap();
    assert_eq!(step.stage, Stage::Complete);
}

#[test]
fn a_refusal_halts_it_at_once() {
    let refused = Seen {
        refused: Some((NEW, vec![Violation::new("servers.a", "is not permitted")])),
        ..seen("r0", BEFORE)
    };
    let step = rollout(0.1, &["r0"])
        .next(std::slice::from_ref(&refused), at(1))
        .unwrap();
    assert_eq!(step.stage, Stage::Halted);
    assert_eq!(
        step.reason,
        "replica r0 refuses it: servers.a: is not permitted"
    );
    // What was refused before is no answer to this one.
    let earlier = Seen {
        refused: refused.refused.map(|(_, why)| (BEFORE, why)),
        ..seen("r0", BEFORE)
    };
    assert_eq!(rollout(0.1, &["r0"]).next(&[earlier], at(1)), None);
}

#[test]
fn too_many_failures_halt_it() {
    let two = baking(&["r0", "r1"]);
    let fine = [counted("r0", 50, 0), counted("r1", 50, 5)];
    assert_eq!(two.next(&fine, at(101)), None, "five of a hundred may fail");
    let bad = [counted("r0", 50, 1), counted("r1", 50, 5)];
    let step = two.next(&bad, at(101)).unwrap();
    assert_eq!(step.stage, Stage::Halted);
    let expected = "6 of 100 requests on the canary replicas failed: 6.0% are more than 5.0%";
    assert_eq!(step.reason, expected);
}

#[test]
fn a_few_requests_are_judged_only_at_the_end() {
    let one = baking(&["r0"]);
    let bad = [counted("r0", 3, 3)];
    assert_eq!(one.next(&bad, at(101)), None);
    assert_eq!(one.next(&bad, at(160)).unwrap().stage, Stage::Halted);
    let none = [counted("r0", 0, 0)];
    assert_eq!(one.next(&none, at(160)).unwrap().stage, Stage::Complete);
}

#[test]
fn a_canary_that_goes_away_is_replaced_and_it_bakes_anew() {
    let step = baking(&["gone"]).next(&fleet(3), at(101)).unwrap();
    assert_eq!(
        (step.stage, step.lost, step.baking_since),
        (Stage::Canary, 1, None)
    );
    assert_eq!(step.canaries.len(), 1);
    assert!(!step.canaries.contains("gone"));
}

#[test]
fn a_revision_that_takes_its_canaries_down_is_halted() {
    let second = Rollout {
        lost: 1,
        ..baking(&["gone-too"])
    };
    let step = second.next(&fleet(3), at(101)).unwrap();
    assert_eq!((step.stage, step.lost), (Stage::Halted, 2));
    let expected = "2 canary replicas went away before the revision had baked";
    assert_eq!(step.reason, expected);
}

#[test]
fn a_fleet_that_grows_has_more_canaries_and_does_not_begin_anew() {
    let mut fleet = fleet(20);
    fleet[0] = seen("r0", NEW);
    let step = baking(&["r0"]).next(&fleet, at(101)).unwrap();
    assert_eq!((step.canaries.len(), step.lost), (2, 0));
    assert_eq!(step.baking_since, Some(at(100)));
}

#[test]
fn what_is_halted_or_over_waits_for_somebody() {
    for stage in [
        Stage::Halted,
        Stage::Complete,
        Stage::Aborted,
        Stage::Superseded,
    ] {
        let rollout = Rollout {
            stage,
            ..baking(&["r0"])
        };
        assert_eq!(rollout.next(&fleet(3), at(1000)), None);
        assert_eq!(Stage::parse(stage.as_str()), Some(stage));
    }
}

#[test]
fn a_plan_without_sense_is_told_by_its_field() {
    let plan = |share, bake, max_error_rate| Plan {
        share,
        bake: Duration::from_secs(bake),
        max_error_rate,
    };
    assert_eq!(plan(1.0, 0, 1.0).problem(), None);
    for (plan, field) in [
        (plan(0.0, 0, 0.1), "share"),
        (plan(f64::NAN, 0, 0.1), "share"),
        (plan(1.1, 0, 0.1), "share"),
        (plan(0.5, 8 * 24 * 60 * 60, 0.1), "bake"),
        (plan(0.5, 0, -0.1), "max_error_rate"),
        (plan(0.5, 0, f64::INFINITY), "max_error_rate"),
    ] {
        assert_eq!(plan.problem().unwrap().0, field);
    }
}
