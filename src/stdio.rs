//! `desktop --stdio`: the client that started this process is served on standard input and output,
//! by way of the control socket of whichever gateway has the data directory.

#[cfg(unix)]
mod bridge;
#[cfg(unix)]
mod calls;
#[cfg(unix)]
mod keeper;
#[cfg(unix)]
mod lines;
#[cfg(unix)]
mod send;
#[cfg(unix)]
mod session;

use crate::desktop::Desktop;
use crate::exit::Failure;
use crate::signals::StopSignals;

/// Runs until the client closes standard input or reads no more, or until a signal.
#[cfg(unix)]
pub(crate) async fn run(
    desktop: Desktop,
    endpoint: String,
    mut signals: StopSignals,
) -> Result<(), Failure> {
    use tokio_util::sync::CancellationToken;
    use tracing::info;

    let limits = desktop.limits();
    let mut input = lines::read_input(limits.max_body_bytes)?;
    let output = lines::Output::start()?;
    let stop = CancellationToken::new();
    let (keeper, link) = keeper::Keeper::new(desktop, &endpoint, stop.clone())?;
    let mut keeping = tokio::spawn(Box::pin(keeper.keep()));
    let bridge = bridge::Bridge::new(link, output.sender(), limits.max_batch);
    let (ended, is_heard) = tokio::select! {
        () = bridge.serve(&mut input) => (None, true),
        () = output.closed() => (None, false),
        ended = &mut keeping => (Some(ended), true),
        signal = signals.next() => {
            info!("stopping on {signal}");
            (None, true)
        }
    };
    let finishing = async {
        bridge.finish(is_heard).await;
        drop(bridge);
        stop.cancel();
        let ended = match ended {
            Some(ended) => ended,
            None => keeping.await,
        };
        output.finish().await;
        ended.unwrap_or_else(|error| Err(anyhow::anyhow!(error).into()))
    };
    // A second signal ends the process at once.
    tokio::select! {
        ended = finishing => ended,
        signal = signals.next() => Err(Failure::second_signal(signal)),
    }
}

#[cfg(not(unix))]
pub(crate) async fn run(_: Desktop, _: String, _: StopSignals) -> Result<(), Failure> {
    Err(Failure::invalid(
        "--stdio: this system has no unix sockets, which it needs; let the client connect to http://127.0.0.1:8811/mcp",
    ))
}
