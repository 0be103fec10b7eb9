//! What is left in a store when processes that write to it are killed: every change that they said was made, one more at
//! most of each, and nothing else.

use std::thread;

use gateway_tests::victim::{Victim, Work};
use tempfile::TempDir;

use super::postgres::tests::new_database;
use super::*;

/// So often writers are killed on each store, which is begun anew after every 30 times.
const KILLS: u64 = 300;

/// So many changes of each tenant, of which the last removes it; then it comes back.
const CYCLE: u64 = 4;
/// So many tenants are changed in turn by each process.
const TENANTS: u64 = 3;

/// One change of a worker, and what the audit trail must have of it.
struct Planned {
    tenant: TenantId,
    /// The last revision before it.
    last: u64,
    /// There is no document before it.
    comes: bool,
    removes: bool,
}

/// The changes of a worker follow from their numbers.
fn planned(worker: u64, number: u64) -> Planned {
    let turn = number / TENANTS;
    Planned {
        tenant: format!("w{worker}-{}", number % TENANTS).parse().unwrap(),
        last: turn - turn / CYCLE,
        comes: turn.is_multiple_of(CYCLE),
        removes: turn % CYCLE == CYCLE - 1,
    }
}

impl Planned {
    fn action(&self) -> &'static str {
        if self.removes { "remove" } else { "apply" }
    }

    /// The revision that is made, or taken out of force.
    fn revision(&self) -> u64 {
        self.last + u64::from(!self.removes)
    }

    async fn make(&self, store: &dyn Store) {
        let (created_at, author) = (Timestamp::now(), "ada".to_owned());
        if self.removes {
            let removal = NewRemoval {
                tenant: self.tenant.clone(),
                expected: Revision(self.last),
                created_at,
                author,
                reason: String::new(),
                request: None,
            };
            return store.remove(removal).await.unwrap();
        }
        let content = content(&self.tenant, self.revision());
        let new = NewRevision {
            tenant: self.tenant.clone(),
            expected: (!self.comes).then_some(Revision(self.last)),
            created_at,
            author,
            reason: String::new(),
            summary: String::new(),
            action: WriteAction::Apply,
            submitted: content.clone(),
            resolved: content.into(),
            rolled: Rolled::AtOnce(crate::rollout::Stage::Superseded),
            request: None,
        };
        let revision = store.write(new).await.unwrap();
        assert_eq!(revision.0, self.revision());
    }
}

/// Some are so long that they take several pages.
fn content(tenant: &TenantId, revision: u64) -> String {
    let length = if revision.is_multiple_of(5) { 3000 } else { 1 };
    format!("{tenant} {revision} ").repeat(length)
}

/// What the processes of the tests below run.
#[tokio::test]
async fn changes_tenants_until_it_is_killed() {
    let Some(work) = Work::given() else { return };
    let store = open(&database(&work.place)).await.unwrap();
    for number in work.first.. {
        planned(work.worker, number).make(&*store).await;
        Work::is_done(number).unwrap();
    }
}

fn database(place: &str) -> Database {
    match place.parse() {
        Ok(address) => Database::Postgres(address),
        Err(_) => Database::Sqlite(place.into()),
    }
}

/// Kills `workers` processes at once on one store, for so many rounds, and looks at the store after each. Gives the number
/// of changes that it has in the end.
async fn kill(place: &str, workers: u64, rounds: u64) -> u64 {
    let test = "store::killed::changes_tenants_until_it_is_killed";
    let mut made: Vec<u64> = vec![0; workers.try_into().unwrap()];
    for round in 0..rounds {
        let killing = (0..).zip(&made).map(|(worker, first)| {
            let victim = Victim::start(test, place, worker, *first).unwrap();
            thread::spawn(move || victim.kill((round + worker) % 3 == 0).unwrap())
        });
        let killing: Vec<_> = killing.collect();
        let done = killing.into_iter().map(|killing| killing.join().unwrap());
        let done: Vec<_> = done.collect();
        let store = open(&database(place)).await.unwrap();
        settle(&*store).await;
        let found = look(&*store, workers).await;
        for ((before, done), found) in made.iter().zip(done).zip(&found) {
            let acknowledged = done.map_or(*before, |done| done + 1);
            assert!(
                (acknowledged..=acknowledged + 1).contains(found),
                "there are {found}, and {acknowledged} were acknowledged"
            );
        }
        store.close().await;
        made = found;
    }
    made.into_iter().sum()
}

/// What a killed process had begun to commit is committed before the next writer's turn.
async fn settle(store: &dyn Store) {
    let never = NewRemoval {
        tenant: TenantId::default_tenant(),
        expected: Revision(1),
        created_at: Timestamp::UNIX_EPOCH,
        author: String::new(),
        reason: String::new(),
        request: None,
    };
    store.remove(never).await.unwrap_err();
}

/// Checks that everything in the store is what the workers do, in their order, and says how far each has come.
async fn look(store: &dyn Store, workers: u64) -> Vec<u64> {
    let mut made: Vec<u64> = vec![0; workers.try_into().unwrap()];
    let trail = store.trail().await;
    for (row, sequence) in trail.iter().zip(1..) {
        let worker = row.target.strip_prefix('w').unwrap();
        let (worker, _) = worker.split_once('-').unwrap();
        let worker: u64 = worker.parse().unwrap();
        let next = &mut made[usize::try_from(worker).unwrap()];
        let planned = planned(worker, *next);
        let expected = TrailRow {
            sequence,
            action: planned.action().to_owned(),
            revision: planned.revision(),
            target: planned.tenant.to_string(),
        };
        assert_eq!(*row, expected);
        *next += 1;
    }
    let heads = store.heads_since(0).await.unwrap();
    assert_eq!(heads.sequence, trail.len() as u64);
    for (worker, made) in (0..).zip(&made) {
        for number in *made..made + TENANTS {
            look_at_tenant(store, &heads, &planned(worker, number)).await;
        }
    }
    made
}

/// Checks all that is kept of a tenant whose next change would be `next`.
async fn look_at_tenant(store: &dyn Store, heads: &Heads, next: &Planned) {
    let Planned {
        tenant,
        last,
        comes,
        ..
    } = next;
    let records = store.revisions(tenant, None, u32::MAX).await.unwrap();
    let numbers: Vec<_> = records.iter().map(|record| record.revision.0).collect();
    let expected: Vec<_> = (1..=*last).rev().collect();
    assert_eq!(numbers, expected, "{tenant}");
    for record in records {
        assert_eq!(record.submitted, content(tenant, record.revision.0));
    }
    let head = heads.heads.iter().find(|head| head.tenant == *tenant);
    let current = head.and_then(|head| head.current.clone());
    let expected = (!comes).then(|| (Revision(*last), Bytes::from(content(tenant, *last))));
    assert_eq!(current, expected, "{tenant}");
    assert_eq!(head.is_some(), *last > 0, "{tenant}");
}

#[tokio::test]
async fn killed_writers_leave_every_acknowledged_change_in_sqlite() {
    let mut changes = 0;
    // The first of each file is killed while it makes the store.
    for _ in 0..KILLS / 30 {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("gateway.db");
        changes += kill(&file.display().to_string(), 1, 30).await;
    }
    assert!(changes > KILLS / 2, "they came to {changes} changes only");
}

#[tokio::test]
async fn killed_writers_leave_every_acknowledged_change_in_postgresql() {
    let mut changes = 0;
    for _ in 0..KILLS / 30 {
        changes += kill(&new_database(), 3, 10).await;
    }
    assert!(changes > KILLS / 2, "they came to {changes} changes only");
}
