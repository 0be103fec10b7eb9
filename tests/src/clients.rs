//! The official clients, each a script that `tests/run` has installed the packages for.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::wait::PATIENCE;

/// A client and the way in which it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfficialClient {
    script: &'static str,
    mode: &'static str,
}

impl OfficialClient {
    pub const TS_V1: Self = Self {
        script: "ts-v1.mjs",
        mode: "legacy",
    };
    pub const TS_V2_LEGACY: Self = Self {
        script: "ts-v2.mjs",
        mode: "legacy",
    };
    pub const TS_V2_AUTO: Self = Self {
        script: "ts-v2.mjs",
        mode: "auto",
    };
    pub const TS_V2_PINNED: Self = Self {
        script: "ts-v2.mjs",
        mode: "pin",
    };
    pub const PYTHON_LEGACY: Self = Self {
        script: "python_client.py",
        mode: "legacy",
    };
    pub const PYTHON_AUTO: Self = Self {
        script: "python_client.py",
        mode: "auto",
    };
    pub const PYTHON_PINNED: Self = Self {
        script: "python_client.py",
        mode: "2026-07-28",
    };

    pub const ALL: [Self; 7] = [
        Self::TS_V1,
        Self::TS_V2_LEGACY,
        Self::TS_V2_AUTO,
        Self::TS_V2_PINNED,
        Self::PYTHON_LEGACY,
        Self::PYTHON_AUTO,
        Self::PYTHON_PINNED,
    ];

    /// The version that it ends up with at a server that speaks both eras.
    pub fn best_version(self) -> &'static str {
        if self.mode == "legacy" {
            "2025-11-25"
        } else {
            "2026-07-28"
        }
    }

    /// Connects, lists every tool, makes the calls in order, closes, and reports what it saw.
    pub async fn run(self, url: &str, calls: &[(&str, Value)]) -> anyhow::Result<Value> {
        let mut command = Command::new(self.program()?);
        command
            .arg(scripts().join(self.script))
            .args([url, self.mode, "--list"]);
        for (name, arguments) in calls {
            command.args(["--call", name, &arguments.to_string()]);
        }
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(PATIENCE * 2, output)
            .await
            .with_context(|| format!("{self:?} did not end within {:?}", PATIENCE * 2))??;
        ensure!(
            output.status.success(),
            "{self:?} failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).with_context(|| format!("{self:?} printed no JSON"))
    }

    fn program(self) -> anyhow::Result<PathBuf> {
        if self.script == "python_client.py" {
            python_program("python")
        } else {
            node_package("@modelcontextprotocol/sdk")?;
            Ok(PathBuf::from("node"))
        }
    }
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
