//! TLS between clients and planes: certificates that are replaced, certificates in place of tokens, and a
//! data plane that is cut off.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::planes::{ControlPlane, DataPlane, admin_token};
use gateway_tests::secrets::{self, ADA_HASH, ADA_KEY};
use gateway_tests::servers::remote;
use gateway_tests::tls::{Signer, Tunnel, certificate_at};
use gateway_tests::{Era, Exit, Session, Workspace, gateway, wait};
use serde_json::{Value, json};
use tokio::net::TcpStream;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const MTLS: [&str; 6] = [
    "--tls-client-ca",
    "ca.pem",
    "--mtls-role",
    "cn:ada=tenant-viewer:acme",
    "--mtls-role",
    "uri:spiffe://test/edge=join:acme+later",
];

fn signed() -> Result<(Arc<Workspace>, Signer)> {
    let workspace = Arc::new(Workspace::new("")?);
    let signer = Signer::new(workspace.path())?;
    signer.server()?;
    Ok((workspace, signer))
}

fn acme(server: &HttpFixture) -> Value {
    let keys = json!([{ "id": "ada", "user_id": "ada@example.com", "hash": ADA_HASH }]);
    json!({
        "tenant": "acme",
        "plugins": {
            "auth_provider": { "provider": "in-memory", "implementation": "api-key",
                               "settings": { "keys": keys } },
            "policy_evaluator": { "provider": "in-memory", "implementation": "always-allow" },
        },
        "servers": { "one": remote(&server.url()) },
    })
}

async fn ada(data: SocketAddr, control: &ControlPlane) -> Result<(Tunnel, Session)> {
    let tunnel = Tunnel::start(data, &control.path("ca.pem")).await?;
    let url = tunnel.url("/t/acme/mcp");
    let session = Session::open_with(Era::Legacy, &url, &[("x-api-key", ADA_KEY)]).await?;
    session.wait_for_tool("echo").await?;
    Ok((tunnel, session))
}

async fn replicas(control: &ControlPlane) -> Result<usize> {
    let exit = control.admin(&["status", "-o", "json"]).await?;
    ensure!(exit.code == Some(0), "{:?}", exit.stderr);
    let status: Value = serde_json::from_str(&exit.stdout.join("\n"))?;
    Ok(status.as_array().map_or(0, Vec::len))
}

#[tokio::test]
async fn a_data_plane_is_cut_off_with_its_token_and_goes_on_serving() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let (workspace, _) = signed()?;
    let control = ControlPlane::start_tls(BINARY, &workspace, &[]).await?;
    let exit = control
        .admin(&["token", "create", "edge", "--role", "join"])
        .await?;
    let token = exit.stdout.join("\n");
    secrets::made(&token);
    assert!(token.starts_with("mgj_"), "{:?}", exit.stderr);
    let tls = ["--tls-cert", "server.pem", "--tls-key", "server.key"];
    let data = DataPlane::start_with(BINARY, &control, &token, &tls).await?;
    data.wait_until_ready().await?;
    let exit = control.apply(&acme(&server).to_string()).await?;
    assert_eq!(exit.code, Some(0), "{:?}", exit.stderr);
    let (_tunnel, session) = ada(data.mcp(), &control).await?;
    session.call("echo", json!({})).await?.result()?;

    let exit = control.admin(&["token", "revoke", "edge"]).await?;
    assert_eq!(exit.code, Some(0), "{:?}", exit.stderr);
    control
        .process
        .wait_for_log(&["a replica is cut off", "was revoked"])
        .await?;
    data.process
        .wait_for_log(&["the control plane refuses this data plane"])
        .await?;
    // It tries again, and is not let in any more.
    control
        .process
        .wait_for_log(&["a replica was refused", "was revoked"])
        .await?;
    assert_eq!(replicas(&control).await?, 0);
    session.call("echo", json!({})).await?.result()?;
    let (_tunnel, another) = ada(data.mcp(), &control).await?;
    another.call("echo", json!({})).await?.result()?;
    data.process.stop().await?;
    control.process.stop().await
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_served_and_a_broken_one_is_not() -> Result<()> {
    let (workspace, signer) = signed()?;
    let control = ControlPlane::start_tls(BINARY, &workspace, &[]).await?;
    let data = DataPlane::start_with(
        BINARY,
        &control,
        &gateway_tests::planes::join_token(),
        &["--tls-cert", "server.pem", "--tls-key", "server.key"],
    )
    .await?;
    data.wait_until_ready().await?;
    let ca = control.path("ca.pem");
    let listeners = [control.address(), data.mcp()];
    // Who does not shake hands keeps nobody else from it.
    let _silent = [
        TcpStream::connect(listeners[0]).await?,
        TcpStream::connect(listeners[1]).await?,
    ];
    let mut before = Vec::new();
    for address in listeners {
        before.push(certificate_at(address, &ca).await?);
    }
    assert_eq!(before[0], before[1]);

    std::fs::write(control.path("server.pem"), "broken")?;
    for plane in [&control.process, &data.process] {
        plane
            .wait_for_log(&["ERROR", "--tls-cert server.pem", "stay in force"])
            .await?;
    }
    for address in listeners {
        assert_eq!(certificate_at(address, &ca).await?, before[0]);
    }
    assert_eq!(control.admin(&["get"]).await?.code, Some(0));

    signer.server()?;
    for address in listeners {
        wait::until("the new certificate", || async {
            let now = certificate_at(address, &ca).await;
            now.is_ok_and(|now| now != before[0])
        })
        .await?;
    }
    assert_eq!(control.admin(&["get"]).await?.code, Some(0));
    assert_eq!(replicas(&control).await?, 1);
    data.process.stop().await?;
    control.process.stop().await
}

#[tokio::test]
async fn a_certificate_has_the_role_of_its_name() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let (workspace, signer) = signed()?;
    for name in ["ada", "bob", "edge"] {
        signer.client(name, &format!("spiffe://test/{name}"))?;
    }
    let control = ControlPlane::start_tls(BINARY, &workspace, &MTLS).await?;
    let with = |name: &str| {
        [
            "--tls-client-cert".to_owned(),
            format!("{name}.pem"),
            "--tls-client-key".to_owned(),
            format!("{name}.key"),
        ]
    };
    let edge = with("edge");
    let edge: Vec<_> = edge.iter().map(String::as_str).collect();
    let data = DataPlane::start_with(BINARY, &control, "", &edge).await?;
    data.wait_until_ready().await?;
    let exit = control.apply(&acme(&server).to_string()).await?;
    assert_eq!(exit.code, Some(0), "{:?}", exit.stderr);

    let run = async |name: &str, token: &str, line: &str| -> Result<Exit> {
        let own = with(name);
        let arguments = line.split(' ').chain(own.iter().map(String::as_str));
        let arguments: Vec<_> = arguments.collect();
        control.admin_with(token, &arguments).await
    };
    let exit = run("ada", "", "get acme").await?;
    assert_eq!(exit.code, Some(0), "{:?}", exit.stderr);
    for (name, token, line, reason) in [
        (
            "ada",
            "",
            "rollback acme --to 1",
            "a tenant viewer may look",
        ),
        ("ada", "", "get zoo", "there is no tenant `zoo`"),
        ("bob", "", "get", "the client certificate has no role here"),
        ("edge", "", "get", "is not valid"),
        // A token decides, whatever certificate there is beside it.
        ("ada", "0123456789abcdef", "get acme", "is not valid"),
    ] {
        let exit = run(name, token, line).await?;
        let said = exit.stderr.join("\n");
        assert!(
            exit.code == Some(1) && said.contains(reason),
            "{name}: {said}"
        );
    }
    let exit = run("bob", &admin_token(), "get acme").await?;
    assert_eq!(exit.code, Some(0), "{:?}", exit.stderr);
    data.process.stop().await?;
    control.process.stop().await
}

#[tokio::test]
async fn a_control_plane_that_is_not_trusted_is_told_of() -> Result<()> {
    let (workspace, _) = signed()?;
    let control = ControlPlane::start_tls(BINARY, &workspace, &[]).await?;
    let other = Workspace::new("")?;
    Signer::new(other.path())?;
    let url = control.url();
    let run = async |url: &str, arguments: &[&str]| -> Result<String> {
        let token = admin_token();
        let variables = [
            ("MCP_GATEWAY_TOKEN", token.as_str()),
            ("MCP_GATEWAY_CONTROL_PLANE", url),
        ];
        let exit = gateway::run_with(BINARY, &other, &variables, arguments).await?;
        ensure!(exit.code != Some(0));
        Ok(exit.stderr.join("\n"))
    };
    let said = run(&url, &["get", "--tls-ca", "ca.pem"]).await?;
    assert!(said.contains("look at --tls-ca"), "{said}");
    let plain = url.replace("https", "http");
    let said = run(&plain, &["get", "--tls-ca", "ca.pem"]).await?;
    assert!(said.contains("are for https://HOST:PORT"), "{said}");
    let said = run(&url, &["get", "--tls-ca", "missing.pem"]).await?;
    assert!(said.contains("--tls-ca missing.pem"), "{said}");
    control.process.stop().await
}

#[tokio::test]
async fn a_listener_that_speaks_tls_may_be_on_any_address() -> Result<()> {
    let (workspace, _) = signed()?;
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let control = ControlPlane::start_tls_at(BINARY, &workspace, everywhere, &[]).await?;
    let url = format!("https://localhost:{}", control.address().port());
    let exit = control.admin(&["get", "--control-plane", &url]).await?;
    assert_eq!(exit.code, Some(0), "{:?}", exit.stderr);
    control.process.stop().await
}
