//! The configuration file that a first start makes.

use std::process::Stdio;

use anyhow::{Context as _, Result};
use gateway_tests::home::Home;
use gateway_tests::log::Log;
use gateway_tests::wait::PATIENCE;
use tokio::process::{Child, Command};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// A gateway that was started with nothing but a home folder.
fn start(home: &Home, variables: &[(&str, &str)]) -> Result<(Child, Log)> {
    let mut child = Command::new(BINARY)
        .args(["desktop", "--listen", "127.0.0.1:0"])
        .args(["--ops-listen", "127.0.0.1:0"])
        .current_dir(home.path())
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stderr = child.stderr.take().context("it has no standard error")?;
    Ok((child, Log::collect(stderr)))
}

#[tokio::test]
async fn a_first_start_makes_a_file_and_goes_on_with_it() -> Result<()> {
    let home = Home::new(BINARY)?;
    let (_gateway, log) = start(&home, &[])?;
    let said = log.wait(&["is a sample that explains itself"]).await?;
    assert!(said.contains(".config/mcp-gateway/gateway.yaml"), "{said}");
    log.wait(&["listening on http://", "/mcp"]).await?;
    let sample = home.read(".config/mcp-gateway/gateway.yaml")?;
    assert!(sample.contains("mcp-gateway doctor"), "{sample}");

    // It is the file that a running gateway takes edits of, and that commands edit.
    let mark = log.mark();
    home.ok(&["server", "add", "away", "--url", "http://127.0.0.1:9/mcp"])?;
    log.wait_after(mark, &["configuration in force", "revision=2"])
        .await?;
    let edited = home.read(".config/mcp-gateway/gateway.yaml")?;
    for line in sample.lines() {
        assert!(edited.lines().any(|kept| kept == line), "{line} is gone");
    }
    let listed = home.ok(&["server", "list"])?;
    assert!(listed.contains("away"), "{listed}");
    Ok(())
}

#[tokio::test]
async fn the_users_folders_are_where_their_variables_say() -> Result<()> {
    let home = Home::new(BINARY)?;
    let folder = home.path().join("elsewhere");
    let folder = folder.to_str().context("a folder")?;
    let (_gateway, log) = start(&home, &[("XDG_CONFIG_HOME", folder)])?;
    log.wait(&["listening on http://", "/mcp"]).await?;
    home.read("elsewhere/mcp-gateway/gateway.yaml")?;
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_change_the_file() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new(BINARY)?;
    let (_gateway, log) = start(&home, &[])?;
    log.wait(&["listening on http://", "/mcp"]).await?;
    let file = home.path().join(".config/mcp-gateway/gateway.yaml");
    let mode = std::fs::metadata(file)?.permissions().mode();
    assert_eq!(mode & 0o022, 0, "{mode:o}");
    Ok(())
}

#[tokio::test]
async fn a_file_that_was_named_is_not_made() -> Result<()> {
    let home = Home::new(BINARY)?;
    let (mut gateway, log) = start(&home, &[("MCP_GATEWAY_CONFIG", "gateway.yaml")])?;
    let status = tokio::time::timeout(PATIENCE, gateway.wait()).await??;
    log.ended().await;
    assert_eq!(status.code(), Some(2));
    assert!(
        log.text().contains(
            "gateway.yaml: there is no such file: name one with --config, or make it with"
        ),
        "{}",
        log.text()
    );
    assert_eq!(home.files()?, Vec::<String>::new());
    Ok(())
}
