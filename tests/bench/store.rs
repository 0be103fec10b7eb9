//! What a control plane does on each of its stores; see the README.

use std::io::Write as _;

use clap::Parser as _;

#[path = "../e2e/admin_client.rs"]
mod admin_client;
#[path = "store/measure.rs"]
mod measure;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let extent = measure::Extent::parse();
    let mut figures = Vec::new();
    for store in [measure::Store::Sqlite, measure::Store::Postgres] {
        figures.push(measure::measure(store, &extent).await?);
    }
    std::io::stdout().write_all(measure::table(&figures).as_bytes())?;
    Ok(())
}
