//! What every store does, whatever it is made of: one behaviour after the other, each on a store
//! of its own.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::*;
use crate::rollout::Stage;

mod hosts;
mod requests;
mod rollouts;
mod tokens;

pub(super) use hosts::*;
pub(super) use requests::*;
pub(super) use rollouts::*;
pub(super) use tokens::*;

/// Makes a test of every behaviour. `$open` is an async function to a guard, which keeps the
/// store's files, and the `Arc<dyn Store>`.
macro_rules! store_suite {
    ($open:path) => {
        store_suite!(@ $open:
            a_new_store_is_empty,
            revisions_of_a_tenant_count_from_one_without_gaps,
            a_tenants_numbers_do_not_depend_on_other_tenants,
            a_change_based_on_an_old_revision_is_refused_and_leaves_nothing,
            only_one_of_two_changes_at_once_is_made,
            heads_are_what_changed_and_only_that,
            a_removed_tenant_is_a_change_without_a_document,
            a_tenant_that_comes_back_goes_on_counting,
            revisions_are_listed_newest_first_in_pages,
            tenants_are_listed_by_name_in_pages,
            a_revision_is_found_by_its_number,
            a_write_that_is_abandoned_leaves_all_or_nothing,
            what_was_kept_comes_back_as_it_was,
            a_nul_is_no_trouble,
            a_request_is_kept_with_what_it_led_to,
            a_request_that_came_before_changes_nothing,
            a_rollout_begins_with_its_revision,
            a_step_is_made_once_and_told,
            a_halted_rollout_leaves_what_was_there,
            another_change_ends_a_rollout,
            of_a_new_tenant_only_canaries_have_anything,
            somebody_leads,
            a_token_is_found_by_name_and_by_hash,
            a_name_is_given_once_for_each_tenant,
            only_one_of_two_tokens_of_a_name_is_made,
            a_revoked_token_stays_as_it_was_revoked,
            tokens_are_listed_by_name_in_pages,
            tokens_do_not_count_as_changes_of_tenants,
            a_host_name_stands_for_one_tenant,
            host_names_come_with_what_has_changed,
            host_names_are_listed_in_pages,
        );
    };
    (@ $open:path: $($case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let (_files, store) = $open().await;
                crate::store::suite::$case(store).await;
            }
        )*
    };
}

pub(super) use store_suite;

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn change(name: &str, expected: u64, content: &str) -> NewRevision {
    NewRevision {
        tenant: tenant(name),
        expected: Some(Revision(expected)).filter(|revision| revision.0 > 0),
        created_at: "2026-11-22T10:00:00.5Z".parse().unwrap(),
        author: "ada".to_owned(),
        reason: format!("because of {content}"),
        summary: "added server files".to_owned(),
        action: WriteAction::Apply,
        submitted: format!("# {content}\n"),
        resolved: Bytes::copy_from_slice(content.as_bytes()),
        rolled: Rolled::AtOnce(Stage::Superseded),
        request: None,
    }
}

fn removal(name: &str, expected: u64) -> NewRemoval {
    NewRemoval {
        tenant: tenant(name),
        expected: Revision(expected),
        created_at: Timestamp::UNIX_EPOCH,
        author: "ada".to_owned(),
        reason: "left".to_owned(),
        request: None,
    }
}

async fn current(store: &dyn Store, name: &str) -> Option<(u64, Bytes)> {
    let document = store.document(&tenant(name)).await.unwrap()?;
    Some((document.revision.0, document.resolved))
}

fn conflict(outcome: Result<impl fmt::Debug, WriteError>) -> Option<Revision> {
    match outcome.unwrap_err() {
        WriteError::Conflict { current } => current,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn a_new_store_is_empty(store: Arc<dyn Store>) {
    assert_eq!(store.heads_since(0).await.unwrap(), Heads::default());
    assert_eq!(current(&*store, "acme").await, None);
    assert_eq!(store.id().len(), 32);
}

pub(super) async fn revisions_of_a_tenant_count_from_one_without_gaps(store: Arc<dyn Store>) {
    for revision in 1..=3 {
        let written = store
            .write(change("acme", revision - 1, "x"))
            .await
            .unwrap();
        assert_eq!(written, Revision(revision));
        // A refused change uses up no number.
        conflict(store.write(change("acme", revision - 1, "y")).await);
    }
}

pub(super) async fn a_tenants_numbers_do_not_depend_on_other_tenants(store: Arc<dyn Store>) {
    store.write(change("acme", 0, "a")).await.unwrap();
    let other = store.write(change("zoo", 0, "z")).await.unwrap();
    assert_eq!(other, Revision(1));
    assert_eq!(current(&*store, "acme").await, Some((1, "a".into())));
    assert_eq!(current(&*store, "zoo").await, Some((1, "z".into())));
}

pub(super) async fn a_change_based_on_an_old_revision_is_refused_and_leaves_nothing(
    store: Arc<dyn Store>,
) {
    store.write(change("acme", 0, "one")).await.unwrap();
    store.write(change("acme", 1, "two")).await.unwrap();
    let before = store.heads_since(0).await.unwrap();
    for based_on in [0, 1, 3] {
        let found = conflict(store.write(change("acme", based_on, "three")).await);
        assert_eq!(found, Some(Revision(2)));
        if based_on > 0 {
            conflict(store.remove(removal("acme", based_on)).await);
        }
    }
    assert_eq!(conflict(store.write(change("new", 1, "x")).await), None);
    assert_eq!(store.heads_since(0).await.unwrap(), before);
    let records = store.revisions(&tenant("acme"), None, 10).await.unwrap();
    assert_eq!(records.len(), 2);
}

pub(super) async fn only_one_of_two_changes_at_once_is_made(store: Arc<dyn Store>) {
    let (one, two) = tokio::join!(
        store.write(change("acme", 0, "one")),
        store.write(change("acme", 0, "two")),
    );
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
    let lost = if one.is_ok() { two } else { one };
    assert_eq!(conflict(lost), Some(Revision(1)));
    assert_eq!(store.heads_since(0).await.unwrap().sequence, 1);
}

pub(super) async fn heads_are_what_changed_and_only_that(store: Arc<dyn Store>) {
    store.write(change("acme", 0, "a1")).await.unwrap();
    store.write(change("zoo", 0, "z1")).await.unwrap();
    store.write(change("acme", 1, "a2")).await.unwrap();
    let head = |name, sequence, revision, content: &'static str| Head {
        tenant: tenant(name),
        sequence,
        latest: Some(Revision(revision)),
        current: Some((Revision(revision), content.into())),
        canary: None,
    };
    let (zoo, acme) = (head("zoo", 2, 1, "z1"), head("acme", 3, 2, "a2"));
    let expected = [
        vec![zoo.clone(), acme.clone()],
        vec![zoo, acme.clone()],
        vec![acme],
        vec![],
    ];
    for (since, heads) in (0..).zip(expected) {
        let read = store.heads_since(since).await.unwrap();
        let hosts = None;
        let expected = Heads {
            sequence: 3,
            heads,
            hosts,
        };
        assert_eq!(read, expected, "since {since}");
    }
    let beyond = store.heads_since(u64::MAX).await.unwrap();
    assert_eq!(beyond.heads, []);
}

pub(super) async fn a_removed_tenant_is_a_change_without_a_document(store: Arc<dyn Store>) {
    store.write(change("acme", 0, "a")).await.unwrap();
    store.remove(removal("acme", 1)).await.unwrap();
    assert_eq!(current(&*store, "acme").await, None);
    let head = Head {
        tenant: tenant("acme"),
        sequence: 2,
        latest: None,
        current: None,
        canary: None,
    };
    let heads = store.heads_since(1).await.unwrap();
    assert_eq!(heads.heads, [head]);
    assert_eq!(conflict(store.remove(removal("acme", 1)).await), None);
    assert_eq!(conflict(store.remove(removal("never", 1)).await), None);
}

pub(super) async fn a_tenant_that_comes_back_goes_on_counting(store: Arc<dyn Store>) {
    store.write(change("acme", 0, "a")).await.unwrap();
    store.remove(removal("acme", 1)).await.unwrap();
    conflict(store.write(change("acme", 1, "b")).await);
    let written = store.write(change("acme", 0, "b")).await.unwrap();
    assert_eq!(written, Revision(2));
    assert_eq!(current(&*store, "acme").await, Some((2, "b".into())));
}

pub(super) async fn revisions_are_listed_newest_first_in_pages(store: Arc<dyn Store>) {
    for revision in 0..5 {
        store.write(change("acme", revision, "x")).await.unwrap();
    }
    store.write(change("zoo", 0, "z")).await.unwrap();
    let page = async |before: Option<u64>| -> Vec<u64> {
        let records = store
            .revisions(&tenant("acme"), before.map(Revision), 2)
            .await;
        let records = records.unwrap().into_iter();
        records.map(|record| record.revision.0).collect()
    };
    assert_eq!(page(None).await, [5, 4]);
    assert_eq!(page(Some(4)).await, [3, 2]);
    assert_eq!(page(Some(2)).await, [1]);
    assert!(page(Some(1)).await.is_empty());
}

pub(super) async fn tenants_are_listed_by_name_in_pages(store: Arc<dyn Store>) {
    for name in ["zoo", "a-b", "acme", "gone", "7"] {
        store.write(change(name, 0, "x")).await.unwrap();
    }
    store.write(change("acme", 1, "y")).await.unwrap();
    store.remove(removal("gone", 1)).await.unwrap();
    let page = async |after: Option<&str>| -> Vec<(String, u64)> {
        let after = after.map(tenant);
        let records = store.tenants(after.as_ref(), 2).await.unwrap().into_iter();
        records
            .map(|record| (record.tenant.to_string(), record.revision.0))
            .collect()
    };
    let row = |name: &str, revision| (name.to_owned(), revision);
    assert_eq!(page(None).await, [row("7", 1), row("a-b", 1)]);
    assert_eq!(page(Some("a-b")).await, [row("acme", 2), row("zoo", 1)]);
    // A page may begin behind one that is not there any more.
    assert_eq!(page(Some("gone")).await, [row("zoo", 1)]);
    assert!(page(Some("zoo")).await.is_empty());
    let all = store.tenants(None, u32::MAX).await.unwrap();
    assert_eq!(all[0].author, "ada");
    assert_eq!(all[0].created_at, change("7", 0, "").created_at);
}

pub(super) async fn a_revision_is_found_by_its_number(store: Arc<dyn Store>) {
    store.write(change("acme", 0, "one")).await.unwrap();
    store.write(change("acme", 1, "two")).await.unwrap();
    store.remove(removal("acme", 2)).await.unwrap();
    let find = async |name: &str, revision| {
        let found = store.revision(&tenant(name), Revision(revision)).await;
        found.unwrap()
    };
    let one = find("acme", 1).await.unwrap();
    assert_eq!(one.resolved, Bytes::from("one"));
    let records = store.revisions(&tenant("acme"), Some(Revision(2)), 1).await;
    assert_eq!(records.unwrap(), [one.record]);
    assert_eq!(find("acme", 2).await.unwrap().resolved, Bytes::from("two"));
    for (name, revision) in [("acme", 0), ("acme", 3), ("acme", u64::MAX), ("zoo", 1)] {
        assert_eq!(find(name, revision).await, None, "{name} {revision}");
    }
}

pub(super) async fn a_write_that_is_abandoned_leaves_all_or_nothing(store: Arc<dyn Store>) {
    let mut made = 0;
    // Abandoned at its first wait, then at its second, until one is never abandoned.
    for patience in 1.. {
        let finished = {
            let mut write = pin!(store.write(change("acme", made, "x")));
            let mut polls = 0;
            poll_fn(|context| match write.as_mut().poll(context) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending if polls == patience => Poll::Ready(None),
                Poll::Pending => {
                    polls += 1;
                    Poll::Pending
                }
            })
            .await
        };
        // A commit may be under way still; a writer waits for the one before it.
        let last = conflict(store.write(change("acme", u64::MAX, "x")).await);
        let now = last.map_or(0, |revision| revision.0);
        assert!(now == made || now == made + 1, "{now} after {made}");
        let heads = store.heads_since(0).await.unwrap();
        assert_eq!(heads.sequence, now, "a sequence without its change");
        let records = store.revisions(&tenant("acme"), None, u32::MAX).await;
        let records = records.unwrap().len() as u64;
        assert_eq!(records, now, "a record without its document");
        made = now;
        if let Some(outcome) = finished {
            outcome.unwrap();
            break;
        }
    }
    assert!(made > 0);
}

pub(super) async fn what_was_kept_comes_back_as_it_was(store: Arc<dyn Store>) {
    let text = "it's \"quoted\"; -- 雪\r\n\tend";
    let mut new = change("acme", 0, text);
    new.author = text.to_owned();
    new.submitted = text.repeat(10_000);
    new.resolved = (0..=255).collect::<Vec<u8>>().into();
    store.write(new.clone()).await.unwrap();
    let record = RevisionRecord {
        revision: Revision(1),
        created_at: new.created_at,
        author: new.author,
        reason: new.reason,
        summary: new.summary,
        submitted: new.submitted,
    };
    let records = store.revisions(&tenant("acme"), None, 1).await.unwrap();
    assert_eq!(records, [record]);
    assert_eq!(current(&*store, "acme").await, Some((1, new.resolved)));
}

pub(super) async fn a_nul_is_no_trouble(store: Arc<dyn Store>) {
    let text = "before\0after";
    store.write(change("acme", 0, text)).await.unwrap();
    let call = CallRecord {
        created_at: Timestamp::UNIX_EPOCH,
        author: text.to_owned(),
        action: "GetTenant".to_owned(),
        target: text.to_owned(),
        reason: text.to_owned(),
        outcome: "NotFound".to_owned(),
        summary: text.to_owned(),
    };
    store.record(call).await.unwrap();
    assert_eq!(current(&*store, "acme").await, Some((1, text.into())));
    let records = store.revisions(&tenant("acme"), None, 1).await.unwrap();
    // Databases that cannot keep it have its picture instead.
    let submitted = records[0].submitted.replace('\u{2400}', "\0");
    assert_eq!(submitted, format!("# {text}\n"));
}
