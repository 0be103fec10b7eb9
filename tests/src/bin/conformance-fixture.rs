//! The conformance fixture as a process, at an address that it prints on standard error.

use std::net::SocketAddr;

use clap::Parser;
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::fixture::Eras;
use tokio::io::AsyncWriteExt as _;

#[derive(Debug, Parser)]
struct Arguments {
    /// Serve Streamable HTTP at this address.
    #[arg(long)]
    listen: SocketAddr,
    /// The versions that are served.
    #[arg(long, value_enum, default_value_t = Eras::Both)]
    era: Eras,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let server = ConformanceServer::start_at(arguments.listen, arguments.era).await?;
    let line = format!("listening on {}\n", server.url());
    tokio::io::stderr().write_all(line.as_bytes()).await?;
    server.stopped().await;
    Ok(())
}
