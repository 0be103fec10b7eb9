//! The benchmark runs, has a figure for everything that it promises, and checks what it is answered.

use anyhow::{Context as _, Result, ensure};
use gateway_tests::servers::beside;
use serde_json::Value;
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

async fn bench(arguments: &[&str]) -> Result<std::process::Output> {
    let mut command = Command::new(beside(BINARY, "bench")?);
    command.args(["--gateway", BINARY, "--quick"]);
    Ok(command.args(arguments).kill_on_drop(true).output().await?)
}

fn number(value: &Value) -> Result<f64> {
    let number = value.as_f64().with_context(|| format!("{value}"))?;
    ensure!(number > 0.0, "{number}");
    Ok(number)
}

#[tokio::test]
async fn every_row_has_its_figures() -> Result<()> {
    let output = bench(&["--calls", "10", "--output", "json"]).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let mut targets = vec!["direct", "gateway"];
    if !said.contains("nginx is not installed") {
        targets.insert(1, "nginx");
    }
    let mut cells = Vec::new();
    for cell in report["cells"].as_array().context("no cells")? {
        cells.push(format!(
            "{} {} {}",
            cell["row"], cell["era"], cell["connections"]
        ));
        let figures = cell["figures"].as_array().context("no figures")?;
        let found: Vec<_> = figures.iter().map(|one| one["target"].as_str()).collect();
        let expected: Vec<_> = targets.iter().copied().map(Some).collect();
        assert_eq!(found, expected);
        for one in figures {
            assert_eq!(one["checked_replies"], 10, "{cell}");
            number(&one["p50_us"])?;
            if one["target"] != "direct" {
                number(&one["cpu_ms_per_1000_calls"])?;
            }
        }
    }
    let expected = ["call", "five", "guarded", "large", "list"].map(|row| {
        ["legacy", "modern"].map(|era| [1, 4].map(|count| format!("{row:?} {era:?} {count}")))
    });
    assert_eq!(cells, expected.as_flattened().as_flattened());
    number(&report["footprint"]["idle"]["resident"])?;
    number(&report["footprint"]["held"]["resident"])?;
    number(&report["footprint"]["start_ms"])?;
    Ok(())
}

#[tokio::test]
async fn streams_are_read_and_the_table_is_printed() -> Result<()> {
    let arguments = ["--only", "call", "--stream", "--calls", "10", "--markdown"];
    let output = bench(&arguments).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let table = String::from_utf8(output.stdout)?;
    assert!(
        table.contains("| `tools/call`, one server, modern |"),
        "{table}"
    );
    assert!(!table.contains("64 KiB"), "{table}");
    Ok(())
}

#[tokio::test]
async fn policies_have_their_figures_by_where_they_are() -> Result<()> {
    let output = bench(&["--policies", "--calls", "10"]).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let table = String::from_utf8(output.stdout)?;
    for policy in [
        "direct",
        "no policy",
        "in memory",
        "plugin, cached",
        "plugin",
    ] {
        assert!(table.contains(&format!("| {policy} | ")), "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn a_program_that_is_missing_is_said_with_what_to_do() -> Result<()> {
    let mut command = Command::new(beside(BINARY, "bench")?);
    let output = command
        .args(["--gateway", "no/such/program"])
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("cargo build --release"), "{said}");
    Ok(())
}
