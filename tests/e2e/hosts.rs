//! Host names that stand for tenants: whose endpoints are under them, and what is not.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::planes::{ControlPlane, DataPlane, acme};
use gateway_tests::raw::RawClient;
use gateway_tests::secrets::ADA_KEY;
use gateway_tests::{Exit, Workspace, secrets, wait};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

fn done(exit: &Exit) -> Result<String> {
    ensure!(exit.code == Some(0), "{:?}", exit.stderr);
    Ok(exit.stdout.join("\n"))
}

fn opening() -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    } })
    .to_string()
}

/// The status with which a client is answered that opens a session under a host name.
async fn open(data: &DataPlane, host: &str, path: &str, more: &[(&str, &str)]) -> Result<u16> {
    let mut headers = vec![("host", host), ("x-api-key", ADA_KEY)];
    headers.extend(more);
    let url = data.url(path);
    let client = RawClient::default();
    let answer = client.post(&url, &headers, opening()).await?;
    Ok(answer.status.as_u16())
}

async fn wait_for(data: &DataPlane, host: &str, path: &str, status: u16) -> Result<()> {
    wait::until(
        &format!("{host}{path} to be answered with {status}"),
        || async {
            open(data, host, path, &[])
                .await
                .is_ok_and(|found| found == status)
        },
    )
    .await
}

/// The status of a request whose head is written as it is.
async fn write(data: &DataPlane, head: &str) -> Result<u16> {
    let body = opening();
    let head = format!(
        "{head}content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         x-api-key: {ADA_KEY}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(data.mcp()).await?;
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    secrets::search("the answer", answer.as_bytes());
    let status = answer.split(' ').nth(1).context("no status")?;
    Ok(status.parse()?)
}

/// Two tenants that differ by their names and, so that they can be told apart, by their profiles.
fn documents(server: &HttpFixture) -> [String; 2] {
    let acme = acme(server).to_string();
    let of = |name: &str| {
        let named = acme.replace(r#""tenant":"acme""#, &format!(r#""tenant":"{name}""#));
        let profiles = format!(r#"{{"profiles":{{"{name}":{{"servers":["one"]}}}},"#);
        named.replacen('{', &profiles, 1)
    };
    [of("acme"), of("zoo")]
}

/// For a path that is not for the tenant's host name, in that tenant's audit log.
async fn wait_for_refusal(data: &DataPlane, tenant: &str) -> Result<()> {
    let of_tenant = format!(r#""tenant_id":"{tenant}""#);
    let reason = "this host name is not for the tenant in the path";
    let parts = [of_tenant.as_str(), reason];
    data.process.wait_for_output(&parts).await.map(drop)
}

/// A data plane that has two tenants, each with a host name.
async fn two_tenants() -> Result<(HttpFixture, ControlPlane, DataPlane)> {
    let server = HttpFixture::start(Options::default()).await?;
    let control = ControlPlane::start(BINARY, &Arc::new(Workspace::new("")?)).await?;
    let token = gateway_tests::planes::join_token();
    let data = DataPlane::start_with(BINARY, &control, &token, &["--allowed-host", "mcp.example"]);
    let data = data.await?;
    data.wait_until_ready().await?;
    for document in documents(&server) {
        done(&control.apply(&document).await?)?;
    }
    assert_eq!(open(&data, "acme.example", "/mcp", &[]).await?, 403);
    for tenant in ["acme", "zoo"] {
        let host = format!("{tenant}.example");
        done(
            &control
                .admin(&["host", "add", &host, "--tenant", tenant])
                .await?,
        )?;
        wait_for(&data, &host, "/mcp", 200).await?;
    }
    Ok((server, control, data))
}

#[tokio::test]
async fn under_a_tenants_host_name_there_are_its_endpoints_and_no_other() -> Result<()> {
    let (_server, control, data) = two_tenants().await?;
    let listed = done(&control.admin(&["host", "list"]).await?)?;
    assert!(
        listed.contains("acme.example") && listed.contains("zoo.example"),
        "{listed}"
    );

    for (host, path, status) in [
        ("acme.example", "/p/acme/mcp", 200),
        ("acme.example", "/p/zoo/mcp", 404),
        ("zoo.example", "/p/zoo/mcp", 200),
        ("acme.example", "/s/one/mcp", 200),
        ("acme.example", "/t/acme/mcp", 200),
        // Another tenant's path, whether or not that tenant is there.
        ("acme.example", "/t/zoo/mcp", 404),
        ("acme.example", "/t/never/mcp", 404),
        ("acme.example", "/t/default/mcp", 404),
        // As it was, under the other names.
        ("mcp.example", "/t/acme/mcp", 200),
        ("mcp.example", "/t/zoo/p/zoo/mcp", 200),
        ("mcp.example", "/mcp", 404),
        ("localhost", "/t/zoo/mcp", 200),
        // The same name in other writings, and other names.
        ("ACME.Example", "/p/acme/mcp", 200),
        ("acme.example:8811", "/p/acme/mcp", 200),
        ("acme.example.", "/mcp", 403),
        ("x.acme.example", "/mcp", 403),
        ("acme.example:1:2", "/mcp", 403),
    ] {
        let found = open(&data, host, path, &[]).await?;
        assert_eq!(found, status, "{host}{path}");
    }
    for (host, origin, status) in [
        ("acme.example", "https://acme.example", 200),
        ("acme.example", "https://zoo.example", 403),
        ("mcp.example", "https://acme.example", 403),
    ] {
        let found = open(&data, host, "/t/acme/mcp", &[("origin", origin)]).await?;
        assert_eq!(found, status, "{host} from {origin}");
    }
    // In the audit log of the tenant whose host name it was.
    wait_for_refusal(&data, "acme").await?;
    done(&control.admin(&["delete", "acme"]).await?)?;
    wait_for(&data, "acme.example", "/mcp", 404).await?;
    done(&control.admin(&["host", "remove", "acme.example"]).await?)?;
    wait_for(&data, "acme.example", "/mcp", 403).await?;
    data.process.stop().await?;
    control.process.stop().await
}

#[tokio::test]
async fn a_request_has_one_host_that_of_its_request_line_first() -> Result<()> {
    let (_server, control, data) = two_tenants().await?;
    for (head, status) in [
        ("POST /p/acme/mcp HTTP/1.1\r\nhost: acme.example\r\n", 200),
        // What stands in the request line counts.
        (
            "POST http://zoo.example/p/zoo/mcp HTTP/1.1\r\nhost: acme.example\r\n",
            200,
        ),
        (
            "POST http://zoo.example/p/acme/mcp HTTP/1.1\r\nhost: acme.example\r\n",
            404,
        ),
        (
            "POST http://zoo.example/t/acme/mcp HTTP/1.1\r\nhost: acme.example\r\n",
            404,
        ),
        (
            "POST /mcp HTTP/1.1\r\nhost: acme.example\r\nhost: zoo.example\r\n",
            403,
        ),
        (
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\nhost: acme.example\r\n",
            403,
        ),
        ("POST /mcp HTTP/1.1\r\n", 403),
    ] {
        assert_eq!(write(&data, head).await?, status, "{head}");
    }
    wait_for_refusal(&data, "zoo").await?;
    data.process.stop().await?;
    control.process.stop().await
}

#[tokio::test]
async fn a_limited_data_plane_knows_the_host_names_of_its_tenants_only() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let control = ControlPlane::start(BINARY, &Arc::new(Workspace::new("")?)).await?;
    let create = [
        "token", "create", "edge", "--role", "join", "--tenant", "acme",
    ];
    let token = done(&control.admin(&create).await?)?;
    secrets::made(&token);
    for tenant in ["acme", "zoo"] {
        let host = format!("{tenant}.example");
        done(
            &control
                .admin(&["host", "add", &host, "--tenant", tenant])
                .await?,
        )?;
    }
    let data = DataPlane::start_with(BINARY, &control, &token, &[]).await?;
    data.wait_until_ready().await?;
    let [acme, _] = documents(&server);
    done(&control.apply(&acme).await?)?;
    wait_for(&data, "acme.example", "/mcp", 200).await?;
    assert_eq!(open(&data, "zoo.example", "/mcp", &[]).await?, 403);
    data.process.stop().await?;
    control.process.stop().await
}
