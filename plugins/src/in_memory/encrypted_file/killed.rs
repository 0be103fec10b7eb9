//! What is left in the file when processes that change it are killed: all that they said was done.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

use gateway_tests::victim::{Victim, Work};

use super::tests::{context, get, key, put, storage};
use super::*;

/// So many processes work on one file at once, and are killed one by one, so many times.
const WORKERS: u64 = 5;
const ROUNDS: u64 = 66;
/// After so many rounds the file is begun anew, so that processes are killed who make it, too.
const ROUNDS_OF_A_FILE: u64 = 11;
/// In which so many credentials of each process are stored and deleted.
const SLOTS: u64 = 5;

/// Which credential a worker's change is about, and whether it is stored or deleted.
fn change(worker: u64, number: u64) -> (String, Option<u64>) {
    let slot = format!("w{worker}-{}", number % SLOTS);
    (slot, (number % 3 != 2).then_some(number))
}

/// What the processes of the test below run.
#[tokio::test]
async fn changes_credentials_until_it_is_killed() {
    let Some(work) = Work::given() else { return };
    let storage = storage(Path::new(&work.place));
    for number in work.first.. {
        match change(work.worker, number) {
            (slot, Some(value)) => put(&storage, &slot, &value.to_string()).await,
            (slot, None) => storage.delete(&context(), &key(&slot)).await.unwrap(),
        }
        Work::is_done(number).unwrap();
    }
}

/// What one worker's credentials must be.
#[derive(Default)]
struct Expected {
    slots: BTreeMap<String, Option<u64>>,
    next: u64,
}

impl Expected {
    /// Takes over what was said to be done. Of the change after that either all or nothing was
    /// done, and the storage tells which.
    async fn hold(&mut self, storage: &EncryptedFile, worker: u64, done: Option<u64>) {
        let first_open = done.map_or(self.next, |done| done + 1);
        for number in self.next..first_open {
            let (slot, value) = change(worker, number);
            self.slots.insert(slot, value);
        }
        let (open, new) = change(worker, first_open);
        let old = self.slots.get(&open).copied().flatten();
        for slot in (0..SLOTS).map(|slot| format!("w{worker}-{slot}")) {
            let found = get(storage, &slot).await.map(|text| text.parse().unwrap());
            let expected = self.slots.get(&slot).copied().flatten();
            if slot == open {
                assert!(
                    found == old || found == new,
                    "{slot}: {found:?} is neither {old:?} nor {new:?}"
                );
                self.slots.insert(slot, found);
            } else {
                assert_eq!(found, expected, "{slot} after {done:?}");
            }
        }
        self.next = first_open + 1;
    }
}

#[tokio::test]
async fn processes_that_are_killed_leave_every_change_that_they_said_was_made() {
    let test = "in_memory::encrypted_file::killed::changes_credentials_until_it_is_killed";
    let mut changes = 0;
    for file in 0..ROUNDS / ROUNDS_OF_A_FILE {
        let folder = tempfile::tempdir().unwrap();
        let mut expected: Vec<Expected> = (0..WORKERS).map(|_| Expected::default()).collect();
        for round in 0..ROUNDS_OF_A_FILE {
            let killed = expected.iter().zip(0..).map(|(expected, worker)| {
                let place = folder.path().display();
                let victim = Victim::start(test, place, worker, expected.next).unwrap();
                thread::spawn(move || victim.kill((file + round + worker) % 3 == 0).unwrap())
            });
            let killed: Vec<_> = killed.collect();
            let done: Vec<_> = killed.into_iter().map(|one| one.join().unwrap()).collect();
            let storage = storage(folder.path());
            for ((expected, worker), done) in expected.iter_mut().zip(0..).zip(done) {
                expected.hold(&storage, worker, done).await;
            }
        }
        changes += expected.iter().map(|expected| expected.next).sum::<u64>();
        // It is as good as new: nothing that a killed process left is in the way.
        put(&storage(folder.path()), "last", "x").await;
    }
    assert!(
        changes > WORKERS * ROUNDS,
        "they came to {changes} changes only"
    );
}
