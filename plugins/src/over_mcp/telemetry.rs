//! Measurements for an MCP server: `record-counter`, `record-histogram` and `record-gauge`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::plugin::{Attributes, Telemetry};
use gateway_core::{CallContext, Deadline, RequestId, TenantId};
use serde::Serialize;
use serde_json::Number;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::answer::Answer;
use super::server::{PluginServer, Repeat};

const COUNTER: &str = "record-counter";
const HISTOGRAM: &str = "record-histogram";
const GAUGE: &str = "record-gauge";

/// How many measurements wait at most; what comes beyond is dropped.
const QUEUE: usize = 4096;

/// For so long measurements are gathered before they are sent, counters added up.
const GATHER: Duration = Duration::from_secs(1);

/// How long sending may take, all in all, once there is nothing more to come.
const LAST: Duration = Duration::from_secs(2);

/// Has a server take measurements.
#[derive(Debug)]
pub(crate) struct TelemetryServer {
    queue: mpsc::Sender<Measurement>,
    dropped: Arc<AtomicU64>,
    stop: CancellationToken,
    sending: TaskTracker,
}

/// A series: which tool it is for, its name, its attributes.
type Series = (&'static str, &'static str, BTreeMap<&'static str, String>);

#[derive(Debug)]
struct Measurement {
    series: Series,
    value: Number,
}

#[derive(Serialize)]
struct Arguments<'a> {
    name: &'a str,
    value: &'a Number,
    attributes: &'a BTreeMap<&'static str, String>,
    tenant_id: &'a str,
}

impl TelemetryServer {
    /// The tools that it cannot do without.
    pub(crate) const REQUIRED: &[&str] = &[COUNTER, HISTOGRAM, GAUGE];

    /// Begins to send; within a runtime.
    pub(crate) fn new(server: PluginServer, tenant: TenantId) -> Self {
        let (queue, queued) = mpsc::channel(QUEUE);
        let (dropped, stop) = (Arc::default(), CancellationToken::new());
        let sender = Sender {
            server,
            tenant,
            queued,
            dropped: Arc::clone(&dropped),
            stop: stop.clone(),
        };
        let sending = TaskTracker::new();
        drop(sending.spawn(sender.run()));
        Self {
            queue,
            dropped,
            stop,
            sending,
        }
    }

    fn record(
        &self,
        tool: &'static str,
        name: &'static str,
        value: Number,
        attributes: &Attributes<'_>,
    ) {
        let attributes = attributes.iter();
        let attributes = attributes.map(|(name, value)| (*name, (*value).to_owned()));
        let series = (tool, name, attributes.collect());
        let is_closed = self.stop.is_cancelled();
        if is_closed || self.queue.try_send(Measurement { series, value }).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl Telemetry for TelemetryServer {
    fn record_counter(&self, name: &'static str, value: u64, attributes: &Attributes<'_>) {
        self.record(COUNTER, name, value.into(), attributes);
    }

    fn record_histogram(&self, name: &'static str, value: f64, attributes: &Attributes<'_>) {
        // What is no number says nothing.
        if let Some(value) = Number::from_f64(value) {
            self.record(HISTOGRAM, name, value, attributes);
        }
    }

    fn record_gauge(&self, name: &'static str, value: i64, attributes: &Attributes<'_>) {
        self.record(GAUGE, name, value.into(), attributes);
    }

    async fn close(&self) {
        self.stop.cancel();
        self.sending.close();
        self.sending.wait().await;
    }
}

impl Drop for TelemetryServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Sends what is queued.
struct Sender {
    server: PluginServer,
    tenant: TenantId,
    queued: mpsc::Receiver<Measurement>,
    dropped: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Sender {
    async fn run(mut self) {
        let mut is_failing = false;
        loop {
            let stopping = tokio::select! {
                () = self.stop.cancelled() => true,
                () = tokio::time::sleep(GATHER) => false,
            };
            let gathered = self.gather();
            let sending = self.send(&gathered, &mut is_failing);
            if stopping {
                if tokio::time::timeout(LAST, sending).await.is_err() {
                    debug!("measurements are left out at the end");
                }
                return;
            }
            sending.await;
        }
    }

    /// What has come meanwhile: of a counter its sum, of a gauge its last value, of a histogram all.
    fn gather(&mut self) -> Vec<Measurement> {
        let mut gathered: Vec<Measurement> = Vec::new();
        let mut places = BTreeMap::<Series, usize>::new();
        while let Ok(next) = self.queued.try_recv() {
            let place = places.get(&next.series).copied();
            match place.and_then(|place| gathered.get_mut(place)) {
                Some(known) if next.series.0 == COUNTER => {
                    let sum = known.value.as_u64().zip(next.value.as_u64());
                    let sum = sum.map(|(a, b)| a.saturating_add(b));
                    known.value = sum.unwrap_or_default().into();
                }
                Some(known) if next.series.0 == GAUGE => known.value = next.value,
                _ => {
                    places.insert(next.series.clone(), gathered.len());
                    gathered.push(next);
                }
            }
        }
        gathered
    }

    async fn send(&self, gathered: &[Measurement], is_failing: &mut bool) {
        for (sent, Measurement { series, value }) in gathered.iter().enumerate() {
            let (tool, name, attributes) = series;
            let arguments = Arguments {
                name,
                value,
                attributes,
                tenant_id: self.tenant.as_str(),
            };
            let context = CallContext::new(
                self.tenant.clone(),
                Deadline::after(super::server::TIMEOUT),
                RequestId::new("telemetry"),
            );
            // Counted twice is worse than not counted.
            let called = self
                .server
                .call(&context, tool, &arguments, Repeat::IfUndone);
            let error = match called.await {
                Ok(Answer::Given(_)) => None,
                Ok(Answer::Failed(refusal)) => Some(refusal.into_error(self.server.plugin())),
                Err(error) => Some(error),
            };
            let Some(error) = error else {
                *is_failing = false;
                continue;
            };
            // The others would wait as long.
            let rest = gathered.len() - sent;
            self.dropped.fetch_add(rest as u64, Ordering::Relaxed);
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            match std::mem::replace(is_failing, true) {
                true => debug!(%error, dropped, "measurements are still dropped"),
                false => warn!(%error, dropped, "measurements are dropped"),
            }
            return;
        }
    }
}
