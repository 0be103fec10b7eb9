//! What the process measured, for a Prometheus server to read.

mod series;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use series::AllSeries;
pub(crate) use series::Borrowed;

/// How many series one metric may have. What would be one more is dropped and counted: a label
/// that a client can fill must not fill the memory.
const MAX_SERIES: usize = 2_000;

/// How many of them one tenant may have, so that its servers leave room for those of others.
const MAX_TENANT_SERIES: usize = MAX_SERIES / 4;

/// How many metrics there may be.
const MAX_METRICS: usize = 200;

/// From a millisecond to ten minutes.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0,
];

/// From 256 bytes to 64 MiB.
const BYTES: [f64; 10] = [
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// The dimensions of a series, by name.
pub(crate) type Labels = Vec<(String, String)>;

type NewHistogram = fn() -> Histogram;

/// Everything that the process measured. All tenants share it, each with its name as a label.
#[derive(Default)]
pub struct Metrics {
    instruments: ArcSwap<BTreeMap<&'static str, Arc<Known>>>,
    dropped: Arc<AtomicU64>,
}

struct Known {
    instrument: Instrument,
    /// How many series it has.
    series: AtomicUsize,
}

enum Instrument {
    Counter(AllSeries<Counter, fn() -> Counter>),
    Gauge(AllSeries<Gauge, fn() -> Gauge>),
    Histogram(AllSeries<Histogram, NewHistogram>),
}

/// A value that is looked up when it is asked for.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The metric.
    pub name: &'static str,
    /// What it says, as a sentence without its full stop.
    pub help: &'static str,
    /// Its dimensions; their values come from small sets.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: i64,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn count(&self, name: &'static str, value: u64, labels: &Borrowed<'_>) {
        let new = || Instrument::Counter(all_series(Counter::default));
        if let Known {
            instrument: Instrument::Counter(all),
            series,
        } = &*self.of(name, new)
        {
            self.measure(all, series, labels, |counter| {
                counter.inc_by(value);
            });
        }
    }

    pub(crate) fn set(&self, name: &'static str, value: i64, labels: &Borrowed<'_>) {
        let new = || Instrument::Gauge(all_series(Gauge::default));
        if let Known {
            instrument: Instrument::Gauge(all),
            series,
        } = &*self.of(name, new)
        {
            self.measure(all, series, labels, |gauge| {
                gauge.set(value);
            });
        }
    }

    /// What is no number is not observed: it would spoil the sum for good.
    pub(crate) fn observe(&self, name: &'static str, value: f64, labels: &Borrowed<'_>) {
        let new = || Instrument::Histogram(all_series(buckets_of(name)));
        if let Known {
            instrument: Instrument::Histogram(all),
            series,
        } = &*self.of(name, new)
            && value.is_finite()
        {
            self.measure(all, series, labels, |histogram| histogram.observe(value));
        }
    }

    /// Measures with a series, which is made if there is room for it.
    fn measure<M: Clone, C: MetricConstructor<M>>(
        &self,
        all: &AllSeries<M, C>,
        series: &AtomicUsize,
        labels: &Borrowed<'_>,
        measure: impl Fn(&M),
    ) {
        if all.with(labels, &measure) {
            return;
        }
        let one_more = |count| (count < MAX_SERIES).then_some(count + 1);
        let relaxed = Ordering::Relaxed;
        let is_share_taken = all.count_alike(labels) >= MAX_TENANT_SERIES;
        // Two that make the same one at once count twice.
        if is_share_taken || series.fetch_update(relaxed, relaxed, one_more).is_err() {
            self.dropped.fetch_add(1, relaxed);
            return;
        }
        all.make(labels);
        all.with(labels, measure);
    }

    /// The instrument of this name, made when it is first used. A name stays what it was first.
    fn of(&self, name: &'static str, new: impl Fn() -> Instrument) -> Arc<Known> {
        if let Some(known) = self.instruments.load().get(name) {
            return Arc::clone(known);
        }
        let made = Arc::new(Known {
            instrument: new(),
            series: AtomicUsize::default(),
        });
        self.instruments.rcu(|known| {
            let mut known = BTreeMap::clone(known);
            if known.len() < MAX_METRICS {
                known.entry(name).or_insert_with(|| Arc::clone(&made));
            }
            known
        });
        let known = self.instruments.load().get(name).cloned();
        known.unwrap_or(made)
    }

    /// Everything as OpenMetrics text, together with what was just read.
    ///
    /// # Errors
    /// The text cannot be written, which no memory is too small for.
    pub fn render(&self, readings: &[Reading]) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        for (name, known) in self.instruments.load().iter() {
            let help = help_of(name);
            match &known.instrument {
                // The format itself adds `_total`.
                Instrument::Counter(all) => {
                    let name = name.trim_end_matches("_total");
                    registry.register(name, help, all.family.clone());
                }
                Instrument::Gauge(all) => registry.register(*name, help, all.family.clone()),
                Instrument::Histogram(all) => registry.register(*name, help, all.family.clone()),
            }
        }
        let dropped = Counter::<u64>::default();
        dropped.inc_by(self.dropped.load(Ordering::Relaxed));
        let help = "Measurements that were dropped because their metric has too many series";
        registry.register("mcp_gateway_measurements_dropped", help, dropped);
        let mut gauges: BTreeMap<_, Family<Labels, Gauge>> = BTreeMap::new();
        for reading in readings {
            let labels = reading.labels.iter();
            let labels = labels.map(|(name, value)| ((*name).to_owned(), value.clone()));
            let family = gauges.entry((reading.name, reading.help)).or_default();
            family.get_or_create(&labels.collect()).set(reading.value);
        }
        for ((name, help), family) in gauges {
            registry.register(name, help, family);
        }
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

fn all_series<M: Clone>(new: fn() -> M) -> AllSeries<M, fn() -> M> {
    AllSeries::new(Family::new_with_constructor(new))
}

fn buckets_of(name: &str) -> NewHistogram {
    match name.ends_with("_bytes") {
        true => || Histogram::new(BYTES),
        false => || Histogram::new(SECONDS),
    }
}

fn help_of(name: &str) -> &'static str {
    match name {
        "mcp_gateway_requests" => "Requests of clients, by what they were and how they ended",
        "mcp_gateway_request_duration_seconds" => "How long requests of clients took",
        "mcp_gateway_audit_delivered" => "Audit events that their sink has acknowledged",
        "mcp_gateway_audit_repeated" => "Audit events that were sent to their sink once more",
        "mcp_gateway_audit_refused" => "Audit events that their sink refuses for good",
        "mcp_gateway_audit_dropped" => {
            "Audit events that were dropped, as the sink's configuration wants it"
        }
        _ => "A measurement of this gateway",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_text_that_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.count("mcp_gateway_requests", 2, &[("result", "ok")]);
        metrics.count("mcp_gateway_requests", 1, &[("result", "a\"b\\c\nd")]);
        metrics.observe("size_bytes", 1000.0, &[]);
        metrics.observe("size_bytes", f64::NAN, &[]);
        metrics.set("open", -1, &[("x", "y")]);
        // Of another type than it was.
        metrics.set("mcp_gateway_requests", 5, &[]);
        let reading = |server: &str| Reading {
            name: "servers",
            help: "Servers",
            labels: vec![("server", server.to_owned())],
            value: 1,
        };
        let text = metrics.render(&[reading("a"), reading("b")]).unwrap();
        let mut lines: Vec<_> = text
            .lines()
            .filter(|line| !line.contains("_bucket"))
            .collect();
        lines.sort_unstable();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        # EOF
        # HELP mcp_gateway_measurements_dropped Measurements that were dropped because their metric has too many series.
        # HELP mcp_gateway_requests Requests of clients, by what they were and how they ended.
        # HELP open A measurement of this gateway.
        # HELP servers Servers.
        # HELP size_bytes A measurement of this gateway.
        # TYPE mcp_gateway_measurements_dropped counter
        # TYPE mcp_gateway_requests counter
        # TYPE open gauge
        # TYPE servers gauge
        # TYPE size_bytes histogram
        mcp_gateway_measurements_dropped_total 0
        mcp_gateway_requests_total{result="a\"b\\c\nd"} 1
        mcp_gateway_requests_total{result="ok"} 2
        open{x="y"} -1
        servers{server="a"} 1
        servers{server="b"} 1
        size_bytes_count{} 1
        size_bytes_sum{} 1000.0
        "#);
    }

    #[test]
    fn a_label_that_is_never_the_same_does_not_fill_the_memory() {
        let metrics = Metrics::default();
        for number in 0..3_000 {
            let tenant = format!("t{}", number % 10);
            let labels = [("id", &*number.to_string()), ("tenant", &*tenant)];
            metrics.count("calls", 1, &labels);
            metrics.count("calls", 1, &[("id", "0"), ("tenant", "t0")]);
        }
        let text = metrics.render(&[]).unwrap();
        assert_eq!(text.matches("calls_total{").count(), MAX_SERIES);
        let first = "calls_total{id=\"0\",tenant=\"t0\"} 3001";
        assert!(text.contains(first), "{text}");
        let dropped = "mcp_gateway_measurements_dropped_total 1000";
        assert!(text.contains(dropped), "{text}");
    }

    #[test]
    fn a_tenant_with_ever_more_series_leaves_room_for_those_of_others() {
        let metrics = Metrics::default();
        for number in 0..3_000 {
            let labels = [("server", &*number.to_string()), ("tenant", "loud")];
            metrics.count("calls", 1, &labels);
        }
        metrics.count("calls", 1, &[("server", "one"), ("tenant", "quiet")]);
        let text = metrics.render(&[]).unwrap();
        assert_eq!(text.matches("tenant=\"loud\"").count(), MAX_TENANT_SERIES);
        let quiet = "calls_total{server=\"one\",tenant=\"quiet\"} 1";
        assert!(text.contains(quiet), "{text}");
    }
}
