//! One event for every request, to a sink that works, fails and works again.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use gateway_core::plugin::{AuditSink, Reservation};
use gateway_core::{CallContext, ErrorKind, PluginError};
use tokio::sync::{Semaphore, mpsc};

use super::*;
use crate::error::Reason;
use crate::snapshot::testing;

/// Hands on what it takes, once it may; fails when it is told to.
struct Sink {
    events: mpsc::UnboundedSender<AuditEvent>,
    fails: AtomicBool,
    is_full: AtomicBool,
    pace: Semaphore,
}

#[async_trait]
impl AuditSink for Sink {
    async fn reserve(&self, _: &CallContext) -> Result<Reservation, PluginError> {
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(PluginError::new(ErrorKind::ResourceExhausted, "full")),
            false => Ok(Reservation::NONE),
        }
    }

    async fn log_event(&self, _: &CallContext, event: &AuditEvent) -> Result<(), PluginError> {
        self.pace.acquire().await.unwrap().forget();
        if self.fails.load(Ordering::SeqCst) {
            return Err(PluginError::new(ErrorKind::Unavailable, "the disk is full"));
        }
        self.events.send(event.clone()).unwrap();
        Ok(())
    }
}

struct Bench {
    sink: Arc<Sink>,
    snapshot: Snapshot,
    events: mpsc::UnboundedReceiver<AuditEvent>,
    tasks: TaskTracker,
}

impl Bench {
    fn new() -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let sink = Arc::new(Sink {
            events: sender,
            fails: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            pace: Semaphore::new(100),
        });
        let mut snapshot = testing::snapshot("", 7);
        snapshot.plugins.audit_sink = Arc::clone(&sink) as _;
        Self {
            sink,
            snapshot,
            events,
            tasks: TaskTracker::new(),
        }
    }

    fn trail(&self) -> Trail {
        let request = RequestId::new("r1");
        let mut trail = Trail::begin("tools/call", &self.snapshot.tenant, &request, &self.tasks);
        trail.in_force(&self.snapshot);
        trail
    }
}

fn result_of(event: &AuditEvent) -> (AuditOutcome, Option<&str>) {
    let reason = event.metadata.get("reason");
    (event.result, reason.and_then(serde_json::Value::as_str))
}

#[tokio::test]
async fn an_event_is_written_once_however_often_it_is_closed() {
    let mut bench = Bench::new();
    let mut trail = bench.trail();
    trail.finish().await;
    let failure = Failure::new(Reason::Denied, "no");
    trail.refuse(&failure).await;
    drop(trail);
    bench.tasks.close();
    bench.tasks.wait().await;
    let event = bench.events.recv().await.unwrap();
    assert_eq!(result_of(&event), (AuditOutcome::Ok, None));
    assert_eq!(event.metadata["revision"], 7);
    assert!(bench.events.try_recv().is_err());
}

#[tokio::test]
async fn a_request_that_was_dropped_is_recorded_as_cancelled() {
    let mut bench = Bench::new();
    drop(bench.trail());
    let event = bench.events.recv().await.unwrap();
    let cancelled = (AuditOutcome::Error, Some("cancelled by the client"));
    assert_eq!(result_of(&event), cancelled);
}

#[tokio::test]
async fn what_is_not_worth_an_event_leaves_none() {
    let mut bench = Bench::new();
    bench.trail().forget();
    bench.tasks.close();
    bench.tasks.wait().await;
    assert!(bench.events.try_recv().is_err());
}

#[tokio::test]
async fn a_client_that_goes_away_while_its_event_is_written_does_not_lose_it() {
    let mut bench = Bench::new();
    bench.sink.pace.forget_permits(100);
    let mut trail = bench.trail();
    assert!(futures_util::poll!(Box::pin(trail.finish())).is_pending());
    drop(trail);
    bench.sink.pace.add_permits(1);
    let event = bench.events.recv().await.unwrap();
    assert_eq!(result_of(&event), (AuditOutcome::Ok, None));
}

#[tokio::test]
async fn a_sink_that_fails_closes_the_gate_until_it_works_again() {
    let mut bench = Bench::new();
    let gate = bench.snapshot.audit.clone();
    assert!(gate.enter().is_some());
    bench.sink.fails.store(true, Ordering::SeqCst);
    bench.trail().finish().await;
    assert!(gate.enter().is_none());
    bench.trail().finish().await;
    assert!(gate.enter().is_none());
    bench.sink.fails.store(false, Ordering::SeqCst);
    bench.trail().finish().await;
    assert!(gate.enter().is_some());
    assert!(bench.events.recv().await.is_some());
}

#[tokio::test]
async fn what_was_not_carried_out_takes_no_space_from_what_is() {
    let mut bench = Bench::new();
    let gate = bench.snapshot.audit.clone();
    bench.sink.is_full.store(true, Ordering::SeqCst);
    bench.trail().finish().await;
    // A sink that is full is not broken: what is under way has its space there.
    assert!(gate.enter().is_some());
    bench.sink.is_full.store(false, Ordering::SeqCst);
    bench
        .trail()
        .refuse(&Failure::new(Reason::Denied, "no"))
        .await;
    let event = bench.events.recv().await.unwrap();
    assert_eq!(result_of(&event), (AuditOutcome::Denied, Some("no")));
    assert!(bench.events.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn whom_nobody_knows_is_counted_beyond_a_budget_and_a_caller_is_not() {
    let mut bench = Bench::new();
    bench.sink.pace.add_permits(10_000);
    for _ in 0..500 {
        let failure = Failure::new(Reason::Unauthenticated, "who are you?");
        bench.trail().refuse(&failure).await;
    }
    let mut trail = bench.trail();
    trail.caller(&Principal::named("ada".parse().unwrap()));
    trail.finish().await;
    drop(trail);
    let mut single = 0;
    let summary = loop {
        let event = bench.events.recv().await.unwrap();
        match &*event.event_type {
            "refusals" => break event,
            _ => single += 1,
        }
    };
    assert_eq!(single, 201);
    assert_eq!(summary.metadata["count"], 300);
    assert_eq!(
        summary.metadata["by_reason"],
        serde_json::json!({ "unauthenticated": 300 })
    );
    assert_eq!(summary.result, AuditOutcome::Denied);
}
