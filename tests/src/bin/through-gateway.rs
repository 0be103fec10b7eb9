//! Starts a gateway in front of one server, runs a client through it, and ends as the client does.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use gateway_tests::Gateway;
use gateway_tests::servers::{configuration, remote};
use tokio::process::Command;

/// Shorter than the conformance suite waits: what it ends, ends without cleaning up.
const PATIENCE: Duration = Duration::from_secs(25);

#[derive(Debug, Parser)]
struct Arguments {
    /// The program `mcp-gateway`.
    gateway: String,
    /// The client; its only argument is the URL that the gateway has for the server.
    client: String,
    /// The server.
    url: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let config = configuration(&[("suite", remote(&arguments.url))]);
    let gateway = Gateway::builder(&arguments.gateway)
        .config(config)
        .start()
        .await?;
    // That it is ready, or why it is not: lists leave out a server that takes long to answer.
    gateway.wait_for_log(&["server=suite"]).await?;
    let client = Command::new(&arguments.client)
        .arg(gateway.url("/s/suite/mcp"))
        .kill_on_drop(true)
        .status();
    let ended = tokio::time::timeout(PATIENCE, client).await;
    // The suite keeps it with the results, for whoever looks for the cause of a failure.
    writeln!(std::io::stderr(), "{}", gateway.stderr.text())?;
    gateway.stop().await?;
    let status = ended.with_context(|| format!("the client did not end within {PATIENCE:?}"))??;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
