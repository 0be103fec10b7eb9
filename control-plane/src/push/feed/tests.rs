//! Whatever happens in whatever order, a replica that answers ends up with what is current.

use gateway_core::config::Violation;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::store::{Head, Heads};
use crate::token::Scope;

fn tenant(number: u8) -> TenantId {
    format!("t{number}").parse().unwrap()
}

fn document(revision: u64, size: usize) -> Option<(Revision, Bytes)> {
    Some((Revision(revision), vec![b'x'; size].into()))
}

/// The index after `changes`, each the next in sequence.
fn index(changes: &[(u8, Option<(Revision, Bytes)>)]) -> Arc<Index> {
    grow(&Arc::default(), changes)
}

fn grow(index: &Arc<Index>, changes: &[(u8, Option<(Revision, Bytes)>)]) -> Arc<Index> {
    let mut index = Index::clone(index);
    for (number, current) in changes {
        let sequence = index.position().sequence + 1;
        let head = Head {
            tenant: tenant(*number),
            sequence,
            latest: current.as_ref().map(|(revision, _)| *revision),
            current: current.clone(),
            canary: None,
        };
        let heads = vec![head];
        index = index
            .with(Heads {
                sequence,
                heads,
                hosts: None,
            })
            .unwrap();
    }
    Arc::new(index)
}

fn names(batch: &Batch) -> Vec<String> {
    let name = |step: &Step| match step {
        Step::Put {
            tenant, revision, ..
        } => format!("{tenant}@{revision}"),
        Step::Remove(tenant) => format!("-{tenant}"),
    };
    batch.steps.iter().map(name).collect()
}

fn anybody() -> Recipient {
    Recipient {
        replica: "r1".to_owned(),
        scope: Scope::all(),
    }
}

fn only(numbers: &[u8]) -> Recipient {
    let tenants = numbers.iter().map(|number| tenant(*number));
    Recipient {
        scope: Scope::only(tenants.collect()).unwrap(),
        ..anybody()
    }
}

fn refusal(number: u8, revision: u64) -> Refusal {
    Refusal {
        tenant: tenant(number),
        revision: Revision(revision),
        violations: vec![Violation::new("servers.a", "no")],
    }
}

#[test]
fn the_first_batch_is_made_even_if_there_is_nothing() {
    let empty = Arc::default();
    let mut feed = Feed::new(anybody(), Arc::clone(&empty), &BTreeMap::new(), true);
    let batch = feed.next_batch(&empty).unwrap();
    assert_eq!((batch.nonce, batch.sequence, batch.steps.len()), (1, 0, 0));
    assert!(feed.acknowledge(1, Vec::new()).unwrap().is_some());
    assert_eq!(feed.next_batch(&empty), None);
}

#[test]
fn what_is_held_is_not_sent_again_and_what_is_gone_is_removed() {
    let index = index(&[
        (1, document(1, 1)),
        (2, document(1, 1)),
        (3, document(1, 1)),
        (3, None),
        (2, document(2, 1)),
    ]);
    let held: BTreeMap<_, _> = [1, 2, 3, 9].map(|n| (tenant(n), Revision(1))).into();
    let mut feed = Feed::new(anybody(), Arc::clone(&index), &held, true);
    let batch = feed.next_batch(&index).unwrap();
    assert_eq!(names(&batch), ["-t3", "-t9", "t2@2"]);
    assert_eq!(batch.sequence, 5);
}

#[test]
fn what_was_held_of_another_store_is_sent_again() {
    let index = index(&[(1, document(1, 1))]);
    let held = [(tenant(1), Revision(1)), (tenant(2), Revision(1))].into();
    let mut feed = Feed::new(anybody(), Arc::clone(&index), &held, false);
    assert_eq!(names(&feed.next_batch(&index).unwrap()), ["-t2", "t1@1"]);
}

#[test]
fn changes_while_an_answer_is_owed_come_as_one_batch_of_the_latest() {
    let one = index(&[(1, document(1, 1))]);
    let mut feed = Feed::new(anybody(), Arc::clone(&one), &BTreeMap::new(), true);
    feed.next_batch(&one).unwrap();
    let later = grow(
        &one,
        &[
            (1, document(2, 1)),
            (2, document(1, 1)),
            (1, document(3, 1)),
        ],
    );
    assert_eq!(feed.next_batch(&later), None);
    feed.acknowledge(1, Vec::new()).unwrap();
    let batch = feed.next_batch(&later).unwrap();
    assert_eq!(names(&batch), ["t2@1", "t1@3"]);
    assert_eq!((batch.nonce, batch.sequence), (2, 4));
}

#[test]
fn much_comes_in_several_batches_of_which_the_last_says_so() {
    let index = index(&[
        (1, document(1, BATCH_BYTES - 1)),
        (2, document(1, BATCH_BYTES)),
        (3, document(1, 1)),
    ]);
    let mut feed = Feed::new(anybody(), Arc::clone(&index), &BTreeMap::new(), true);
    let first = feed.next_batch(&index).unwrap();
    assert_eq!((names(&first).len(), first.more), (2, true));
    let refused = vec![refusal(2, 1)];
    assert_eq!(feed.acknowledge(1, refused.clone()).unwrap(), None);
    let second = feed.next_batch(&index).unwrap();
    assert_eq!((names(&second).len(), second.more), (1, false));
    let arrival = feed.acknowledge(2, Vec::new()).unwrap().unwrap();
    assert_eq!(arrival.refusals, refused);
    assert_eq!(arrival.touched, [1, 2, 3].map(tenant));
    assert_eq!(arrival.position, *index.position());
}

#[test]
fn a_batch_without_steps_is_answered_as_any_other() {
    let index = index(&[(1, document(4, 1))]);
    let mut feed = Feed::new(anybody(), Arc::clone(&index), &BTreeMap::new(), true);
    assert_eq!(feed.bare_batch(), None, "there are steps to be sent first");
    feed.next_batch(&index).unwrap();
    assert_eq!(feed.bare_batch(), None);
    feed.acknowledge(1, Vec::new()).unwrap();
    let batch = feed.bare_batch().unwrap();
    assert_eq!((batch.nonce, batch.sequence, batch.more), (2, 1, false));
    assert!(batch.steps.is_empty());
    let arrival = feed.acknowledge(2, Vec::new()).unwrap().unwrap();
    assert_eq!(arrival.position, *index.position());
}

#[test]
fn an_answer_that_fits_no_question_is_an_error() {
    let index = index(&[(1, document(4, 1))]);
    let mut feed = Feed::new(anybody(), Arc::clone(&index), &BTreeMap::new(), true);
    let unasked = feed.acknowledge(0, Vec::new()).unwrap_err();
    assert_eq!(unasked, UnexpectedAnswer::Nonce(0));
    feed.next_batch(&index).unwrap();
    assert!(feed.acknowledge(2, Vec::new()).is_err());
    for wrong in [refusal(1, 3), refusal(2, 4)] {
        let error = feed.acknowledge(1, vec![wrong]).unwrap_err();
        assert!(matches!(error, UnexpectedAnswer::Refusal { .. }));
    }
    feed.acknowledge(1, vec![refusal(1, 4)]).unwrap();
    assert!(feed.acknowledge(1, Vec::new()).is_err(), "answered twice");
}

#[test]
fn a_limited_replica_is_sent_its_tenants_and_told_of_no_other_change() {
    let first = index(&[(1, document(1, 1)), (2, document(1, 1))]);
    let held = [1, 2].map(|n| (tenant(n), Revision(1))).into();
    let mut feed = Feed::new(only(&[1, 3]), Arc::clone(&first), &held, true);
    let batch = feed.next_batch(&first).unwrap();
    assert_eq!(names(&batch), ["-t2"], "it holds what it may not have");
    feed.acknowledge(1, Vec::new()).unwrap();

    let others = grow(&first, &[(2, document(2, 1)), (4, document(1, 1))]);
    let others = grow(&others, &[(2, None)]);
    assert_eq!(feed.next_batch(&others), None);
    let own = grow(&others, &[(3, document(1, 1)), (1, document(2, 1))]);
    assert_eq!(names(&feed.next_batch(&own).unwrap()), ["t3@1", "t1@2"]);
    let refused = feed.acknowledge(2, vec![refusal(4, 1)]).unwrap_err();
    assert!(matches!(refused, UnexpectedAnswer::Refusal { .. }));
    feed.acknowledge(2, Vec::new()).unwrap();
    let gone = grow(&own, &[(3, None), (4, None)]);
    assert_eq!(names(&feed.next_batch(&gone).unwrap()), ["-t3"]);
}

/// Something that happens between a control plane and a replica.
#[derive(Debug, Clone)]
enum Event {
    Write(u8, usize),
    Remove(u8),
    Send,
    Answer,
    Reconnect,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..4_u8, prop_oneof![Just(1), Just(BATCH_BYTES)])
            .prop_map(|(number, size)| Event::Write(number, size)),
        1 => (0..4_u8).prop_map(Event::Remove),
        4 => Just(Event::Send),
        4 => Just(Event::Answer),
        1 => Just(Event::Reconnect),
    ]
}

/// A replica that puts everything in force, at once or when it answers makes no difference.
fn put(batch: &Batch, held: &mut BTreeMap<TenantId, Revision>) {
    for step in &batch.steps {
        match step {
            Step::Put {
                tenant, revision, ..
            } => held.insert(tenant.clone(), *revision),
            Step::Remove(tenant) => held.remove(tenant),
        };
    }
}

proptest! {
    #[test]
    fn a_replica_ends_up_with_what_is_current(
        events in vec(event(), 0..40),
        is_limited in any::<bool>(),
    ) {
        let recipient = if is_limited { only(&[0, 2]) } else { anybody() };
        let mut current: Arc<Index> = Arc::default();
        let mut held = BTreeMap::new();
        let mut feed = Feed::new(recipient.clone(), Arc::clone(&current), &held, true);
        let mut sent: Option<Batch> = None;
        for event in events {
            match event {
                Event::Write(number, size) => {
                    let revision = current.position().sequence + 1;
                    current = grow(&current, &[(number, document(revision, size))]);
                }
                Event::Remove(number) => current = grow(&current, &[(number, None)]),
                Event::Send => sent = feed.next_batch(&current).or(sent),
                Event::Answer => {
                    if let Some(batch) = sent.take() {
                        put(&batch, &mut held);
                        feed.acknowledge(batch.nonce, Vec::new()).unwrap();
                    }
                }
                Event::Reconnect => {
                    sent = None;
                    feed = Feed::new(recipient.clone(), Arc::clone(&current), &held, true);
                }
            }
        }
        while let Some(batch) = sent.take().or_else(|| feed.next_batch(&current)) {
            put(&batch, &mut held);
            feed.acknowledge(batch.nonce, Vec::new()).unwrap();
        }
        let current = current.position().revisions.iter();
        let expected: BTreeMap<_, _> = current
            .filter(|(tenant, _)| recipient.may_have(tenant))
            .map(|(tenant, revision)| (tenant.clone(), *revision))
            .collect();
        prop_assert_eq!(held, expected);
    }
}
