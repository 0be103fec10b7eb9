//! The conformance fixture as a process: on standard input and output, or at an address that it prints on standard error.

use std::net::SocketAddr;

use clap::Parser;
use gateway_tests::conformance::{self, ConformanceServer};
use gateway_tests::fixture::Eras;
use tokio::io::AsyncWriteExt as _;

#[derive(Debug, Parser)]
struct Arguments {
    /// Serve Streamable HTTP at this address.
    #[arg(long, conflicts_with = "stdio", required_unless_present = "stdio")]
    listen: Option<SocketAddr>,
    /// Serve one client on standard input and output.
    #[arg(long)]
    stdio: bool,
    /// The versions that are served.
    #[arg(long, value_enum, default_value_t = Eras::Both)]
    era: Eras,
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let served = runtime.block_on(serve());
    // Reading standard input cannot be interrupted, and must not keep the process.
    runtime.shutdown_background();
    served
}

async fn serve() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.listen {
        None => conformance::serve_stdio(arguments.era).await,
        Some(address) => {
            let server = ConformanceServer::start_at(address, arguments.era).await?;
            let line = format!("listening on {}\n", server.url());
            tokio::io::stderr().write_all(line.as_bytes()).await?;
            server.stopped().await;
            Ok(())
        }
    }
}
