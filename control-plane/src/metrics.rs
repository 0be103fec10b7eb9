//! What a control plane measures, for a Prometheus server to read.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::apply::ApplyError;
use crate::push::{Batch, Hub, Step};

/// From what a change takes within a machine to what nobody waits for.
const SECONDS: [f64; 12] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
];

/// From a small document to the largest batch.
const BYTES: [f64; 8] = [
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    2_097_152.0,
    4_194_304.0,
];

const DOCUMENTS: [f64; 7] = [0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0];

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// What was measured. Labels are words of this file, and names of tenants where it is about tenants.
#[derive(Debug)]
pub(crate) struct Metrics {
    changes: Family<Labels<2>, Counter>,
    streams: Family<Labels<1>, Counter>,
    answers: Family<Labels<1>, Counter>,
    batch_documents: Histogram,
    batch_bytes: Histogram,
    settling: Histogram,
}

/// By what a change came about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    Apply,
    Rollback,
    Delete,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Rollback => "rollback",
            Self::Delete => "delete",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            changes: Family::default(),
            streams: Family::default(),
            answers: Family::default(),
            batch_documents: Histogram::new(DOCUMENTS),
            batch_bytes: Histogram::new(BYTES),
            settling: Histogram::new(SECONDS),
        }
    }
}

impl Metrics {
    /// A change that was asked for, and whether it `changed` something.
    pub(crate) fn asked(&self, action: Action, outcome: Result<bool, &ApplyError>) {
        let result = match outcome {
            Ok(true) => "made",
            Ok(false) => "unchanged",
            Err(
                ApplyError::Store(_) | ApplyError::Unpublished(_) | ApplyError::Interrupted { .. },
            ) => "failed",
            Err(
                ApplyError::Invalid(_)
                | ApplyError::Conflict { .. }
                | ApplyError::Repeated
                | ApplyError::NoTenant { .. }
                | ApplyError::NoRollout { .. }
                | ApplyError::NotHalted { .. }
                | ApplyError::NotFound { .. },
            ) => "refused",
        };
        let labels = [("action", action.as_str()), ("result", result)];
        self.changes.get_or_create(&labels).inc();
    }

    /// A replica that came, and whether it was let in.
    pub(crate) fn came(&self, is_let_in: bool) {
        let result = if is_let_in { "joined" } else { "refused" };
        self.streams.get_or_create(&[("result", result)]).inc();
    }

    pub(crate) fn sent(&self, batch: &Batch) {
        let sizes = batch.steps.iter().filter_map(|step| match step {
            Step::Put { config, .. } => Some(config.len()),
            Step::Remove(_) => None,
        });
        let (documents, bytes) = sizes.fold((0_u32, 0_usize), |(count, sum), size| {
            (count.saturating_add(1), sum.saturating_add(size))
        });
        self.batch_documents.observe(documents.into());
        self.batch_bytes.observe(bytes as f64);
    }

    /// What a replica answered to a batch.
    pub(crate) fn answered(&self, refusals: usize) {
        let result = match refusals {
            0 => "in_force",
            _ => "refused",
        };
        self.answers.get_or_create(&[("result", result)]).inc();
    }

    /// So long it took from a change to the last answer.
    pub(crate) fn settled(&self, after: Duration) {
        self.settling.observe(after.as_secs_f64());
    }

    /// Everything as OpenMetrics text, together with how things are right now.
    pub(crate) fn render(&self, hub: &Hub) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("mcp_gateway_control");
        registry.register(
            "changes",
            "Changes that were asked for: apply, rollback, delete",
            self.changes.clone(),
        );
        registry.register(
            "streams",
            "Data planes that came to join",
            self.streams.clone(),
        );
        registry.register(
            "answers",
            "Batches that data planes have answered: in_force, or refused in part or whole",
            self.answers.clone(),
        );
        registry.register(
            "batch_documents",
            "Documents in the batches that data planes were sent",
            self.batch_documents.clone(),
        );
        registry.register_with_unit(
            "batch",
            "Size of the documents in a batch",
            Unit::Bytes,
            self.batch_bytes.clone(),
        );
        registry.register_with_unit(
            "settling",
            "From a change to the answer of the last data plane that is connected here",
            Unit::Seconds,
            self.settling.clone(),
        );
        self.register_gauges(&mut registry, hub);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }

    fn register_gauges(&self, registry: &mut Registry, hub: &Hub) {
        let count = hub.count();
        let gauge = |value: u64| {
            let gauge = Gauge::<i64>::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            gauge
        };
        registry.register(
            "store_sequence",
            "Up to where the store is known",
            gauge(count.sequence),
        );
        registry.register(
            "replicas",
            "Data planes that are connected here",
            gauge(count.replicas),
        );
        let rollouts = Family::<Labels<1>, Gauge>::default();
        for (stage, number) in count.rollouts {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            rollouts
                .get_or_create(&[("stage", stage.as_str())])
                .set(number);
        }
        registry.register("rollouts", "Rollouts that are not over", rollouts);
        let revisions = Family::<[(&str, String); 1], Gauge>::default();
        let replicas = Family::<[(&str, String); 2], Gauge>::default();
        for (tenant, counted) in count.tenants {
            let labels = [("tenant", tenant.to_string())];
            let revision = i64::try_from(counted.revision.0).unwrap_or(i64::MAX);
            revisions.get_or_create(&labels).set(revision);
            let [tenant] = labels;
            for (state, number) in [
                ("in_force", counted.in_force),
                ("delivered", counted.delivered),
                ("waiting", counted.waiting),
                ("refused", counted.refused),
            ] {
                let labels = [tenant.clone(), ("state", state.to_owned())];
                replicas.get_or_create(&labels).set(number);
            }
        }
        registry.register(
            "tenant_revision",
            "The revision that should be in force",
            revisions,
        );
        registry.register(
            "tenant_replicas",
            "How far the data planes that are connected here are with that revision",
            replicas,
        );
    }
}
