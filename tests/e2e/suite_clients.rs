//! The official conformance suite plays servers, and sees a client that does as it should when one comes through the
//! gateway.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// How late somebody comes back depends on the machine as well; that nobody comes back is another check.
const TIMING: &str = "client-sse-retry-timing";

fn conformance() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// The scenarios that a version requires of clients, without those of OAuth.
fn required(version: &str) -> Result<Vec<String>> {
    let package = conformance().join("node_modules/@modelcontextprotocol/conformance");
    let file = package.join("requirements").join(format!("{version}.yaml"));
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let clients = text.lines().skip_while(|line| *line != "client:").skip(1);
    let scenarios = clients.map_while(|line| line.strip_prefix("  - "));
    Ok(scenarios
        .filter(|scenario| !scenario.starts_with("auth/"))
        .map(str::to_owned)
        .collect())
}

/// What the suite finds wrong with the client of one scenario; it says so for the version at hand.
async fn complaints(scenario: &str, version: &str) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let programs = Path::new(BINARY)
        .parent()
        .context("the gateway has no folder")?;
    let program = |name: &str| programs.join(name).display().to_string();
    let command = [
        &program("through-gateway"),
        BINARY,
        &program("conformance-client"),
    ];
    let output = Command::new(conformance().join("run"))
        .arg(folder.path())
        .args(["client", "--scenario", scenario, "--spec-version", version])
        .args(["--command", &command.join(" ")])
        .kill_on_drop(true)
        .output()
        .await?;
    let log = fs::read_to_string(folder.path().join("log.txt"))?;
    let checks = checks(folder.path()).with_context(|| log.clone())?;
    let is = |check: &Value, status: &str| check["status"] == status;
    ensure!(
        checks.iter().any(|check| is(check, "SUCCESS")),
        "nothing was checked: {log}"
    );
    let wrong =
        |check: &&Value| is(check, "FAILURE") || (is(check, "WARNING") && check["id"] != TIMING);
    let mut complaints: Vec<_> = checks.iter().filter(wrong).map(Value::to_string).collect();
    let late = checks.iter().any(|check| is(check, "WARNING"));
    if complaints.is_empty() && !late && !output.status.success() {
        complaints.push("the client failed".to_owned());
    }
    if !complaints.is_empty() {
        complaints.push(log);
    }
    Ok(complaints)
}

/// There is one file of them, in a folder that is named for scenario and time.
fn checks(folder: &Path) -> Result<Vec<Value>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("checks.json") {
                files.push(path);
            }
        }
    }
    let file = files.first().context("the suite left no checks")?;
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

/// What goes wrong in a version.
async fn failures(version: &str) -> Result<Vec<String>> {
    let scenarios = required(version)?;
    ensure!(!scenarios.is_empty(), "{version} requires nothing");
    let mut failures = Vec::new();
    for scenario in scenarios {
        let complaints = complaints(&scenario, version).await?;
        if !complaints.is_empty() {
            failures.push(format!("{version} {scenario}: {}", complaints.join("\n")));
        }
    }
    Ok(failures)
}

#[tokio::test]
async fn a_client_of_either_era_passes_what_is_required() -> Result<()> {
    let installed = Command::new(conformance().join("install")).status().await?;
    ensure!(installed.success(), "the suite could not be installed");
    // At the same time, because each waits most of the time.
    let (legacy, modern) = tokio::join!(failures("2025-11-25"), failures("2026-07-28"));
    let failures = [legacy?, modern?].concat();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    Ok(())
}
