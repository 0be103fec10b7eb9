//! What is read of a process that stands in for the gateway, and that its secrets are found.

use super::*;

/// A shell takes the gateway's place: its first argument, `desktop`, is the script that it runs.
fn stand_in(script: &str) -> anyhow::Result<Builder> {
    let workspace = Arc::new(Workspace::new("")?);
    let script = format!("echo 'listening on http://127.0.0.1:9/mcp' >&2\n{script}\n");
    std::fs::write(workspace.path().join("desktop"), script)?;
    Ok(Gateway::builder("sh").workspace(&workspace))
}

#[tokio::test]
async fn reads_the_address_and_the_results() -> anyhow::Result<()> {
    let gateway = stand_in("echo '{\"n\":1}'; sleep 60 & wait")?
        .start()
        .await?;
    assert_eq!(gateway.url("/mcp"), "http://127.0.0.1:9/mcp");
    gateway.wait_for_audit(|event| event["n"] == 1).await?;
    wait::until("its child", || async { gateway.children().len() == 1 }).await?;
    for child in gateway.children() {
        processes::kill(&child);
    }
    gateway.kill().await
}

#[tokio::test]
async fn reports_how_it_ended() -> anyhow::Result<()> {
    let exit = stand_in("echo result; exit 3")?.run().await?;
    assert_eq!(
        (exit.code, exit.stdout),
        (Some(3), vec!["result".to_owned()])
    );
    assert!(exit.stderr[0].contains("listening"));
    Ok(())
}

#[tokio::test]
async fn a_secret_in_a_log_or_in_a_file_fails_the_test() -> anyhow::Result<()> {
    let leak = "printf '%s-secret-leak' zq";
    for (script, place) in [
        (format!("{leak} >&2"), "the gateway's standard error has"),
        (leak.to_owned(), "the gateway's standard output has"),
        (format!("{leak} > core"), "/core has"),
    ] {
        let running = tokio::spawn(stand_in(&script)?.run());
        let failed = running
            .await
            .err()
            .context("it was not found")?
            .into_panic();
        let said = failed.downcast::<String>().unwrap();
        assert!(said.contains(place), "{said}");
    }
    Ok(())
}

#[test]
fn reads_revisions_from_log_lines() {
    assert_eq!(
        revision("INFO configuration in force revision=12 tenant=default"),
        Some(12)
    );
    assert_eq!(revision("INFO configuration in force"), None);
}
