//! The client that the official conformance suite runs, or that runs behind `through-gateway`.

use clap::Parser;
use gateway_tests::conformance_client::{Scenario, run};

#[derive(Debug, Parser)]
struct Arguments {
    /// The server to connect to.
    url: String,
    #[command(flatten)]
    scenario: Scenario,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    run(&arguments.scenario, &arguments.url).await
}
