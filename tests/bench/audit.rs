//! What the audit log costs a call whose sink is an MCP server, and how long a spool takes to be opened and delivered;
//! see the README.

use std::io::Write as _;

use clap::Parser as _;

#[path = "audit/measure.rs"]
mod measure;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let extent = measure::Extent::parse();
    let figures = measure::measure(&extent).await?;
    std::io::stdout().write_all(measure::table(&figures).as_bytes())?;
    Ok(())
}
