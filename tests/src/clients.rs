//! The official clients, each a script that `tests/run` has installed the packages for.

mod seen;
mod step;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokio::process::Command;

use crate::session::Era;
use crate::wait::PATIENCE;

pub use seen::Seen;
pub use step::Step;

/// A client and the way in which it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfficialClient {
    script: &'static str,
    mode: &'static str,
}

/// Where a client goes.
#[derive(Debug, Clone)]
pub enum Place {
    Url(String),
    /// It starts this program, with these arguments, and talks to its standard streams.
    Command(Vec<String>),
}

impl From<String> for Place {
    fn from(url: String) -> Self {
        Self::Url(url)
    }
}

impl OfficialClient {
    pub const TS_V1: Self = Self::new("ts-v1.mjs", "legacy");
    pub const TS_V2_LEGACY: Self = Self::new("ts-v2.mjs", "legacy");
    pub const TS_V2_AUTO: Self = Self::new("ts-v2.mjs", "auto");
    pub const TS_V2_PINNED: Self = Self::new("ts-v2.mjs", "pin");
    pub const PYTHON_LEGACY: Self = Self::new("python_client.py", "legacy");
    pub const PYTHON_AUTO: Self = Self::new("python_client.py", "auto");
    pub const PYTHON_PINNED: Self = Self::new("python_client.py", "2026-07-28");
    pub const INSPECTOR_LEGACY: Self = Self::new("inspector.mjs", "legacy");
    pub const INSPECTOR_AUTO: Self = Self::new("inspector.mjs", "auto");
    pub const INSPECTOR_MODERN: Self = Self::new("inspector.mjs", "modern");

    /// Those that stay connected.
    pub const STAYING: [Self; 7] = [
        Self::TS_V1,
        Self::TS_V2_LEGACY,
        Self::TS_V2_AUTO,
        Self::TS_V2_PINNED,
        Self::PYTHON_LEGACY,
        Self::PYTHON_AUTO,
        Self::PYTHON_PINNED,
    ];

    const fn new(script: &'static str, mode: &'static str) -> Self {
        Self { script, mode }
    }

    /// The era that it ends up in at a server that speaks both.
    pub fn era(self) -> Era {
        match self.mode {
            "legacy" => Era::Legacy,
            _ => Era::Modern,
        }
    }

    /// The version that it ends up with at a server that speaks both eras.
    pub fn best_version(self) -> &'static str {
        match self.era() {
            Era::Legacy => "2025-11-25",
            Era::Modern => "2026-07-28",
        }
    }

    /// Whether it makes one request and goes: nobody can ask it anything, or tell it of changes.
    pub fn is_one_shot(self) -> bool {
        self.script == "inspector.mjs"
    }

    /// Whether it loses what it is told of a request's progress in the same moment as its answer: its
    /// transport for standard streams reads both before either is handled, and the answer comes first.
    pub fn loses_last_progress_on_stdio(self) -> bool {
        matches!(self.script, "ts-v1.mjs" | "ts-v2.mjs")
    }

    /// Goes to each place in turn, ends up with this version, takes the steps there, and checks what it saw.
    pub async fn visit<P: Clone + Into<Place>>(
        self,
        version: &str,
        visits: &[(P, Vec<Step>)],
    ) -> anyhow::Result<()> {
        let visits = visits
            .iter()
            .map(|(place, steps)| (place.clone().into(), steps));
        let visits: Vec<(Place, _)> = visits.collect();
        let stops = visits.iter().map(|(place, steps)| {
            let steps: Vec<_> = steps.iter().map(Step::request).collect();
            match place {
                Place::Url(url) => json!({ "url": url, "steps": steps }),
                Place::Command(command) => json!({ "command": command, "steps": steps }),
            }
        });
        let plan = json!({ "mode": self.mode, "visits": stops.collect::<Vec<_>>() });
        let lines = self.run(&plan.to_string()).await?;
        let mut lines = lines.iter();
        for (place, steps) in visits {
            let connected = lines.next().context("it did not connect")?;
            connected
                .has("/protocol_version", &json!(version))
                .with_context(|| format!("{self:?} at {place:?}"))?;
            for step in steps {
                let seen = lines.next().context("a step is missing")?;
                step.check(seen)
                    .with_context(|| format!("{self:?} at {place:?}, {}", step.request()))?;
            }
        }
        Ok(())
    }

    async fn run(self, plan: &str) -> anyhow::Result<Vec<Seen>> {
        // Some clients keep something in the home folder.
        let home = tempfile::tempdir()?;
        let output = Command::new(self.program()?)
            .arg(scripts().join(self.script))
            .arg(plan)
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let patience = PATIENCE * 4;
        let output = tokio::time::timeout(patience, output)
            .await
            .with_context(|| format!("{self:?} did not end within {patience:?}"))??;
        let stdout = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{self:?} failed: {stdout}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let lines = stdout.lines().map(|line| {
            serde_json::from_str(line).with_context(|| format!("{self:?} printed {line:?}"))
        });
        lines.collect()
    }

    fn program(self) -> anyhow::Result<PathBuf> {
        match self.script {
            "python_client.py" => python_program("python"),
            "inspector.mjs" => node_with_types(),
            _ => {
                node_package("@modelcontextprotocol/sdk")?;
                Ok(PathBuf::from("node"))
            }
        }
    }
}

/// A Node that runs TypeScript as it is: the one that comes with the Inspector.
pub fn node_with_types() -> anyhow::Result<PathBuf> {
    require_installed(scripts().join("inspector/node_modules/.bin/node"))
}

/// The folder of an installed npm package.
pub fn node_package(name: &str) -> anyhow::Result<PathBuf> {
    require_installed(scripts().join("node_modules").join(name))
}

/// A program of the Python environment.
pub fn python_program(name: &str) -> anyhow::Result<PathBuf> {
    let environment = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin");
    require_installed(environment.join(name))
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

fn require_installed(path: PathBuf) -> anyhow::Result<PathBuf> {
    ensure!(
        path.exists(),
        "{} is missing: run tests/run first",
        path.display()
    );
    Ok(path)
}
