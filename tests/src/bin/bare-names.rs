//! Shows one server of an aggregating endpoint under its own names, at an address that it prints on standard error.

use clap::Parser;
use gateway_tests::bare_names::BareNames;
use tokio::io::AsyncWriteExt as _;

#[derive(Debug, Parser)]
struct Arguments {
    /// The URL of the endpoint, for example http://127.0.0.1:8811/mcp
    endpoint: String,
    /// The server to show, as the gateway's configuration names it.
    server: String,
    /// The other servers of the endpoint, whose items are hidden.
    others: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let others: Vec<_> = arguments.others.iter().map(String::as_str).collect();
    let proxy = BareNames::start(&arguments.endpoint, &arguments.server, &others).await?;
    let line = format!("listening on {}\n", proxy.url());
    tokio::io::stderr().write_all(line.as_bytes()).await?;
    std::future::pending().await
}
