//! Telemetry: measurements, never waited for.

use async_trait::async_trait;

/// The dimensions of a measurement. Values come from small sets (a method, a configured server,
/// an outcome), never from what a client sends.
pub type Attributes<'a> = [(&'static str, &'a str)];

/// Takes measurements. MCP tools: `record-counter`, `record-histogram`, `record-gauge`.
///
/// The record methods return at once and report nothing: an implementation that talks to others
/// queues within bounds and drops what does not fit, so that no request is ever delayed or failed.
#[async_trait]
pub trait Telemetry: Send + Sync {
    /// Adds to a counter.
    fn record_counter(&self, name: &'static str, value: u64, attributes: &Attributes<'_>);

    /// Adds an observation to a histogram, in the unit that the name ends with (`_seconds`, `_bytes`).
    fn record_histogram(&self, name: &'static str, value: f64, attributes: &Attributes<'_>);

    /// Sets a gauge.
    fn record_gauge(&self, name: &'static str, value: i64, attributes: &Attributes<'_>);

    /// Sends what is queued and stops. Nothing is recorded afterwards. May be called again.
    async fn close(&self);
}
