//! Data planes whose join token, or certificate, is for some tenants only: they have those, and learn of no other.

use std::sync::Arc;

use anyhow::{Result, ensure};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::planes::{ControlPlane, DataPlane, acme};
use gateway_tests::raw::RawClient;
use gateway_tests::{Era, Exit, Workspace, secrets, wait};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

fn done(exit: &Exit) -> Result<String> {
    ensure!(exit.code == Some(0), "{:?}", exit.stderr);
    Ok(exit.stdout.join("\n"))
}

async fn limited_token(control: &ControlPlane, name: &str, tenants: &[&str]) -> Result<String> {
    let mut arguments = vec!["token", "create", name, "--role", "join"];
    arguments.extend(tenants.iter().flat_map(|tenant| ["--tenant", tenant]));
    let secret = done(&control.admin(&arguments).await?)?;
    secrets::made(&secret);
    Ok(secret)
}

/// The tenants that each connected data plane has or should have, by its name.
async fn status(control: &ControlPlane) -> Result<Vec<String>> {
    let listed = done(&control.admin(&["status", "-o", "json"]).await?)?;
    let listed: Value = serde_json::from_str(&listed)?;
    let rows = listed.as_array().into_iter().flatten();
    let rows = rows.map(|row| format!("{} {}", row["replica"], row["tenant"]).replace('"', ""));
    Ok(rows.collect())
}

/// `acme`, and another tenant that is the same but for its name.
fn documents(server: &HttpFixture) -> [String; 2] {
    let acme = acme(server).to_string();
    let zoo = acme.replace(r#""tenant":"acme""#, r#""tenant":"zoo""#);
    [acme, zoo]
}

#[tokio::test]
async fn a_limited_data_plane_serves_its_tenants_and_learns_of_no_other() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let control = ControlPlane::start(BINARY, &Arc::new(Workspace::new("")?)).await?;
    let token = limited_token(&control, "edge", &["acme", "later"]).await?;
    let listed = done(&control.admin(&["token", "list"]).await?)?;
    assert!(listed.contains("acme, later"), "{listed}");

    let named = ["--name", "limited"];
    let data = DataPlane::start_with(BINARY, &control, &token, &named).await?;
    data.wait_until_ready().await?;
    let [acme, zoo] = documents(&server);
    done(&control.apply(&acme).await?)?;
    // Nobody is there who may have this one, so that nobody is waited for.
    std::fs::write(control.path("zoo.yaml"), &zoo)?;
    let apply = ["apply", "-f", "zoo.yaml", "--timeout", "1s"];
    let exit = control.admin(&apply).await?;
    let said = exit.stderr.join("\n");
    assert!(said.contains("no data plane is connected"), "{said}");

    let session = data.ada(Era::Legacy).await?;
    session.call("echo", json!({})).await?.result()?;
    let opening = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    } });
    for path in ["/t/zoo/mcp", "/t/never/mcp"] {
        let answer = RawClient::default()
            .post(
                &data.url(path),
                &[("x-api-key", secrets::ADA_KEY)],
                opening.to_string(),
            )
            .await?;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_eq!(data.process.count_in_log("zoo"), 0);
    assert_eq!(status(&control).await?, ["limited acme"]);

    // With one that may have all, both tenants are waited for, each at those that may have it.
    let other = ["--name", "everything"];
    let join = gateway_tests::planes::join_token();
    let everything = DataPlane::start_with(BINARY, &control, &join, &other).await?;
    everything.wait_until_ready().await?;
    for document in [acme, zoo] {
        let changed = document.replace(r#""one":"#, r#""two":"#);
        done(&control.apply(&changed).await?)?;
    }
    let expected = ["everything acme", "everything zoo", "limited acme"];
    assert_eq!(status(&control).await?, expected);

    done(&control.admin(&["token", "revoke", "edge"]).await?)?;
    let cut_off = ["a replica is cut off", "was revoked"];
    control.process.wait_for_log(&cut_off).await?;
    wait::until("the replica to be gone", || async {
        let rows = status(&control).await.unwrap_or_default();
        rows == expected[..2]
    })
    .await?;
    session.call("echo", json!({})).await?.result()?;
    data.process.stop().await?;
    everything.process.stop().await?;
    control.process.stop().await
}

#[tokio::test]
async fn a_token_of_some_tenants_is_of_no_use_against_the_replicas_of_others() -> Result<()> {
    let control = ControlPlane::start(BINARY, &Arc::new(Workspace::new("")?)).await?;
    let acme = limited_token(&control, "acme", &["acme"]).await?;
    let zoo = limited_token(&control, "zoo", &["zoo"]).await?;
    let named = ["--name", "edge"];
    let first = DataPlane::start_with(BINARY, &control, &acme, &named).await?;
    first.wait_until_ready().await?;
    let second = DataPlane::start_with(BINARY, &control, &zoo, &named).await?;
    let refused = ["a replica was refused", "a name of its own"];
    control.process.wait_for_log(&refused).await?;
    ensure!(!second.is_ready().await?, "it has taken the other's name");
    assert_eq!(control.process.count_in_log("a replica disconnected"), 0);
    first.process.stop().await?;
    // The name is free now, and the second tries again.
    second.wait_until_ready().await?;
    second.process.stop().await?;
    control.process.stop().await
}
