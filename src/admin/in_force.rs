//! Waits until the data planes have a revision in force, or one of them refuses it.

use std::time::Duration;

use anyhow::anyhow;
use gateway_core::config::Violation;
use gateway_proto::admin::v1 as pb;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, timeout_at};
use tonic::Code;

use super::client::{Client, failure};
use crate::exit::{Failure, note};

/// Between two attempts at a control plane that went away.
const PAUSE: Duration = Duration::from_millis(200);

/// What became of a revision.
#[derive(Debug, PartialEq, Eq)]
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

/// Where a revision is on its way.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Ended(Fate),
    /// So many data planes have it, and these have not answered.
    Waiting {
        in_force: usize,
        missing: Vec<String>,
    },
}

pub(super) async fn wait(
    client: &mut Client,
    tenant: &str,
    revision: u64,
    patience: Duration,
) -> Result<Fate, Failure> {
    let deadline = Instant::now() + patience;
    let mut progress = Progress::new(tenant, revision);
    let mut missing = Vec::new();
    let waiting = follow(client, tenant, revision, &mut progress, &mut missing);
    let Ok(outcome) = timeout_at(deadline, waiting).await else {
        return Err(Failure::Failed(match missing.as_slice() {
            [] => anyhow!(
                "{tenant}: revision {revision} is kept; no data plane is connected, so it is not in force yet"
            ),
            names => anyhow!(
                "{tenant}: revision {revision} is kept; these data planes have not answered yet: {}",
                names.join(", ")
            ),
        }));
    };
    outcome
}

/// Watches the tenant, over the ends of connections, until its revision's fate is known.
async fn follow(
    client: &mut Client,
    tenant: &str,
    revision: u64,
    progress: &mut Progress,
    missing: &mut Vec<String>,
) -> Result<Fate, Failure> {
    let request = pb::WatchTenantRequest {
        name: format!("tenants/{tenant}"),
    };
    loop {
        let mut stream = match client.watch_tenant(request.clone()).await {
            Ok(stream) => stream.into_inner(),
            Err(status) if status.code() == Code::NotFound => return Ok(Fate::Superseded),
            Err(status) => return Err(failure(&status)),
        };
        loop {
            match stream.message().await {
                Ok(Some(now)) => match judge(&now, revision) {
                    Standing::Ended(fate) => return Ok(fate),
                    Standing::Waiting {
                        in_force,
                        missing: names,
                    } => {
                        progress.show(in_force, &names);
                        *missing = names;
                    }
                },
                Ok(None) => break,
                Err(status) if status.code() == Code::Unavailable => break,
                Err(status) => return Err(failure(&status)),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn judge(now: &pb::WatchTenantResponse, revision: u64) -> Standing {
    let current = now.tenant.as_ref().map(|tenant| tenant.revision);
    if current != Some(revision) {
        return Standing::Ended(Fate::Superseded);
    }
    let mut missing = Vec::new();
    for replica in &now.replicas {
        let name = replica.name.trim_start_matches("replicas/");
        let Some(at) = replica.tenants.first() else {
            missing.push(name.to_owned());
            continue;
        };
        if at.refused_revision == revision {
            let violations = at.violations.iter();
            return Standing::Ended(Fate::Refused {
                replica: name.to_owned(),
                violations: violations
                    .map(|found| Violation::new(found.path.clone(), found.reason.clone()))
                    .collect(),
            });
        }
        if at.in_force_revision != revision {
            missing.push(name.to_owned());
        }
    }
    let in_force = now.replicas.len() - missing.len();
    if missing.is_empty() && in_force > 0 {
        Standing::Ended(Fate::InForce(in_force))
    } else {
        Standing::Waiting { in_force, missing }
    }
}

/// What is shown while others have to answer: a bar on a terminal, a line for each step elsewhere.
struct Progress {
    tenant: String,
    revision: u64,
    bar: ProgressBar,
    /// What was said last.
    said: Option<(usize, usize)>,
}

impl Progress {
    fn new(tenant: &str, revision: u64) -> Self {
        let bar = ProgressBar::new(1);
        let style = ProgressStyle::with_template("{prefix} [{bar:24}] {pos}/{len} {msg}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(format!("{tenant}: revision {revision}"));
        Self {
            tenant: tenant.to_owned(),
            revision,
            bar,
            said: None,
        }
    }

    fn show(&mut self, in_force: usize, missing: &[String]) {
        let all = in_force + missing.len();
        if self.said == Some((in_force, all)) {
            return;
        }
        self.said = Some((in_force, all));
        if self.bar.is_hidden() {
            let Self {
                tenant, revision, ..
            } = self;
            note(&match all {
                0 => format!("{tenant}: revision {revision} waits for a data plane"),
                _ => format!(
                    "{tenant}: revision {revision} is in force on {in_force} of {all} data planes"
                ),
            });
            return;
        }
        // A bar of nothing would be a full one.
        self.bar
            .set_length(all.max(1).try_into().unwrap_or(u64::MAX));
        self.bar
            .set_position(in_force.try_into().unwrap_or(u64::MAX));
        self.bar.set_message(match missing {
            [] => "waiting for a data plane".to_owned(),
            [one] => format!("waiting for {one}"),
            [one, others @ ..] => format!("waiting for {one} and {} more", others.len()),
        });
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn now(current: Option<u64>, replicas: &[(&str, u64, u64)]) -> pb::WatchTenantResponse {
        let replica = |(name, in_force, refused): &(&str, u64, u64)| pb::Replica {
            name: format!("replicas/{name}"),
            tenants: vec![pb::ReplicaTenant {
                in_force_revision: *in_force,
                refused_revision: *refused,
                violations: vec![pb::Violation {
                    path: "servers.a".to_owned(),
                    reason: "is not permitted".to_owned(),
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        pb::WatchTenantResponse {
            tenant: current.map(|revision| pb::Tenant {
                revision,
                ..Default::default()
            }),
            replicas: replicas.iter().map(replica).collect(),
            rollout: None,
        }
    }

    #[test]
    fn a_revision_is_in_force_once_every_data_plane_says_so() {
        let waiting = |in_force, missing: &[&str]| Standing::Waiting {
            in_force,
            missing: missing.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(judge(&now(Some(2), &[]), 2), waiting(0, &[]));
        let half = now(Some(2), &[("a", 2, 0), ("b", 1, 0)]);
        assert_eq!(judge(&half, 2), waiting(1, &["b"]));
        let all = now(Some(2), &[("a", 2, 0), ("b", 2, 0)]);
        assert_eq!(judge(&all, 2), Standing::Ended(Fate::InForce(2)));
        // What was refused before is no answer to this one.
        let earlier = now(Some(2), &[("a", 0, 1)]);
        assert_eq!(judge(&earlier, 2), waiting(0, &["a"]));
    }

    #[test]
    fn a_revision_ends_by_a_refusal_or_by_another_one() {
        let refused = now(Some(2), &[("a", 2, 0), ("b", 1, 2)]);
        let Standing::Ended(Fate::Refused {
            replica,
            violations,
        }) = judge(&refused, 2)
        else {
            panic!();
        };
        assert_eq!((&*replica, &*violations[0].path), ("b", "servers.a"));
        for current in [None, Some(3)] {
            let standing = judge(&now(current, &[("a", 2, 0)]), 2);
            assert_eq!(standing, Standing::Ended(Fate::Superseded));
        }
    }
}
