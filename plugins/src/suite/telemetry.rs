//! The suite of `Telemetry`.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::plugin::{PluginKind, Telemetry};
use tokio::time::Instant;

use super::probe::{self, CROWD};
use super::report::{Outcome, Report, ensure};

/// How many measurements a case records in a row; more than a queue that waits would hold.
const MANY: u32 = 10_000;

/// What they may take together. Far above what returning at once takes on a busy machine, far
/// below what one wait for each would add up to.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Runs the suite, which closes the implementation at its end.
pub async fn telemetry(telemetry: Arc<dyn Telemetry>) -> Report {
    let mut report = Report::new(PluginKind::Telemetry);
    let subject = || Subject(Arc::clone(&telemetry));
    report
        .case("returns_at_once", subject().returns_at_once())
        .await;
    report.case("takes_any_value", subject().takes_any()).await;
    report
        .case(
            "takes_measurements_that_come_at_once",
            subject().takes_crowds(),
        )
        .await;
    report
        .case("can_be_closed_twice", subject().closes_twice())
        .await;
    report
        .case("bears_measurements_after_closing", subject().takes_any())
        .await;
    report
}

#[derive(Clone)]
struct Subject(Arc<dyn Telemetry>);

impl Subject {
    async fn returns_at_once(self) -> Outcome {
        let begin = Instant::now();
        for _ in 0..MANY {
            self.0
                .record_counter("suite_calls_total", 1, &[("case", "at_once")]);
            self.0
                .record_histogram("suite_duration_seconds", 0.25, &[("case", "at_once")]);
            self.0.record_gauge("suite_open", 1, &[("case", "at_once")]);
        }
        let taken = begin.elapsed();
        ensure(taken < AT_ONCE, || {
            format!("took {taken:?} for {MANY} measurements of each type")
        })
    }

    async fn takes_any(self) -> Outcome {
        for value in [0, 1, u64::MAX] {
            self.0.record_counter("suite_calls_total", value, &[]);
        }
        for value in [
            0.0,
            -1.0,
            f64::MAX,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
        ] {
            self.0
                .record_histogram("suite_duration_seconds", value, &[]);
        }
        for value in [0, i64::MIN, i64::MAX] {
            self.0.record_gauge(
                "suite_open",
                value,
                &[("empty", ""), ("empty", "\0\n\u{202e}")],
            );
        }
        Ok(())
    }

    async fn takes_crowds(self) -> Outcome {
        probe::all_at_once((0..CROWD).map(|_| self.clone().takes_any())).await
    }

    async fn closes_twice(self) -> Outcome {
        self.0.close().await;
        self.0.close().await;
        Ok(())
    }
}
