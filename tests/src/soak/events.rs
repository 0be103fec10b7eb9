//! The audit events of a soak, read from files that were set aside while it goes on.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::tally::{Record, Tally};
use super::world::{LEFT, PROBE};

const EVERY: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Events {
    folder: PathBuf,
    ids: HashSet<Uuid>,
    calls: BTreeMap<Record, u64>,
    /// How many files were set aside.
    pub(super) files: u64,
}

impl Events {
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder,
            ids: HashSet::new(),
            calls: BTreeMap::new(),
            files: 0,
        }
    }

    /// Reads and removes what is set aside, until then.
    pub(super) async fn collect(&mut self, until: Instant) -> anyhow::Result<()> {
        while Instant::now() < until {
            self.read_aside()?;
            sleep(EVERY).await;
        }
        Ok(())
    }

    /// Reads what is left when nobody writes any more.
    pub(super) fn read_all(&mut self) -> anyhow::Result<()> {
        self.read_aside()?;
        self.read(&self.folder.join("log.jsonl"))
    }

    fn read_aside(&mut self) -> anyhow::Result<()> {
        for file in fs::read_dir(&self.folder)? {
            let path = file?.path();
            // Named after the time; beside it are the file that is written to, and its lock.
            if path
                .extension()
                .is_some_and(|extension| extension.to_string_lossy().ends_with('Z'))
            {
                self.read(&path)?;
                fs::remove_file(&path)?;
                self.files += 1;
            }
        }
        Ok(())
    }

    fn read(&mut self, path: &Path) -> anyhow::Result<()> {
        let text = fs::read_to_string(path)?;
        for line in text.lines() {
            let event = serde_json::from_str(line).with_context(|| format!("reading {line}"))?;
            self.take(&event)
                .with_context(|| format!("taking {line}"))?;
        }
        Ok(())
    }

    fn take(&mut self, event: &Value) -> anyhow::Result<()> {
        let id = event["metadata"]["event_id"].as_str();
        let id: Uuid = id.context("it has no id")?.parse()?;
        ensure!(self.ids.insert(id), "it is there twice");
        if event["event_type"] == "tool_call" {
            let field = |name: &str| event[name].as_str().unwrap_or_default();
            let record = Record::new(
                field("user_id"),
                field("mcp_server"),
                field("tool"),
                field("result"),
            );
            *self.calls.entry(record).or_default() += 1;
        }
        Ok(())
    }

    pub(super) fn count(&self) -> usize {
        self.ids.len()
    }

    /// Every call that was answered has its event, and there is no event of a call that nobody made.
    pub(super) fn check(&self, tally: &Tally) -> anyhow::Result<()> {
        let mut calls = self.calls.clone();
        // Of those without a key, what goes beyond a budget is recorded in sums.
        let refused = calls.remove(&Record::new("", "", "", "denied"));
        ensure!(
            refused.unwrap_or_default() <= tally.refused,
            "refused {refused:?}"
        );
        calls.retain(|record, _| record.tool != LEFT && record.tool != PROBE);
        for (record, answered) in &tally.answered {
            let recorded = calls.remove(record).unwrap_or_default();
            ensure!(
                recorded == *answered,
                "{answered} calls were answered and {recorded} recorded: {record:?}"
            );
        }
        ensure!(
            calls.is_empty(),
            "calls that nobody made are recorded: {calls:?}"
        );
        let left = self.calls.iter().filter(|(record, _)| record.tool == LEFT);
        let left: u64 = left.map(|(_, count)| count).sum();
        ensure!(
            left <= tally.left,
            "{} calls were left and {left} recorded",
            tally.left
        );
        Ok(())
    }
}
