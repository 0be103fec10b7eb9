//! Measures a control plane and a data plane that have many tenants, one after the other.

mod control;
mod data;
mod replica;
mod table;
mod tenants;

use std::sync::Arc;

use anyhow::Result;
use gateway_tests::Workspace;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::planes::ControlPlane;

use table::Table;
use tenants::Tenants;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// Fills a control plane (SQLite, on the disk of the temporary folder) with tenants through the admin API, connects replicas to it
/// that acknowledge at once what they are sent, and measures what changes take; then the same tenants in a real data plane.
/// The simulated replicas share the machine with the control plane.
#[derive(Debug, Clone, clap::Parser)]
pub(crate) struct Extent {
    /// How many tenants there are.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    pub(crate) tenants: usize,
    /// How many servers each has.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    pub(crate) servers: usize,
    /// How many replicas are connected at most.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub(crate) replicas: usize,
    /// How many changes at rest are measured, each time.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    pub(crate) changes: usize,
    /// For how long 16 administrators change tenants as quickly as they can.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub(crate) seconds: u64,
    /// How many calls the processor time is taken of, in each of ten rounds.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub(crate) calls: usize,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

/// Everything, in the order in which it is measured.
pub(crate) async fn measure(extent: &Extent) -> Result<Table> {
    let server = HttpFixture::start(Options::default()).await?;
    let workspace = Arc::new(Workspace::new("")?);
    let control = ControlPlane::start(BINARY, &workspace).await?;
    let tenants = Arc::new(Tenants::new(extent, server.url()));
    let mut table = Table::of(extent);
    control::measure(&control, &tenants, extent, &mut table).await?;
    data::measure(control, &workspace, &tenants, extent, &mut table).await?;
    Ok(table)
}
