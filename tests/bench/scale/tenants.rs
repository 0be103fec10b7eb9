//! The tenants that the planes are filled with, and how they are changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use gateway_proto::push::v1::HeldDocument;
use gateway_tests::planes::ControlPlane;
use gateway_tests::secrets::ADA_HASH;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::Extent;
use crate::admin_client::Admin;

/// How many administrators there are at the same time.
pub(super) const WRITERS: usize = 16;

/// The one tenant that has a server which answers.
pub(super) const SERVED: usize = 0;

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

#[derive(Debug)]
pub(super) struct Tenants {
    /// The current revision of each; 0: it is not there yet.
    revisions: Vec<AtomicU64>,
    servers: usize,
    /// The server that answers.
    server: String,
}

impl Tenants {
    pub(super) fn new(extent: &Extent, server: String) -> Self {
        Self {
            revisions: (0..extent.tenants).map(|_| AtomicU64::new(0)).collect(),
            servers: extent.servers,
            server,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.revisions.len()
    }

    pub(super) fn name(tenant: usize) -> String {
        format!("tenant-{tenant:06}")
    }

    /// Gives a tenant its next revision, in which one server is elsewhere, and says which revision that is.
    pub(super) async fn change(&self, admin: &mut Admin, tenant: usize) -> Result<u64> {
        let revision = self.revisions.get(tenant).context("no such tenant")?;
        let next = revision.load(Ordering::Relaxed) + 1;
        let document = self.document(tenant, next);
        let applied = admin.apply(&document, String::new()).await?;
        ensure!(applied == next, "revision {applied} instead of {next}");
        revision.store(next, Ordering::Relaxed);
        Ok(next)
    }

    /// Makes all of them.
    pub(super) async fn fill(self: &Arc<Self>, control: &ControlPlane) -> Result<()> {
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            let (tenants, mut admin) = (Arc::clone(self), Admin::at(control).await?);
            tasks.spawn(async move {
                for tenant in (writer..tenants.count()).step_by(WRITERS) {
                    tenants.change(&mut admin, tenant).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }

    /// What a replica holds that has everything.
    pub(super) fn held(&self) -> Vec<HeldDocument> {
        let tenants = self.revisions.iter().enumerate();
        let held = tenants.map(|(tenant, revision)| HeldDocument {
            tenant: Self::name(tenant),
            revision: revision.load(Ordering::Relaxed),
        });
        held.collect()
    }

    fn document(&self, tenant: usize, revision: u64) -> Value {
        let keys = json!([{ "id": "ada", "user_id": "ada@example.com", "hash": ADA_HASH }]);
        let rules = json!([{ "effect": "allow", "users": ["ada@example.com"], "names": ["echo"] }]);
        let servers = (0..self.servers).map(|server| {
            let url = match server {
                0 if tenant == SERVED => self.server.clone(),
                _ if server + 1 == self.servers => format!("{NOWHERE}/{revision}/mcp"),
                _ => format!("{NOWHERE}/{server}/mcp"),
            };
            (format!("s{server}"), Value::String(url))
        });
        json!({
            "tenant": Self::name(tenant),
            "plugins": {
                "auth_provider": { "provider": "in-memory", "implementation": "api-key",
                                   "settings": { "keys": keys } },
                "policy_evaluator": { "provider": "in-memory", "implementation": "rules",
                                      "settings": { "rules": rules } },
            },
            "servers": servers.collect::<Map<_, _>>(),
        })
    }
}
