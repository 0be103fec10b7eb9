//! The official conformance suite sees the same through the gateway as at the server itself.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, Result};
use gateway_tests::Gateway;
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::fixture::Eras;
use gateway_tests::servers::{configuration, remote};
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/conformance")
        .join(name)
}

async fn suite(folder: &Path, url: &str, selection: &[&str]) -> Result<()> {
    let mut run = Command::new(script("run"));
    run.arg(folder)
        .args(["server", "--url", url])
        .args(selection);
    // Failed checks are compared below; the log is what must be there.
    let Output { stdout, stderr, .. } = run.kill_on_drop(true).output().await?;
    let log = std::fs::read_to_string(folder.join("log.txt")).unwrap_or_default();
    let said = || {
        format!(
            "{}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        )
    };
    log.contains("Total: ").then_some(()).with_context(said)
}

async fn compare(selection: &[&str], reasons: &str) -> Result<()> {
    let server = ConformanceServer::start(Eras::Both).await?;
    let config = configuration(&[("fixture", remote(&server.url()))]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "test_simple_text").await?;
    let folder = tempfile::tempdir()?;
    let (direct, through) = (folder.path().join("direct"), folder.path().join("through"));
    suite(&direct, &server.url(), selection).await?;
    suite(&through, &gateway.url("/s/fixture/mcp"), selection).await?;
    let mut compare = Command::new(script("compare"));
    compare.arg(&direct).arg(&through);
    let reasons = script("reasons").join(reasons);
    if reasons.exists() {
        compare.arg("--reasons").arg(reasons);
    }
    let output = compare.output().await?;
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    gateway.stop().await?;
    Ok(())
}

/// One after the other: the suite reads streams for short, fixed times, which several of it at
/// once on few cores would miss.
#[tokio::test]
async fn the_suite_sees_no_difference() -> Result<()> {
    for version in ["2025-11-25", "2026-07-28"] {
        compare(&["--requirements", version], &format!("{version}.txt")).await?;
    }
    for version in ["2025-06-18", "2025-03-26"] {
        let selection = ["--suite", "all", "--spec-version", version];
        compare(&selection, &format!("{version}.txt")).await?;
    }
    Ok(())
}
