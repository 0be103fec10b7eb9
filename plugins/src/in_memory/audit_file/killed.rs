//! What is left in the files when the process that writes them is killed: each event that it said was logged, once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, thread};

use gateway_core::plugin::{AuditEvent, AuditSink as _};
use gateway_core::{CallContext, Deadline, RequestId, TenantId};
use gateway_tests::victim::{Victim, Work};
use serde_json::{Value, json};

use super::tests::limits;
use super::*;
use crate::in_memory::{JsonLines, Outputs};
use crate::suite::audit_event;

/// How often the writer of one file is killed. There is a file for each durability.
const KILLS: u64 = 160;

fn settings(durability: AuditDurability) -> Limits {
    Limits {
        to_disk: durability == AuditDurability::Disk,
        ..limits(json!({ "max_bytes": 4096, "keep": 100_000 }))
    }
}

/// An event with this number. Some are so long that they take several pages of memory.
fn event(number: u64) -> AuditEvent {
    let mut event = audit_event(&number.to_string());
    let filler = "x".repeat(if number.is_multiple_of(7) {
        30_000
    } else {
        500
    });
    event.metadata.insert("filler".into(), filler.into());
    event
}

/// What the processes of the test below run: up to four events at a time. With several threads, as
/// one alone would never write a line itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_events_until_it_is_killed() {
    let Some(work) = Work::given() else { return };
    let durability = match work.worker {
        0 => AuditDurability::Process,
        _ => AuditDurability::Disk,
    };
    let path = Path::new(&work.place).join("audit.jsonl");
    let writer = Outputs::default().file(&path, settings(durability));
    let sink = JsonLines::new(writer.unwrap());
    let deadline = Deadline::after(Duration::from_secs(60));
    let context = CallContext::new(TenantId::default(), deadline, RequestId::new("r1"));
    let mut next = work.first;
    loop {
        let events: Vec<_> = (next..=next + next % 4).map(event).collect();
        next += events.len() as u64;
        sink.log_events(&context, &events).await.unwrap();
        Work::is_done(next - 1).unwrap();
    }
}

/// The files as they are found after each kill.
struct Found {
    path: PathBuf,
    /// The numbers in the files that were set aside, which nothing changes any more.
    aside: BTreeMap<PathBuf, Vec<u64>>,
    /// The numbers in the file that was written to.
    current: Vec<u64>,
}

impl Found {
    /// Looks again. Only the file that was written to may end in a line that was cut off; says so.
    fn look(&mut self) -> bool {
        let aside = rotate::aside(&self.path).unwrap();
        for known in self.aside.keys() {
            assert!(aside.contains(known), "{} is gone", known.display());
        }
        for file in aside {
            self.aside.entry(file).or_insert_with_key(|file| {
                let (whole, torn) = numbers(&fs::read_to_string(file).unwrap());
                assert!(!torn, "{} ends in the middle of a line", file.display());
                whole
            });
        }
        // Killed between the two names, it has left none that is written to.
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let (whole, torn) = numbers(&text);
        self.current = whole;
        torn
    }

    fn all(&self) -> Vec<u64> {
        let aside = self.aside.values().flatten();
        aside.chain(&self.current).copied().collect()
    }
}

/// The numbers of the events in a file, and whether it ends in something else than a whole line.
fn numbers(text: &str) -> (Vec<u64>, bool) {
    let end = text.rfind('\n').map_or(0, |end| end + 1);
    let (whole, rest) = text.split_at(end);
    let number = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        let id = event["metadata"]["event_id"].as_str();
        id.unwrap().parse::<u64>().unwrap()
    };
    (whole.lines().map(number).collect(), !rest.is_empty())
}

fn kill_writers(durability: AuditDurability) {
    let folder = tempfile::tempdir().unwrap();
    let test = "in_memory::audit_file::killed::logs_events_until_it_is_killed";
    let worker = u64::from(durability == AuditDurability::Disk);
    let mut found = Found {
        path: folder.path().join("audit.jsonl"),
        aside: BTreeMap::new(),
        current: Vec::new(),
    };
    let mut next = 0;
    for kill in 0..KILLS {
        let victim = Victim::start(test, folder.path().display(), worker, next).unwrap();
        let done = victim.kill(kill % 3 == 0).unwrap();
        found.look();
        let all = found.all();
        let expected: Vec<u64> = (0..all.len() as u64).collect();
        assert_eq!(all, expected, "each once and in order, after {kill} kills");
        let acknowledged = done.map_or(next, |done| done + 1);
        next = all.len() as u64;
        assert!(
            (acknowledged..=acknowledged + 4).contains(&next),
            "there are {next}, and {acknowledged} were acknowledged"
        );
    }
    // The next start mends what the last one left.
    let limits = Arc::new(ArcSwap::from_pointee(settings(durability)));
    drop(RotatingFile::open(&found.path, limits, Arc::default()).unwrap());
    assert!(!found.look());
    assert_eq!(found.all().len() as u64, next);
    assert!(found.aside.len() > 50, "files were set aside");
    assert!(next > 2 * KILLS, "only {next} events were logged");
}

#[test]
fn a_killed_writer_leaves_every_event_once_and_in_order() {
    let both = [AuditDurability::Process, AuditDurability::Disk];
    let killing = both.map(|durability| thread::spawn(move || kill_writers(durability)));
    for killing in killing {
        killing.join().unwrap();
    }
}
