//! A control plane and data planes as processes of their own: who joins, what is served, and what a lost control plane
//! leaves as it was.

use std::sync::Arc;

use anyhow::{Result, ensure};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::gateway;
use gateway_tests::planes::{ControlPlane, DataPlane, acme, admin_token};
use gateway_tests::raw::RawClient;
use gateway_tests::session::initialize_message;
use gateway_tests::{Era, Workspace};
use http::StatusCode;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// A control plane that knows no tenant.
async fn control_plane() -> Result<ControlPlane> {
    ControlPlane::start(BINARY, &Arc::new(Workspace::new("")?)).await
}

/// Applies a document and says what was printed; it is in force then.
async fn apply(control: &ControlPlane, document: &Value) -> Result<String> {
    let exit = control.apply(&document.to_string()).await?;
    ensure!(exit.code == Some(0), "{:?}", exit.stderr);
    Ok(exit.stdout.join("\n"))
}

#[tokio::test]
async fn a_data_plane_serves_what_the_control_plane_has_and_goes_on_without_it() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let control = control_plane().await?;
    let data = DataPlane::start(BINARY, &control).await?;
    data.wait_until_ready().await?;
    let said = apply(&control, &acme(&server)).await?;
    let begin = "acme: revision 1\n  + plugins.auth_provider";
    assert!(said.starts_with(begin), "{said}");

    for era in Era::BOTH {
        let ada = data.ada(era).await?;
        ada.call("echo", json!({})).await?.result()?;
        let denied = ada.call("whoami", json!({})).await?;
        assert!(denied.result().is_err(), "{}", denied.text());
    }
    let nobody = RawClient::default();
    for (path, status) in [
        ("/t/acme/mcp", StatusCode::UNAUTHORIZED),
        ("/t/other/mcp", StatusCode::NOT_FOUND),
    ] {
        let message = initialize_message("2025-11-25");
        let answer = nobody.post(&data.url(path), &[], message).await?;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }

    let session = data.ada(Era::Legacy).await?;
    let killed = control.kill().await?;
    data.process
        .wait_for_log(&["the control plane is away"])
        .await?;
    session.call("echo", json!({})).await?.result()?;
    assert!(data.is_ready().await?);
    let control = killed.start().await?;
    data.process
        .wait_for_log(&["the control plane is there again"])
        .await?;
    session.call("echo", json!({})).await?.result()?;

    control.process.stop().await?;
    data.process.stop().await
}

#[tokio::test]
async fn a_data_plane_without_the_join_token_is_refused_and_gets_nothing() -> Result<()> {
    let control = control_plane().await?;
    // Not even with the administrator's.
    let data = DataPlane::start_with(BINARY, &control, &admin_token(), &[]).await?;
    data.process
        .wait_for_log(&["the control plane refuses this data plane", "join token"])
        .await?;
    control
        .process
        .wait_for_log(&["a replica was refused"])
        .await?;
    assert!(!data.is_ready().await?);
    let message = initialize_message("2025-11-25");
    let (nobody, url) = (RawClient::default(), data.url("/t/acme/mcp"));
    let answer = nobody.post(&url, &[], message).await?;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    data.process.stop().await?;
    control.process.stop().await
}

#[tokio::test]
async fn a_refused_configuration_leaves_the_last_good_one_in_force() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let control = control_plane().await?;
    let data = DataPlane::start(BINARY, &control).await?;
    data.wait_until_ready().await?;
    apply(&control, &acme(&server)).await?;
    let ada = data.ada(Era::Legacy).await?;

    // What the control plane itself sees to be wrong is never kept.
    let unsound = "tenant: acme\nprofiles:\n  dev: { servers: [missing] }\n";
    let exit = control.apply(unsound).await?;
    let said = exit.stderr.join("\n");
    assert_eq!(exit.code, Some(2), "{said}");
    assert!(said.contains("error: tenants.yaml:3:"), "{said}");

    // What only a data plane can say is kept, and refused there.
    let mut program = acme(&server);
    program["servers"]["two"] = json!({ "type": "command", "command": "sh" });
    let exit = control.apply(&program.to_string()).await?;
    let said = exit.stderr.join("\n");
    assert_eq!(exit.code, Some(2), "{said}");
    assert!(said.contains("error: tenants.yaml:1:"), "{said}");
    assert!(said.contains("servers.two"), "{said}");
    ada.call("echo", json!({})).await?.result()?;

    let status = control.admin(&["status", "-o", "json"]).await?;
    let status: Value = serde_json::from_str(&status.stdout.join("\n"))?;
    assert_eq!(status[0]["desired"], 2, "{status}");
    assert_eq!(status[0]["in_force"], 1, "{status}");
    let exit = control.admin(&["rollback", "acme", "--to", "1"]).await?;
    assert_eq!(exit.code, Some(0), "{:?}", exit.stderr);
    ada.call("echo", json!({})).await?.result()?;
    data.process.stop().await?;
    control.process.stop().await
}

#[tokio::test]
async fn an_administrator_sees_and_changes_tenants_by_commands() -> Result<()> {
    let control = control_plane().await?;
    let two = "# the first\ntenant: acme\nservers: { a: 'http://192.0.2.1/mcp' }\n---\n\
               tenant: zoo\nprofiles: {}\n";
    let file = control.path("tenants.yaml");
    std::fs::write(&file, two)?;
    let admin = async |line: &str| -> Result<String> {
        let arguments: Vec<_> = line.split(' ').collect();
        let exit = control.admin(&arguments).await?;
        ensure!(exit.code == Some(0), "{line}: {:?}", exit.stderr);
        Ok(exit.stdout.join("\n"))
    };
    let said = admin("apply -f tenants.yaml --dry-run").await?;
    assert!(said.contains("acme: would be new\n  + servers.a"), "{said}");
    assert_eq!(admin("get -o json").await?, "[]");
    admin("apply -f tenants.yaml --no-wait --reason begun").await?;
    let said = admin("apply -f tenants.yaml --no-wait").await?;
    let unchanged = "acme: unchanged, revision 1\nzoo: unchanged, revision 1";
    assert_eq!(said, unchanged);

    // What is shown can be applied.
    let shown = admin("get -o yaml").await? + "\n";
    assert_eq!(shown, two);
    std::fs::write(&file, shown.replace("192.0.2.1", "192.0.2.2"))?;
    let said = admin("apply -f tenants.yaml --no-wait --reason moved").await?;
    assert!(said.contains("  ~ servers.a"), "{said}");
    let history = admin("history acme").await?;
    assert!(history.contains("moved"), "{history}");
    assert!(history.contains("changed server a"), "{history}");
    admin("rollback acme --to 1 --no-wait").await?;
    let back = admin("get acme -o yaml").await?;
    assert!(back.contains("192.0.2.1"), "{back}");
    admin("delete zoo").await?;
    let table = admin("get").await?;
    assert!(table.contains("acme") && !table.contains("zoo"), "{table}");

    let fails = async |token: &str, arguments: &[&str], says: &str| -> Result<()> {
        let exit = control.admin_with(token, arguments).await?;
        let said = exit.stderr.join("\n");
        ensure!(exit.code == Some(1) && said.contains(says), "{said}");
        Ok(())
    };
    let token = &admin_token();
    fails(token, &["get", "zoo"], "error: there is no tenant `zoo`").await?;
    fails("0123456789abcdef", &["get"], "MCP_GATEWAY_TOKEN").await?;
    let apply = ["apply", "-f", "tenants.yaml", "--timeout", "1ms"];
    fails(token, &apply, "no data plane is connected").await?;
    control.process.stop().await
}

#[tokio::test]
async fn what_would_leave_the_machine_in_plain_text_is_refused() -> Result<()> {
    let workspace = Workspace::new("")?;
    let token = ["--join-token", "0123456789abcdef"];
    let with = |arguments: &[&'static str]| [arguments, &token].concat();
    let database = ["control-plane", "--database", "sqlite://a.db"];
    let ports = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    let cases = [
        (
            [&database[..], &["--listen", "0.0.0.0:0"]].concat(),
            "without TLS",
        ),
        (
            [&database[..], &["--ops-listen", "0.0.0.0:0"]].concat(),
            "listen on loopback addresses only",
        ),
        (
            with(&["data-plane", "--control-plane", "http://192.0.2.1:8812"]),
            "without TLS",
        ),
        (
            with(&["data-plane", "--control-plane", "here"]),
            "https://HOST:PORT",
        ),
        (
            vec!["data-plane", "--control-plane", "http://127.0.0.1:1"],
            "the join token is missing",
        ),
        (
            [
                &["control-plane", "--database", "postgres://db/x"][..],
                &ports,
            ]
            .concat(),
            "MCP_GATEWAY_ADMIN_TOKEN is missing",
        ),
        (
            vec![
                "control-plane",
                "--database",
                "postgres://a:zq-secret-pw@db:x/y",
            ],
            "--database: a PostgreSQL database is postgres://USER",
        ),
    ];
    for (arguments, reason) in cases {
        let exit = gateway::run(BINARY, &workspace, &arguments).await?;
        let said = exit.stderr.join("\n");
        assert_eq!(exit.code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
    assert!(!workspace.path().join("a.db").exists());
    Ok(())
}
