//! What data planes have recorded in their audit logs, and whether clients were answered that.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Called, Calls, Meaning, Meanings, target};

/// A tenant's revision.
type Revision = (String, u64);

/// Calls, by the revision under which they were recorded.
#[derive(Debug, Default)]
pub struct Events {
    succeeded: BTreeMap<(Called, u64), u64>,
    failed: BTreeMap<Revision, u64>,
    /// Which data planes have served a call under a revision.
    served_by: BTreeMap<Revision, BTreeSet<String>>,
}

impl Events {
    pub(super) fn take(&mut self, replica: &str, lines: &[String]) -> Result<()> {
        for line in lines {
            let event = serde_json::from_str(line).with_context(|| format!("reading {line}"))?;
            self.take_one(replica, &event)
                .with_context(|| format!("{replica} recorded {line}"))?;
        }
        Ok(())
    }

    fn take_one(&mut self, replica: &str, event: &Value) -> Result<()> {
        if event["event_type"] != "tool_call" {
            return Ok(());
        }
        let field = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let revision = event["metadata"]["revision"].as_u64();
        let revision = revision.context("it has no revision")?;
        let tenant = field("tenant_id");
        match event["result"].as_str() {
            Some("ok") => {
                let called = (tenant.clone(), field("mcp_server"), field("tool"));
                *self.succeeded.entry((called, revision)).or_default() += 1;
            }
            _ => *self.failed.entry((tenant.clone(), revision)).or_default() += 1,
        }
        let served_by = self.served_by.entry((tenant, revision)).or_default();
        served_by.insert(replica.to_owned());
        Ok(())
    }

    /// Every call went where its revision says, and was answered to a client that says the same.
    pub fn check(&self, meanings: &Meanings, answered: &Calls) -> Result<()> {
        let mut recorded = Calls::new();
        for ((called, revision), count) in &self.succeeded {
            let (tenant, server, tool) = called;
            let meaning = meanings.get(&(tenant.clone(), *revision));
            match meaning {
                Some(Meaning::Edition(edition)) => {
                    let (its_server, its_tool) = target(*edition);
                    let fits = (server == its_server && *tool == its_tool) || is_fixed(server);
                    ensure!(
                        fits,
                        "under revision {revision} of {tenant}, which is edition {edition}, {tool} of {server} was called {count} times"
                    );
                }
                Some(Meaning::Failing) => ensure!(is_fixed(server), "{server} answered"),
                other => anyhow::bail!("{tenant} was served by revision {revision}: {other:?}"),
            }
            *recorded.entry(called.clone()).or_default() += count;
        }
        for called in recorded.keys().chain(answered.keys()) {
            let (recorded, answered) = (recorded.get(called), answered.get(called));
            ensure!(
                recorded == answered,
                "{called:?} was recorded {recorded:?} times and answered {answered:?} times"
            );
        }
        Ok(())
    }

    /// Calls failed only where they were to, each on one data plane; how many.
    pub fn check_failures(&self, meanings: &Meanings) -> Result<u64> {
        for (revision, count) in &self.failed {
            let meaning = meanings.get(revision);
            ensure!(
                meaning == Some(&Meaning::Failing),
                "{count} calls failed under revision {revision:?}: {meaning:?}"
            );
        }
        for (revision, replicas) in &self.served_by {
            match meanings.get(revision) {
                Some(Meaning::Edition(_)) => {}
                Some(Meaning::Failing) => ensure!(
                    replicas.len() == 1,
                    "{revision:?} was for one data plane, and was served by {replicas:?}"
                ),
                other => anyhow::bail!("{replicas:?} served {revision:?}: {other:?}"),
            }
        }
        Ok(self.failed.values().sum())
    }

    /// How many revisions calls were served under.
    pub fn revisions(&self) -> usize {
        self.served_by.len()
    }
}

/// A server that is the same in every edition.
fn is_fixed(server: &str) -> bool {
    matches!(server, "keeping" | "asking")
}
