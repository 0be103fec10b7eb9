//! What the gateway costs beside calls: memory, and the time until it is of use.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use tokio::time::Instant;

use super::front::{gateway_target, start_gateway, wait_until_ready};
use super::load::{self, Client};
use super::memory::Memory;
use super::report::Footprint;
use super::row::Row;
use super::statistics::median;
use crate::session::Era;

/// How much of each is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) held: usize,
    pub(super) sessions: usize,
    pub(super) starts: usize,
}

pub(super) async fn measure(
    binary: &Path,
    server: SocketAddr,
    extent: Extent,
) -> anyhow::Result<Footprint> {
    let (idle, held) = held(binary, server, extent.held).await?;
    Ok(Footprint {
        idle,
        connections: extent.held,
        held,
        sessions: extent.sessions,
        bytes_per_session: sessions(binary, server, extent.sessions).await?,
        start_ms: start(binary, server, extent.starts).await?,
    })
}

/// After the first call, and while so many connections are held that made one call each.
async fn held(
    binary: &Path,
    server: SocketAddr,
    connections: usize,
) -> anyhow::Result<(Memory, Memory)> {
    let era = Era::Modern;
    let gateway = start_gateway(binary, Row::Call, era, server).await?;
    let target = gateway_target(&gateway, Row::Call);
    wait_until_ready(&target, Row::Call, era).await?;
    let idle = Memory::of(gateway.process_id())?;
    let clients = load::open(&target, era, &Row::Call.work(), connections).await?;
    let held = Memory::of(gateway.process_id())?;
    drop(clients);
    gateway.stop().await?;
    Ok((idle, held))
}

/// What a legacy session takes that made a call and is kept by its client.
async fn sessions(binary: &Path, server: SocketAddr, count: usize) -> anyhow::Result<f64> {
    let era = Era::Legacy;
    let gateway = start_gateway(binary, Row::Call, era, server).await?;
    let target = gateway_target(&gateway, Row::Call);
    wait_until_ready(&target, Row::Call, era).await?;
    // What the process takes on at its first sessions, and keeps, is not the price of a session.
    open_sessions(&target, count / 10).await?;
    let before = Memory::of(gateway.process_id())?;
    open_sessions(&target, count).await?;
    let after = Memory::of(gateway.process_id())?;
    gateway.stop().await?;
    let grown = after.resident.saturating_sub(before.resident);
    Ok(grown as f64 / count.max(1) as f64)
}

async fn open_sessions(target: &load::Target, count: usize) -> anyhow::Result<()> {
    let work = Row::Call.work();
    let mut client = Client::open(target, Era::Legacy).await?;
    for number in 0..count as u64 {
        client.initialize().await.context("opening a session")?;
        client.ask(&work, number).await?;
    }
    Ok(())
}

/// From the start of the process to the first answer of a server behind it, in milliseconds.
async fn start(binary: &Path, server: SocketAddr, times: usize) -> anyhow::Result<f64> {
    let mut took = Vec::new();
    for _ in 0..times {
        let began = Instant::now();
        let gateway = start_gateway(binary, Row::Call, Era::Modern, server).await?;
        let target = gateway_target(&gateway, Row::Call);
        load::open(&target, Era::Modern, &Row::Call.work(), 1).await?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        gateway.stop().await?;
    }
    median(&took).context("nothing was started")
}
