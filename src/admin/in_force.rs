//! Waits until the data planes have a revision in force, or one of them refuses it.

use std::time::Duration;

use anyhow::anyhow;
use gateway_core::config::Violation;
use gateway_proto::admin::v1 as pb;
use tokio::time::Instant;

use super::client::{Client, failure};
use crate::exit::Failure;

/// How often they are looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of a revision.
pub(super) enum Fate {
    /// So many data planes have it in force: all that are connected.
    InForce(usize),
    /// A data plane refused it, and serves what it had.
    Refused {
        replica: String,
        violations: Vec<Violation>,
    },
    /// Another one came before every data plane had answered.
    Superseded,
}

pub(super) async fn wait(
    client: &mut Client,
    tenant: &str,
    revision: u64,
    patience: Duration,
) -> Result<Fate, Failure> {
    let deadline = Instant::now() + patience;
    loop {
        let replicas = replicas(client, tenant).await?;
        let mut waiting = Vec::new();
        for replica in &replicas {
            let name = replica.name.trim_start_matches("replicas/");
            let Some(at) = replica.tenants.first() else {
                waiting.push(name);
                continue;
            };
            if at.refused_revision == revision {
                let violations = at.violations.iter();
                return Ok(Fate::Refused {
                    replica: name.to_owned(),
                    violations: violations
                        .map(|found| Violation::new(found.path.clone(), found.reason.clone()))
                        .collect(),
                });
            }
            if at.desired_revision != revision {
                return Ok(Fate::Superseded);
            }
            if at.in_force_revision != revision {
                waiting.push(name);
            }
        }
        if waiting.is_empty() && !replicas.is_empty() {
            return Ok(Fate::InForce(replicas.len()));
        }
        if Instant::now() >= deadline {
            return Err(Failure::Failed(match waiting.as_slice() {
                [] => anyhow!(
                    "{tenant}: revision {revision} is kept; no data plane is connected, so it is not in force yet"
                ),
                names => anyhow!(
                    "{tenant}: revision {revision} is kept; these data planes have not answered yet: {}",
                    names.join(", ")
                ),
            }));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Every connected data plane, and where it is with a tenant; with all, where none is named.
pub(super) async fn replicas(
    client: &mut Client,
    tenant: &str,
) -> Result<Vec<pb::Replica>, Failure> {
    let mut request = pb::ListReplicasRequest {
        tenant: match tenant {
            "" => String::new(),
            tenant => format!("tenants/{tenant}"),
        },
        ..Default::default()
    };
    let mut all = Vec::new();
    loop {
        let page = client.list_replicas(request.clone()).await;
        let page = page.map_err(|status| failure(&status))?.into_inner();
        all.extend(page.replicas);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}
