//! What many tenants and many replicas cost; see the README.

use std::io::Write as _;

use clap::Parser as _;

#[path = "../e2e/admin_client.rs"]
mod admin_client;
#[path = "scale/measure.rs"]
mod measure;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let extent = measure::Extent::parse();
    let table = measure::measure(&extent).await?;
    std::io::stdout().write_all(table.to_string().as_bytes())?;
    Ok(())
}
