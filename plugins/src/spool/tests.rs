//! Events get through whatever the sink does, in order, and none is lost that was said to be kept.

mod damaged;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicU32;

use async_trait::async_trait;
use gateway_core::config::{AuditDurability, AuditOverflow};
use gateway_core::plugin::AuditEvent;
use gateway_core::{CallContext, Deadline, ErrorKind, PluginError, RequestId};
use serde_json::Value;

use super::*;
use crate::suite::{self, ReadBack, audit_event};

const PROCESS: Promises = Promises {
    durability: AuditDurability::Process,
    on_overflow: AuditOverflow::Refuse,
};
const DISK: Promises = Promises {
    durability: AuditDurability::Disk,
    ..PROCESS
};
const SINK: Promises = Promises {
    durability: AuditDurability::Sink,
    ..PROCESS
};
const DROP: Promises = Promises {
    on_overflow: AuditOverflow::Drop,
    ..PROCESS
};

/// Takes events, if it does.
#[derive(Default)]
struct Memory {
    taken: watch::Sender<Vec<AuditEvent>>,
    is_down: AtomicBool,
    /// How many batches it still takes only half of.
    halves: AtomicU32,
    calls: AtomicU64,
}

impl Memory {
    fn take(&self, events: &[AuditEvent]) -> Result<(), PluginError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.is_down.load(Ordering::SeqCst) {
            return Err(PluginError::new(ErrorKind::Unavailable, "out for lunch"));
        }
        for event in events {
            if id(event).starts_with("poison") {
                return Err(PluginError::new(ErrorKind::InvalidArgument, "not that one"));
            }
        }
        let halves = self.halves.load(Ordering::SeqCst);
        let half = halves > 0 && events.len() > 1;
        let count = if half { events.len() / 2 } else { events.len() };
        self.taken
            .send_modify(|taken| taken.extend_from_slice(&events[..count]));
        match half {
            true => {
                self.halves.store(halves - 1, Ordering::SeqCst);
                Err(PluginError::new(ErrorKind::Unavailable, "lost halfway"))
            }
            false => Ok(()),
        }
    }

    fn ids(&self) -> Vec<String> {
        self.taken.borrow().iter().map(id).collect()
    }

    /// Waits until it has so many.
    async fn has(&self, count: usize) -> Vec<String> {
        let mut taken = self.taken.subscribe();
        let waiting = taken.wait_for(|taken| taken.len() >= count);
        let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        drop(waited.expect("the events arrive").unwrap());
        self.ids()
    }

    fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }
}

#[async_trait]
impl AuditSink for Memory {
    async fn log_event(&self, _: &CallContext, event: &AuditEvent) -> Result<(), PluginError> {
        self.take(std::slice::from_ref(event))
    }

    async fn log_events(&self, _: &CallContext, events: &[AuditEvent]) -> Result<(), PluginError> {
        self.take(events)
    }
}

/// Empty for an event that damage has left without one.
fn id(event: &AuditEvent) -> String {
    let id = event.metadata.get("event_id").and_then(Value::as_str);
    id.unwrap_or_default().to_owned()
}

fn context() -> CallContext {
    let deadline = Deadline::after(Duration::from_secs(20));
    CallContext::new(TenantId::default(), deadline, RequestId::new("r1"))
}

fn spools(folder: &Path, max_tenant_bytes: u64) -> Spools {
    let options = SpoolOptions {
        folder: folder.to_owned(),
        max_tenant_bytes,
    };
    Spools::new(options, Arc::default())
}

const PLENTY: u64 = SpoolOptions::MAX_TENANT_BYTES;

fn sink_in(spools: &Spools, name: &str, memory: &Arc<Memory>, promises: Promises) -> SpoolSink {
    let tenant = TenantId::default();
    let target = Arc::clone(memory) as Arc<dyn AuditSink>;
    let sink = spools.sink((&tenant, name), target, promises).unwrap();
    sink.take_over(1);
    sink
}

async fn log(sink: &SpoolSink, ids: impl IntoIterator<Item = u32>) {
    for id in ids {
        sink.log_event(&context(), &audit_event(&id.to_string()))
            .await
            .unwrap();
    }
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// As if the process had been killed: nothing is told, and the folders are free.
fn abandon(spools: Spools, sinks: Vec<SpoolSink>) {
    for sink in sinks {
        sink.spool.folder.leave();
        drop(sink);
    }
    drop(spools);
}

/// Waits for it with the whole thread.
fn delivered(spool: &Spool) {
    let last = spool.next.load(Ordering::SeqCst);
    while *spool.acknowledged.borrow() < last {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_durability_passes_the_suite() {
    for promises in [PROCESS, DISK, SINK, DROP] {
        let folder = tempfile::tempdir().unwrap();
        let (spools, memory) = (spools(folder.path(), PLENTY), Arc::new(Memory::default()));
        let sink = Arc::new(sink_in(&spools, "audit", &memory, promises));
        let taken = Arc::clone(&memory);
        let spool = Arc::clone(&sink.spool);
        let read = move || {
            // What a sink has is what the spool has delivered: that is waited for. The delivery may be
            // this thread's own next task.
            tokio::task::block_in_place(|| delivered(&spool));
            let taken = taken.taken.borrow();
            let lines = taken
                .iter()
                .map(|event| serde_json::to_string(event).unwrap() + "\n");
            lines.collect()
        };
        let report = suite::audit_sink(sink, Some(ReadBack::new(read))).await;
        assert!(report.failures().is_empty(), "{promises:?}: {report}");
        spools.shut_down(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn what_a_sink_did_not_take_it_gets_once_it_does_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (spools, memory) = (spools(folder.path(), PLENTY), Arc::new(Memory::default()));
    memory.set_down(true);
    let sink = sink_in(&spools, "audit", &memory, PROCESS);
    log(&sink, 0..700).await;
    let mut problem = sink.spool.problem.subscribe();
    drop(problem.wait_for(Option::is_some).await.unwrap());
    let state = &spools.states()[0];
    assert_eq!((state.state, state.waiting), ("down", 700));
    assert_eq!(state.reason.as_deref(), Some("out for lunch"));
    assert!(state.bytes > 700 * 100);
    memory.set_down(false);
    assert_eq!(memory.has(700).await, numbers(0..700));
    spools.shut_down(Duration::from_secs(5)).await;
    assert_eq!(sink.spool.space.held(), 0);
}

#[tokio::test]
async fn what_was_kept_when_the_process_died_is_sent_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Arc::new(Memory::default());
    for life in 0..3 {
        memory.set_down(true);
        let spools = spools(folder.path(), PLENTY);
        let sink = sink_in(&spools, "audit", &memory, PROCESS);
        log(&sink, life * 100..life * 100 + 100).await;
        if life == 1 {
            memory.set_down(false);
            memory.has(200).await;
        }
        abandon(spools, vec![sink]);
    }
    memory.set_down(false);
    let spools = spools(folder.path(), PLENTY);
    let _sink = sink_in(&spools, "audit", &memory, PROCESS);
    memory.has(300).await;
    spools.shut_down(Duration::from_secs(5)).await;
    let mut ids = memory.ids();
    ids.dedup();
    let (mut seen, mut first) = (std::collections::HashSet::new(), Vec::new());
    for id in ids {
        if seen.insert(id.clone()) {
            first.push(id);
        }
    }
    assert_eq!(first, numbers(0..300));
}

#[tokio::test]
async fn a_batch_that_is_lost_halfway_is_sent_again_and_progress_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (spools, memory) = (spools(folder.path(), PLENTY), Arc::new(Memory::default()));
    memory.set_down(true);
    let sink = sink_in(&spools, "audit", &memory, PROCESS);
    log(&sink, 0..300).await;
    memory.halves.store(2, Ordering::SeqCst);
    memory.set_down(false);
    let mut acknowledged = sink.spool.acknowledged.subscribe();
    drop(
        acknowledged
            .wait_for(|acknowledged| *acknowledged == 300)
            .await
            .unwrap(),
    );
    let ids = memory.ids();
    assert!(ids.len() > 300, "some come twice");
    let mut once: Vec<u32> = ids.iter().map(|id| id.parse().unwrap()).collect();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once, (0..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_event_that_is_refused_for_good_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (spools, memory) = (spools(folder.path(), PLENTY), Arc::new(Memory::default()));
    let sink = sink_in(&spools, "audit", &memory, SINK);
    let mut events: Vec<_> = (0..10)
        .map(|number| audit_event(&number.to_string()))
        .collect();
    events.insert(4, audit_event("poison"));
    sink.log_events(&context(), &events).await.unwrap();
    assert_eq!(memory.has(10).await, numbers(0..10));
    let refused = folder.path().join("default/audit/refused.jsonl");
    let text = fs::read_to_string(&refused).unwrap();
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["metadata"]["event_id"], "poison");
    assert_eq!(sink.spool.space.held(), text.len() as u64);
    // It counts until somebody has taken it away.
    fs::remove_file(refused).unwrap();
    log(&sink, 10..11).await;
    spools.shut_down(Duration::from_secs(5)).await;
    assert_eq!(sink.spool.space.held(), 0);
}

#[tokio::test]
async fn a_full_spool_refuses_before_and_takes_what_is_promised() {
    let folder = tempfile::tempdir().unwrap();
    let (spools, memory) = (spools(folder.path(), 20_000), Arc::new(Memory::default()));
    memory.set_down(true);
    let sink = sink_in(&spools, "audit", &memory, PROCESS);
    let mut promised = Vec::new();
    let error = loop {
        match sink.reserve(&context()).await {
            Ok(reserved) => promised.push(reserved),
            Err(error) => break error,
        }
    };
    assert_eq!(promised.len(), 19);
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    // One that is carried out is recorded; one that is not gives its space back.
    log(&sink, 0..1).await;
    drop(promised.pop());
    drop(promised.pop());
    for _ in 0..2 {
        promised.push(sink.reserve(&context()).await.unwrap());
    }
    sink.reserve(&context()).await.unwrap_err();
    drop(promised);
    memory.set_down(false);
    memory.has(1).await;
    spools.shut_down(Duration::from_secs(5)).await;
    assert_eq!(sink.spool.space.held() + sink.spool.space.promised(), 0);
}

#[tokio::test]
async fn a_full_spool_that_may_drop_drops_and_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (spools, memory) = (spools(folder.path(), 5_000), Arc::new(Memory::default()));
    memory.set_down(true);
    let sink = sink_in(&spools, "audit", &memory, DROP);
    for number in 0..100 {
        sink.reserve(&context()).await.unwrap();
        log(&sink, number..number + 1).await;
    }
    let (kept, dropped) = (
        sink.spool.waiting(),
        sink.spool.dropped.load(Ordering::SeqCst),
    );
    assert!(
        kept > 10 && dropped > 10 && kept + dropped == 100,
        "{kept} {dropped}"
    );
    memory.set_down(false);
    let kept = u32::try_from(kept).unwrap();
    assert_eq!(memory.has(kept as usize).await, numbers(0..kept));
    spools.shut_down(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_sink_that_is_down_is_no_place_to_be_safe_in() {
    let folder = tempfile::tempdir().unwrap();
    let (spools, memory) = (spools(folder.path(), PLENTY), Arc::new(Memory::default()));
    let sink = sink_in(&spools, "audit", &memory, SINK);
    log(&sink, 0..3).await;
    assert_eq!(memory.ids(), numbers(0..3));
    memory.set_down(true);
    let error = sink
        .log_event(&context(), &audit_event("3"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = sink.reserve(&context()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.to_string(), "the audit sink `audit` takes no events");
    // That it was refused is recorded, and not waited for.
    log(&sink, 4..5).await;
    memory.set_down(false);
    assert_eq!(memory.has(5).await, numbers(0..5));
    sink.reserve(&context()).await.unwrap();
    spools.shut_down(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn another_sink_takes_over_with_what_waits_and_a_removed_one_is_still_delivered_to() {
    let folder = tempfile::tempdir().unwrap();
    let spools = spools(folder.path(), PLENTY);
    let (old, new) = (Arc::new(Memory::default()), Arc::new(Memory::default()));
    old.set_down(true);
    let before = sink_in(&spools, "audit", &old, PROCESS);
    log(&before, 0..10).await;
    // One that is built and then not put in force takes over nothing.
    let target = Arc::clone(&new) as Arc<dyn AuditSink>;
    let unused = spools
        .sink((&TenantId::default(), "audit"), target, PROCESS)
        .unwrap();
    drop(unused);
    let after = sink_in(&spools, "audit", &new, PROCESS);
    drop(before);
    log(&after, 10..20).await;
    assert_eq!(new.has(20).await, numbers(0..20));
    assert_eq!(old.ids(), numbers(0..0));
    new.set_down(true);
    log(&after, 20..30).await;
    drop(after);
    let mut taken = new.taken.subscribe();
    taken.borrow_and_update();
    assert_eq!(spools.states()[0].state, "removed");
    new.set_down(false);
    assert_eq!(new.has(30).await, numbers(0..30));
    // Then it is closed.
    while !spools.states().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let again = sink_in(&spools, "audit", &new, PROCESS);
    log(&again, 30..31).await;
    assert_eq!(new.has(31).await, numbers(0..31));
}

#[tokio::test]
async fn one_sink_that_is_down_leaves_space_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let spools = spools(folder.path(), 40_000);
    let (down, up) = (Arc::new(Memory::default()), Arc::new(Memory::default()));
    down.set_down(true);
    let first = sink_in(&spools, "first", &down, DROP);
    let second = sink_in(&spools, "second", &up, PROCESS);
    for sink in [&first, &second] {
        sink.take_over(2);
    }
    for number in 0..200 {
        log(&first, number..number + 1).await;
        let reserved = second.reserve(&context()).await.unwrap();
        log(&second, number..number + 1).await;
        drop(reserved);
        up.has(number as usize + 1).await;
    }
    assert!(first.spool.dropped.load(Ordering::SeqCst) > 0);
    assert!(first.spool.space.held() <= 20_000);
}

#[tokio::test]
async fn delivered_segments_are_removed_and_a_second_process_is_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let (one, memory) = (
        spools(folder.path(), 64 * 1024),
        Arc::new(Memory::default()),
    );
    let sink = sink_in(&one, "audit", &memory, PROCESS);
    for number in 0..600 {
        log(&sink, number..number + 1).await;
    }
    memory.has(600).await;
    one.shut_down(Duration::from_secs(5)).await;
    let mut files = BTreeMap::new();
    let path = folder.path().join("default/audit");
    for file in fs::read_dir(&path).unwrap() {
        let file = file.unwrap();
        files.insert(file.file_name(), file.metadata().unwrap().len());
    }
    assert!(files.len() <= 3, "{files:?}");
    let target = Arc::clone(&memory) as Arc<dyn AuditSink>;
    let other = spools(folder.path(), PLENTY);
    let other = other.sink((&TenantId::default(), "audit"), target, PROCESS);
    assert_eq!(other.err().unwrap().kind(), io::ErrorKind::WouldBlock);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&folder.path().join("default")), 0o700);
        assert!(files.keys().all(|name| mode(&path.join(name)) == 0o600));
    }
}

#[tokio::test]
async fn a_disk_without_room_is_as_a_full_quota() {
    fn none(_: &fs::File, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
    let folder = tempfile::tempdir().unwrap();
    let tenant = TenantId::default();
    let quota = Arc::new(Quota::new(PLENTY));
    let open = Folder::open(folder::place(folder.path(), &tenant, "audit")).unwrap();
    let opened = Spool::open_with(
        (&tenant, "audit"),
        open,
        (quota, 4096),
        Arc::default(),
        none,
    );
    let spool = Arc::new(opened.unwrap().0);
    spool.is_low.store(true, Ordering::SeqCst);
    let memory = Arc::new(Memory::default());
    let sink = SpoolSink::new(Arc::clone(&spool), memory, PROCESS);
    let error = sink.reserve(&context()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert_eq!(spool.space.promised(), 0);
    let error = sink
        .log_event(&context(), &audit_event("lost"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
