//! Fills a store with tenants through the admin API of a real control plane, and takes the time of what it does then.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_proto::admin::v1 as pb;
use gateway_tests::Workspace;
use gateway_tests::bench::memory::Memory;
use gateway_tests::planes::ControlPlane;
use gateway_tests::postgres::{Durability, Postgres};
use gateway_tests::secrets::ADA_HASH;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::admin_client::Admin;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// As many as a page may have.
const PAGE: i32 = 1000;

/// Measures applies, `ListTenants`, the start and the memory of a control plane on SQLite and on a PostgreSQL of its own,
/// both on the disk of the temporary folder, and safe from a loss of power.
#[derive(Debug, clap::Parser)]
pub(crate) struct Extent {
    /// How many tenants the store is filled with.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    pub(crate) tenants: u64,
    /// How many administrators fill it at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    pub(crate) writers: u64,
    /// How many changes one administrator makes then, one after the other.
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    pub(crate) changes: u64,
    /// How often all tenants are listed, and the control plane started.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(crate) rounds: usize,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Store {
    Sqlite,
    Postgres,
}

#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) store: Store,
    pub(crate) tenants: u64,
    /// Applies a second while an empty store is filled.
    pub(crate) filling: f64,
    /// Applies a second, one after the other, in the full store.
    pub(crate) changing: f64,
    /// All tenants, page by page; half of the rounds took less.
    pub(crate) listing: Duration,
    /// From the start of the process until it serves.
    pub(crate) start: Duration,
    /// After the start.
    pub(crate) memory: Memory,
}

pub(crate) async fn measure(store: Store, extent: &Extent) -> Result<Figures> {
    let Extent {
        tenants,
        writers,
        changes,
        rounds,
        bench: _,
    } = *extent;
    let workspace = Arc::new(Workspace::new("")?);
    // Held to the end.
    let (database, _server) = match store {
        Store::Sqlite => ("sqlite://gateway.db".to_owned(), None),
        Store::Postgres => {
            let server = Postgres::start(Durability::Disk)?;
            (server.url(&server.database()?), Some(server))
        }
    };
    let mut control = ControlPlane::start_on(BINARY, &workspace, &database).await?;
    let filling = fill(&control, tenants, writers).await?;
    let mut admin = Admin::at(&control).await?;
    let changing = change(&mut admin, changes).await?;
    let mut lists = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        let listed = list(&mut admin).await?;
        lists.push(began.elapsed());
        ensure!(listed == tenants, "{listed} tenants are listed");
    }
    drop(admin);
    let mut starts = Vec::new();
    for _ in 0..rounds {
        control.process.stop().await?;
        let began = Instant::now();
        control = ControlPlane::start_on(BINARY, &workspace, &database).await?;
        starts.push(began.elapsed());
    }
    let process = control.process.id().context("it has ended")?;
    let memory = Memory::of(process)?;
    control.process.stop().await?;
    Ok(Figures {
        store,
        tenants,
        filling,
        changing,
        listing: median(lists),
        start: median(starts),
        memory,
    })
}

/// A document of some 900 bytes.
fn document(tenant: u64, change: u64) -> Value {
    let keys = json!([{ "id": "ada", "user_id": "ada@example.com", "hash": ADA_HASH }]);
    let rules =
        json!([{ "effect": "allow", "users": ["ada@example.com"], "names": ["echo", "get-*"] }]);
    let server = |name: &str| format!("https://{name}.example.com/{change}/mcp");
    json!({
        "tenant": format!("tenant-{tenant:06}"),
        "plugins": {
            "auth_provider": { "provider": "in-memory", "implementation": "api-key",
                               "settings": { "keys": keys } },
            "policy_evaluator": { "provider": "in-memory", "implementation": "rules",
                                  "settings": { "rules": rules } },
        },
        "servers": { "files": server("files"), "issues": server("issues"), "search": server("search") },
        "profiles": { "developers": { "servers": ["files", "issues"] },
                      "everybody": { "servers": ["search"] } },
    })
}

/// Makes the tenants, and says how many in a second.
async fn fill(control: &ControlPlane, tenants: u64, writers: u64) -> Result<f64> {
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for writer in 0..writers {
        let mut admin = Admin::at(control).await?;
        tasks.spawn(async move {
            let own = (writer..tenants).step_by(usize::try_from(writers)?);
            for tenant in own {
                let revision = admin.apply(&document(tenant, 0), String::new()).await?;
                ensure!(revision == 1, "revision {revision} of a new tenant");
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(per_second(tenants, began))
}

/// Changes one tenant again and again, and says how often in a second.
async fn change(admin: &mut Admin, changes: u64) -> Result<f64> {
    let began = Instant::now();
    for change in 1..=changes {
        let revision = admin.apply(&document(0, change), String::new()).await?;
        ensure!(revision == change + 1, "revision {revision}");
    }
    Ok(per_second(changes, began))
}

fn per_second(count: u64, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}

/// Lists all tenants and counts them.
async fn list(admin: &mut Admin) -> Result<u64> {
    let (mut listed, mut page_token) = (0, String::new());
    loop {
        let request = admin.request(pb::ListTenantsRequest {
            page_size: PAGE,
            page_token,
            ..Default::default()
        });
        let page = admin.client.list_tenants(request).await?.into_inner();
        listed += page.tenants.len() as u64;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(listed);
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// For people, and as it stands in the README.
pub(crate) fn table(figures: &[Figures]) -> String {
    let mut text = "| | tenants | applies/s, filling | applies/s, one by one | `ListTenants` | start | memory |\n\
                    |---|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for one in figures {
        text += &format!(
            "| {:?} | {} | {:.0} | {:.0} | {:.0} ms | {:.0} ms | {:.0} MB |\n",
            one.store,
            one.tenants,
            one.filling,
            one.changing,
            one.listing.as_secs_f64() * 1e3,
            one.start.as_secs_f64() * 1e3,
            one.memory.resident as f64 / 1e6,
        );
    }
    text
}
