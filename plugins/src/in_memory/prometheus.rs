//! Telemetry `prometheus`: measurements are kept for `/metrics` of the operations listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use gateway_core::TenantId;
use gateway_core::plugin::{Attributes, Telemetry};

use crate::metrics::Metrics;

/// Measures for one tenant, whose name is a label of everything.
#[derive(Debug)]
pub(crate) struct Prometheus {
    tenant: TenantId,
    metrics: Arc<Metrics>,
    closed: AtomicBool,
}

impl Prometheus {
    pub(crate) fn new(tenant: &TenantId, metrics: &Arc<Metrics>) -> Self {
        Self {
            tenant: tenant.clone(),
            metrics: Arc::clone(metrics),
            closed: AtomicBool::new(false),
        }
    }

    /// The labels of a measurement, in order; `None` when nothing is measured any more.
    fn labels<'a>(&'a self, attributes: &Attributes<'a>) -> Option<Vec<(&'a str, &'a str)>> {
        if self.closed.load(Ordering::Relaxed) {
            return None;
        }
        let mut labels = Vec::with_capacity(attributes.len() + 1);
        labels.push(("tenant", self.tenant.as_str()));
        labels.extend_from_slice(attributes);
        // A name once only, whatever the caller says; the tenant's own stands first among its like.
        labels.sort_by_key(|(name, _)| *name);
        labels.dedup_by_key(|(name, _)| *name);
        Some(labels)
    }
}

#[async_trait]
impl Telemetry for Prometheus {
    fn record_counter(&self, name: &'static str, value: u64, attributes: &Attributes<'_>) {
        if let Some(labels) = self.labels(attributes) {
            self.metrics.count(name, value, &labels);
        }
    }

    fn record_histogram(&self, name: &'static str, value: f64, attributes: &Attributes<'_>) {
        if let Some(labels) = self.labels(attributes) {
            self.metrics.observe(name, value, &labels);
        }
    }

    fn record_gauge(&self, name: &'static str, value: i64, attributes: &Attributes<'_>) {
        if let Some(labels) = self.labels(attributes) {
            self.metrics.set(name, value, &labels);
        }
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}
