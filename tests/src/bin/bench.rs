//! Measures what the gateway costs; see the README.

use clap::Parser as _;
use gateway_tests::bench::{Arguments, run};

// One thread asks, so that the other processors are for those who answer.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    run(Arguments::parse()).await
}
