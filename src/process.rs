//! How a command that serves runs: on a runtime of its own, until it is told to stop.

use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::exit::Failure;
use crate::signals::StopSignals;

/// Runs `work` to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run_on(Builder::new_multi_thread(), work)
}

/// The same on this thread alone, for what is called often and does little: to hand it from thread to thread would take
/// longer than to do it.
#[cfg(feature = "data-plane")]
pub(crate) fn block_on_one_thread<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    run_on(Builder::new_current_thread(), work)
}

fn run_on<T>(
    mut builder: Builder,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = builder.enable_all().build();
    let runtime = runtime.context("the runtime cannot be started")?;
    let done = runtime.block_on(work);
    // What still blocks, such as a write to a full pipe, must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

/// Serves until SIGINT or SIGTERM, then cancels `stop` and waits for the serving to end in good
/// order. A second signal ends it at once.
pub(crate) async fn until_signal(
    mut signals: StopSignals,
    stop: &CancellationToken,
    serving: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let mut serving = Box::pin(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        signal = signals.next() => {
            info!("stopping on {signal}");
            stop.cancel();
        }
    }
    tokio::select! {
        ended = serving => ended,
        signal = signals.next() => Err(Failure::second_signal(signal)),
    }
}
