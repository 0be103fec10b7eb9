//! Telemetry `noop`: measurements go nowhere.

use async_trait::async_trait;
use gateway_core::plugin::{Attributes, Telemetry};

/// Takes measurements and keeps none.
#[derive(Debug)]
pub(crate) struct Noop;

#[async_trait]
impl Telemetry for Noop {
    fn record_counter(&self, _name: &'static str, _value: u64, _attributes: &Attributes<'_>) {}

    fn record_histogram(&self, _name: &'static str, _value: f64, _attributes: &Attributes<'_>) {}

    fn record_gauge(&self, _name: &'static str, _value: i64, _attributes: &Attributes<'_>) {}

    async fn close(&self) {}
}
