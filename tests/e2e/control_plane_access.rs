//! Who may do what at a control plane, by tokens that its administrator makes.

use std::sync::Arc;

use anyhow::{Result, ensure};
use gateway_tests::planes::ControlPlane;
use gateway_tests::{Exit, Workspace, gateway, secrets, wait};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

const TENANTS: &str = "tenant: acme\nservers: { a: 'http://192.0.2.1/mcp' }\n---\n\
                       tenant: zoo\nprofiles: {}\n";

/// A control plane that has two tenants.
async fn control_plane() -> Result<ControlPlane> {
    let control = ControlPlane::start(BINARY, &Arc::new(Workspace::new("")?)).await?;
    std::fs::write(control.path("tenants.yaml"), TENANTS)?;
    done(
        &control
            .admin(&["apply", "-f", "tenants.yaml", "--no-wait"])
            .await?,
    )?;
    std::fs::write(control.path("acme.yaml"), "tenant: acme\nprofiles: {}\n")?;
    Ok(control)
}

fn done(exit: &Exit) -> Result<String> {
    ensure!(exit.code == Some(0), "{:?}", exit.stderr);
    Ok(exit.stdout.join("\n"))
}

/// A new token; from now on nobody may show it.
async fn token(control: &ControlPlane, arguments: &[&str]) -> Result<String> {
    let exit = control
        .admin(&[&["token", "create"], arguments].concat())
        .await?;
    let secret = done(&exit)?;
    secrets::made(&secret);
    ensure!(exit.stderr.join("\n").contains("shown this once"));
    Ok(secret)
}

async fn fails(control: &ControlPlane, token: &str, line: &str, says: &str) -> Result<()> {
    let arguments: Vec<_> = line.split(' ').collect();
    let exit = control.admin_with(token, &arguments).await?;
    let said = exit.stderr.join("\n");
    ensure!(
        exit.code == Some(1) && said.contains(says),
        "{line}: {said}"
    );
    Ok(())
}

async fn does(control: &ControlPlane, token: &str, line: &str) -> Result<String> {
    let arguments: Vec<_> = line.split(' ').collect();
    done(&control.admin_with(token, &arguments).await?)
}

#[tokio::test]
async fn a_tenants_tokens_reach_their_own_tenant_alone() -> Result<()> {
    let control = control_plane().await?;
    let own = ["own", "--role", "tenant-administrator", "--tenant", "acme"];
    let own = token(&control, &own).await?;
    let look = ["look", "--role", "tenant-viewer", "--tenant", "acme"];
    let look = token(&control, &look).await?;
    assert!(own.starts_with("mgt_") && own.len() == 68);

    for token in [&own, &look] {
        let listed = does(&control, token, "get -o json").await?;
        let listed: Value = serde_json::from_str(&listed)?;
        assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
        assert_eq!(listed[0]["tenant"], "acme");
        does(&control, token, "history acme").await?;
        for line in ["get zoo", "history zoo", "delete zoo"] {
            fails(&control, token, line, "error: there is no tenant `zoo`").await?;
        }
        let missing = "error: tenant zoo has no revision 1";
        fails(&control, token, "rollback zoo --to 1", missing).await?;
        let apply = "apply -f tenants.yaml --no-wait";
        let says = if *token == own {
            "no tenant `zoo`"
        } else {
            "tenant viewer"
        };
        fails(&control, token, apply, says).await?;
        let create = "token create root --role administrator";
        fails(&control, token, create, "made by administrators").await?;
    }
    does(&control, &own, "apply -f acme.yaml --no-wait").await?;
    let history = does(&control, &look, "history acme").await?;
    assert!(history.contains("acme/own"), "{history}");
    fails(&control, &own, "delete acme", "by administrators").await?;
    fails(
        &control,
        &look,
        "apply -f acme.yaml --no-wait",
        "tenant viewer",
    )
    .await?;

    let more = "token create more --role tenant-viewer --tenant acme";
    secrets::made(&does(&control, &own, more).await?);
    fails(
        &control,
        &look,
        "token revoke more --tenant acme",
        "tenant viewer",
    )
    .await?;
    does(&control, &own, "token revoke more --tenant acme").await?;
    control.process.stop().await
}

#[tokio::test]
async fn a_token_is_refused_once_it_is_revoked_or_its_time_is_over() -> Result<()> {
    let control = control_plane().await?;
    let ops = token(&control, &["ops", "--role", "administrator"]).await?;
    let brief = ["brief", "--role", "administrator", "--expires", "3s"];
    let brief = token(&control, &brief).await?;
    does(&control, &ops, "get").await?;
    done(&control.admin(&["token", "revoke", "ops"]).await?)?;
    fails(&control, &ops, "get", "token was revoked").await?;
    wait::until("the token to expire", || async {
        let expired = fails(&control, &brief, "get", "token has expired").await;
        expired.is_ok()
    })
    .await?;

    let listed = done(&control.admin(&["token", "list", "-o", "json"]).await?)?;
    let listed: Value = serde_json::from_str(&listed)?;
    let states = listed.as_array().into_iter().flatten();
    let states: Vec<_> = states.map(|one| (&one["name"], &one["state"])).collect();
    let expected = [("brief", "expired"), ("ops", "revoked")];
    assert_eq!(format!("{states:?}"), {
        let shown = expected.map(|(name, state)| (Value::from(name), Value::from(state)));
        format!("{shown:?}")
    });
    let table = done(&control.admin(&["token", "list"]).await?)?;
    assert!(
        table.starts_with("NAME") && table.contains("revoked"),
        "{table}"
    );

    // A name means one token for ever, and the first ones are none of these.
    let admin = gateway_tests::planes::admin_token();
    let again = "token create ops --role administrator";
    fails(&control, &admin, again, "was given before").await?;
    fails(&control, &admin, "token revoke admin", "there is no token").await?;
    for (arguments, reason) in [
        (
            &["x", "--role", "administrator", "--tenant", "acme"][..],
            "--tenant is for",
        ),
        (
            &[
                "x",
                "--role",
                "tenant-viewer",
                "--tenant",
                "a",
                "--tenant",
                "b",
            ],
            "of one --tenant only",
        ),
        (&["x", "--role", "tenant-viewer"], "--tenant is missing"),
        (
            &["admin", "--role", "administrator"],
            "token_id: is the name of",
        ),
        (&["X", "--role", "join"], "not a valid token name"),
        (
            &["x", "--role", "join", "--expires", "2020-01-01"],
            "is past already",
        ),
    ] {
        let exit = control
            .admin(&[&["token", "create"], arguments].concat())
            .await?;
        let said = exit.stderr.join("\n");
        assert!(exit.code == Some(2) && said.contains(reason), "{said}");
    }
    control.process.stop().await
}

#[tokio::test]
async fn plain_text_is_served_on_loopback_addresses_only() -> Result<()> {
    let workspace = Workspace::new("")?;
    let everywhere = ["--listen", "0.0.0.0:0"];
    let data_plane = ["data-plane", "--control-plane", "http://127.0.0.1:1"];
    for command in [
        &["control-plane", "--database", "sqlite://a.db"][..],
        &data_plane,
    ] {
        let arguments = [command, &everywhere].concat();
        let exit = gateway::run(BINARY, &workspace, &arguments).await?;
        let said = exit.stderr.join("\n");
        assert_eq!(exit.code, Some(2), "{arguments:?}: {said}");
        let reason = "error: --listen 0.0.0.0:0: without TLS (--tls-cert FILE --tls-key FILE) only \
                      loopback addresses are listened on, such as 127.0.0.1:0";
        assert_eq!(said, reason);
    }
    Ok(())
}
