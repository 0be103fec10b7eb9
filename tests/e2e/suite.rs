//! The official conformance suite sees the same through the gateway as at the server itself, whether the gateway
//! shows that server alone or among others.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, Result};
use gateway_tests::Gateway;
use gateway_tests::bare_names::BareNames;
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::fixture::Eras;
use gateway_tests::servers::{Everything, configuration, filesystem, remote, time};
use tempfile::TempDir;
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// What stands beside the fixture, and one of its tools.
const OTHERS: [(&str, &str); 4] = [
    ("everything", "echo"),
    ("files", "list_directory"),
    ("time", "get_current_time"),
    ("twin", "test_simple_text"),
];

/// The fixture in a gateway with four other servers, one of which has all the same names.
struct Setup {
    fixture: ConformanceServer,
    _twin: ConformanceServer,
    _everything: Everything,
    _files: TempDir,
    gateway: Gateway,
    /// The fixture's own names at the endpoint that shows all servers.
    merged: BareNames,
}

impl Setup {
    async fn start() -> Result<Self> {
        let fixture = ConformanceServer::start(Eras::Both).await?;
        let twin = ConformanceServer::start(Eras::Both).await?;
        let everything = Everything::start().await?;
        let files = tempfile::tempdir()?;
        let config = configuration(&[
            ("everything", remote(&everything.url())),
            ("files", filesystem(files.path())?),
            ("fixture", remote(&fixture.url())),
            ("time", time()?),
            ("twin", remote(&twin.url())),
        ]);
        let gateway = Gateway::builder(BINARY).config(config).start().await?;
        for (server, tool) in OTHERS {
            let tool = format!("{server}__{tool}");
            gateway.wait_for_tool("/mcp", &tool).await?;
        }
        let fixtures = "fixture__test_simple_text";
        gateway.wait_for_tool("/mcp", fixtures).await?;
        let others = OTHERS.map(|(server, _)| server);
        let merged = BareNames::start(&gateway.url("/mcp"), "fixture", &others).await?;
        Ok(Self {
            fixture,
            _twin: twin,
            _everything: everything,
            _files: files,
            gateway,
            merged,
        })
    }
}

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

/// What is different and has no reason to be.
async fn compare(setup: &Setup, selection: &[&str], reasons: &str) -> Result<String> {
    let mut different = String::new();
    let folder = tempfile::tempdir()?;
    let direct = folder.path().join("direct");
    suite(&direct, &setup.fixture.url(), selection).await?;
    let routes = [
        ("single", setup.gateway.url("/s/fixture/mcp")),
        ("merged", setup.merged.url()),
    ];
    for (route, url) in routes {
        let through = folder.path().join(route);
        suite(&through, &url, selection).await?;
        let mut compare = Command::new(script("compare"));
        compare.arg(&direct).arg(&through).args(["--route", route]);
        let reasons = script("reasons").join(reasons);
        if reasons.exists() {
            compare.arg("--reasons").arg(reasons);
        }
        let output = compare.output().await?;
        if !output.status.success() {
            let told = [output.stdout, output.stderr].concat();
            let told = String::from_utf8_lossy(&told);
            different.push_str(&format!("{selection:?}, {route}:\n{told}\n"));
        }
    }
    Ok(different)
}

/// One after the other: the suite reads streams for short, fixed times, which several of it at
/// once on few cores would miss.
#[tokio::test]
async fn the_suite_sees_no_difference() -> Result<()> {
    let setup = Setup::start().await?;
    let mut different = String::new();
    for version in ["2025-11-25", "2026-07-28"] {
        let selection = ["--requirements", version];
        different += &compare(&setup, &selection, &format!("{version}.txt")).await?;
    }
    for version in ["2025-06-18", "2025-03-26"] {
        let selection = ["--suite", "all", "--spec-version", version];
        different += &compare(&setup, &selection, &format!("{version}.txt")).await?;
    }
    assert!(different.is_empty(), "{different}");
    setup.gateway.stop().await?;
    Ok(())
}
