//! What the process measured, for a Prometheus server to read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// How many series one metric may have. What would be one more is dropped and counted: a label
/// that a client can fill must not fill the memory.
const MAX_SERIES: usize = 2_000;

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

type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// Everything that the process measured. All tenants share it, each with its name as a label.
#[derive(Default)]
pub struct Metrics {
    instruments: ArcSwap<BTreeMap<&'static str, Known>>,
    dropped: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Known {
    instrument: Instrument,
    /// How many series it has.
    series: Arc<AtomicUsize>,
}

#[derive(Clone)]
enum Instrument {
    Counter(Family<Labels, Counter>),
    Gauge(Family<Labels, Gauge>),
    Histogram(Histograms),
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
    pub(crate) fn count(&self, name: &'static str, value: u64, labels: Labels) {
        let known = self.of(name, || Instrument::Counter(Family::default()));
        if let Instrument::Counter(family) = &known.instrument
            && self.has_room(family.get(&labels).is_some(), &known.series)
        {
            family.get_or_create(&labels).inc_by(value);
        }
    }

    pub(crate) fn set(&self, name: &'static str, value: i64, labels: Labels) {
        let known = self.of(name, || Instrument::Gauge(Family::default()));
        if let Instrument::Gauge(family) = &known.instrument
            && self.has_room(family.get(&labels).is_some(), &known.series)
        {
            family.get_or_create(&labels).set(value);
        }
    }

    /// What is no number is not observed: it would spoil the sum for good.
    pub(crate) fn observe(&self, name: &'static str, value: f64, labels: Labels) {
        let new = || Instrument::Histogram(Family::new_with_constructor(buckets_of(name)));
        let known = self.of(name, new);
        if let Instrument::Histogram(family) = &known.instrument
            && value.is_finite()
            && self.has_room(family.get(&labels).is_some(), &known.series)
        {
            family.get_or_create(&labels).observe(value);
        }
    }

    /// Whether a series is there or may be made. Two that make the same one at once count twice.
    fn has_room(&self, is_known: bool, series: &AtomicUsize) -> bool {
        let one_more = |count| (count < MAX_SERIES).then_some(count + 1);
        let relaxed = Ordering::Relaxed;
        let has_room = is_known || series.fetch_update(relaxed, relaxed, one_more).is_ok();
        if !has_room {
            self.dropped.fetch_add(1, relaxed);
        }
        has_room
    }

    /// The instrument of this name, made when it is first used. A name stays what it was first.
    fn of(&self, name: &'static str, new: impl Fn() -> Instrument) -> Known {
        if let Some(known) = self.instruments.load().get(name) {
            return known.clone();
        }
        let made = Known {
            instrument: new(),
            series: Arc::default(),
        };
        self.instruments.rcu(|known| {
            let mut known = BTreeMap::clone(known);
            if known.len() < MAX_METRICS {
                known.entry(name).or_insert_with(|| made.clone());
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
            match known.instrument.clone() {
                // The format itself adds `_total`.
                Instrument::Counter(family) => {
                    registry.register(name.trim_end_matches("_total"), help, family);
                }
                Instrument::Gauge(family) => registry.register(*name, help, family),
                Instrument::Histogram(family) => registry.register(*name, help, family),
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

fn buckets_of(name: &str) -> fn() -> Histogram {
    match name.ends_with("_bytes") {
        true => || Histogram::new(BYTES),
        false => || Histogram::new(SECONDS),
    }
}

fn help_of(name: &str) -> &'static str {
    match name {
        "mcp_gateway_requests" => "Requests of clients, by what they were and how they ended",
        "mcp_gateway_request_duration_seconds" => "How long requests of clients took",
        _ => "A measurement of this gateway",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[(&str, &str)]) -> Labels {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        values.iter().map(owned).collect()
    }

    #[test]
    fn what_was_measured_is_text_that_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.count("mcp_gateway_requests", 2, labels(&[("result", "ok")]));
        metrics.count(
            "mcp_gateway_requests",
            1,
            labels(&[("result", "a\"b\\c\nd")]),
        );
        metrics.observe("size_bytes", 1000.0, labels(&[]));
        metrics.observe("size_bytes", f64::NAN, labels(&[]));
        metrics.set("open", -1, labels(&[("x", "y")]));
        // Of another type than it was.
        metrics.set("mcp_gateway_requests", 5, labels(&[]));
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
            metrics.count("calls", 1, labels(&[("id", &number.to_string())]));
            metrics.count("calls", 1, labels(&[("id", "0")]));
        }
        let text = metrics.render(&[]).unwrap();
        assert_eq!(text.matches("calls_total{").count(), MAX_SERIES);
        assert!(text.contains("calls_total{id=\"0\"} 3001"), "{text}");
        assert!(
            text.contains("mcp_gateway_measurements_dropped_total 1000"),
            "{text}"
        );
    }
}
