//! What a tenant notices of another one that asks for ten times its share; see the README.

use std::io::Write as _;

use clap::Parser as _;

#[path = "neighbour/measure.rs"]
mod measure;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let extent = measure::Extent::parse();
    let figures = measure::measure(&extent).await?;
    std::io::stdout().write_all(measure::table(&figures).as_bytes())?;
    Ok(())
}
