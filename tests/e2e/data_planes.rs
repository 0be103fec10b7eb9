//! The life of a data plane: it starts from what it kept, ends without losing a call, and takes new keys while it runs.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;
use gateway_tests::balancer::Balancer;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::planes::{ControlPlane, DataPlane, LOOPBACK, acme, join_token};
use gateway_tests::raw::RawClient;
use gateway_tests::secrets::ADA_KEY;
use gateway_tests::session::{initialize_message, modern_message};
use gateway_tests::{Era, Session, Workspace, gateway, wait};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

const KEYS: [&str; 2] = ["--session-key-file", "session.key"];
const CACHE: [&str; 2] = ["--cache-dir", "cache"];

struct Site {
    workspace: Arc<Workspace>,
    server: HttpFixture,
    control: ControlPlane,
}

impl Site {
    /// A control plane with the tenant `acme`.
    async fn start() -> Result<Self> {
        let workspace = Arc::new(Workspace::new("")?);
        let server = HttpFixture::start(Options::default()).await?;
        let site = Self {
            control: ControlPlane::start(BINARY, &workspace).await?,
            workspace,
            server,
        };
        site.apply(&acme(&site.server)).await?;
        Ok(site)
    }

    async fn apply(&self, document: &Value) -> Result<()> {
        std::fs::write(self.control.path("tenants.yaml"), document.to_string())?;
        let arguments = ["apply", "-f", "tenants.yaml", "--no-wait"];
        let exit = self.control.admin(&arguments).await?;
        ensure!(exit.code == Some(0), "{:?}", exit.stderr);
        Ok(())
    }

    async fn data_plane(&self, flags: &[&str]) -> Result<DataPlane> {
        let flags = &[&LOOPBACK, flags].concat();
        data_plane(&self.workspace, &[self.control.url()], flags).await
    }
}

async fn data_plane(
    workspace: &Arc<Workspace>,
    control_planes: &[String],
    flags: &[&str],
) -> Result<DataPlane> {
    let (token, flags) = (join_token(), [&KEYS, flags].concat());
    let variables = [("MCP_GATEWAY_JOIN_TOKEN", token.as_str())];
    DataPlane::start_at(BINARY, workspace, control_planes, &variables, &flags).await
}

#[tokio::test]
async fn a_data_plane_serves_what_it_kept_while_no_control_plane_is_there() -> Result<()> {
    let site = Site::start().await?;
    let mut zoo = acme(&site.server);
    zoo["tenant"] = json!("zoo");
    site.apply(&zoo).await?;
    let data = site.data_plane(&CACHE).await?;
    data.wait_until_ready().await?;
    data.ada(Era::Legacy).await?;
    let host = ["host", "add", "acme.example", "--tenant", "acme"];
    for command in [&["delete", "zoo"][..], &host] {
        let exit = site.control.admin(command).await?;
        assert_eq!(exit.code, Some(0), "{:?}", exit.stderr);
    }
    data.process
        .wait_for_log(&["the tenant was removed"])
        .await?;
    let under_host = async |data: &DataPlane| -> Result<StatusCode> {
        let headers = [("host", "acme.example"), ("x-api-key", ADA_KEY)];
        let message = initialize_message("2025-11-25");
        let url = data.url("/mcp");
        Ok(RawClient::default()
            .post(&url, &headers, message)
            .await?
            .status)
    };
    wait::until("the host name to stand for its tenant", || async {
        under_host(&data).await.is_ok_and(|status| status == 200)
    })
    .await?;
    data.process.stop().await?;

    let Site {
        workspace,
        server,
        control,
    } = site;
    let killed = control.kill().await?;
    let data = data_plane(&workspace, &[killed.url()], &[LOOPBACK, CACHE].concat()).await?;
    data.wait_until_ready().await?;
    let ada = data.ada(Era::Legacy).await?;
    ada.call("echo", json!({})).await?.result()?;
    assert_eq!(under_host(&data).await?, StatusCode::OK);
    let (nobody, message) = (RawClient::default(), initialize_message("2025-11-25"));
    let answer = nobody.post(&data.url("/t/zoo/mcp"), &[], message).await?;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);

    // It is sent what has changed meanwhile, and nothing else.
    let site = Site {
        workspace,
        server,
        control: killed.start().await?,
    };
    let in_force = "configuration in force";
    data.process
        .wait_for_log(&["the control plane is there again"])
        .await?;
    assert_eq!(data.process.count_in_log(in_force), 0);
    let mut changed = acme(&site.server);
    changed["profiles"] = json!({ "p": { "servers": ["one"] } });
    site.apply(&changed).await?;
    data.process.wait_for_log(&[in_force, "revision=2"]).await?;
    // Killed or not: what was acknowledged a moment ago is kept.
    wait::until("the change to be kept", || async {
        let state = fs::read_to_string(site.workspace.path().join("cache/state"));
        state.is_ok_and(|state| state.contains(r#""sequence":5"#))
    })
    .await?;
    data.process.kill().await?;
    let away = "http://127.0.0.1:1".to_owned();
    let flags = [LOOPBACK, CACHE].concat();
    let data = data_plane(&site.workspace, &[away], &flags).await?;
    data.wait_until_ready().await?;
    let url = data.url("/t/acme/p/p/mcp");
    let ada = Session::open_with(Era::Modern, &url, &[("x-api-key", ADA_KEY)]).await?;
    ada.call("echo", json!({})).await?.result()?;
    data.process.stop().await?;
    site.control.process.stop().await
}

/// What has been done to a cache, and what is said of it.
type Damage = (fn(&Path) -> std::io::Result<()>, &'static [&'static str]);

#[tokio::test]
async fn what_somebody_has_done_to_the_cache_is_not_served() -> Result<()> {
    let site = Site::start().await?;
    let data = site.data_plane(&CACHE).await?;
    data.wait_until_ready().await?;
    data.process.stop().await?;
    let workspace = site.workspace;
    site.control.process.stop().await?;
    let kept = workspace.path().join("cache");
    let damages: [Damage; 4] = [
        (
            |cache| {
                let mut text = fs::read(cache.join("documents-1"))?;
                let middle = text.len() / 2;
                text[middle] ^= 1;
                fs::write(cache.join("documents-1"), text)
            },
            &["cache/documents-1", "was changed"],
        ),
        (
            |cache| {
                let text = fs::read_to_string(cache.join("state"))?;
                fs::write(
                    cache.join("state"),
                    text.replace("acme", "zoo")
                        .replace("\"sequence\":", "\"sequence\":9"),
                )
            },
            &["cache/state", "was changed"],
        ),
        (
            |cache| {
                let file = fs::OpenOptions::new()
                    .write(true)
                    .open(cache.join("documents-1"))?;
                file.set_len(30)
            },
            &["cache/documents-1", "is cut short"],
        ),
        (
            |cache| fs::remove_file(cache.join("../session.key")),
            &["cache/state", "session key file"],
        ),
    ];
    let files = ["cache/documents-1", "cache/state", "session.key"];
    let sound = files.map(|name| (name, fs::read(workspace.path().join(name))));
    for (damage, said) in damages {
        damage(&kept)?;
        let away = "http://127.0.0.1:1".to_owned();
        let data = data_plane(&workspace, &[away], &CACHE).await?;
        data.process
            .wait_for_log(&[said, &["counts as absent"]].concat())
            .await?;
        assert!(!data.is_ready().await?);
        let (nobody, message) = (RawClient::default(), initialize_message("2025-11-25"));
        let answer = nobody.post(&data.url("/t/acme/mcp"), &[], message).await?;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        data.process.stop().await?;
        for (name, text) in &sound {
            let text = text.as_ref().map_err(|error| error.kind());
            let text = text.map_err(std::io::Error::from)?;
            fs::write(workspace.path().join(name), text)?;
        }
    }
    let flags = [&CACHE[..], &["--cache-max-age", "1ms"]].concat();
    let data = data_plane(&workspace, &["http://127.0.0.1:1".to_owned()], &flags).await?;
    data.process
        .wait_for_log(&["cache/state", "is too old"])
        .await?;
    assert!(!data.is_ready().await?);
    data.process.stop().await
}

#[tokio::test]
async fn the_cache_is_for_one_process_and_needs_keys() -> Result<()> {
    let workspace = Arc::new(Workspace::new("")?);
    let away = "http://127.0.0.1:1".to_owned();
    let data = data_plane(&workspace, &[away], &CACHE).await?;
    let url = [
        "data-plane",
        "--control-plane",
        "http://127.0.0.1:1",
        "--join-token",
        "0123456789abcdef",
    ];
    let listen = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    for (flags, code, reason) in [
        ([KEYS, CACHE].concat(), 1, "is in use by another data plane"),
        (CACHE.to_vec(), 2, "--cache-dir needs --session-key-file"),
    ] {
        let arguments = [&url[..], &listen, &flags].concat();
        let exit = gateway::run(BINARY, &workspace, &arguments).await?;
        let said = exit.stderr.join("\n");
        assert_eq!(exit.code, Some(code), "{said}");
        assert!(said.contains(reason), "{said}");
    }
    data.process.stop().await
}

/// Calls again and again until told to stop, and counts the calls.
async fn call_on(session: Session, stop: Arc<AtomicBool>) -> Result<usize> {
    let mut calls = 0;
    while !stop.load(Ordering::Relaxed) {
        let answer = session
            .call("echo", json!({ "text": calls.to_string() }))
            .await;
        let answer = answer.with_context(|| format!("call {calls}"))?;
        answer.result().with_context(|| format!("call {calls}"))?;
        calls += 1;
    }
    Ok(calls)
}

/// The same over HTTP/2, whose connections carry many calls at once.
async fn call_on_http2(url: String, stop: Arc<AtomicBool>) -> Result<usize> {
    let client = RawClient::http2();
    let message = modern_message("tools/call", json!({ "name": "echo", "arguments": {} }));
    let headers = [
        ("x-api-key", ADA_KEY),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
    ];
    let mut calls = 0;
    while !stop.load(Ordering::Relaxed) {
        let call = || client.post(&url, &headers, message.clone());
        for answer in join_all([call(), call(), call()]).await {
            let answer = answer.with_context(|| format!("HTTP/2, call {calls}"))?;
            answer
                .result()
                .with_context(|| format!("HTTP/2, call {calls}"))?;
            calls += 1;
        }
    }
    Ok(calls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_lost_while_data_planes_are_replaced() -> Result<()> {
    let site = Site::start().await?;
    let flags = ["--drain-delay", "500ms"];
    let balancer = Balancer::start().await?;
    let mut planes = Vec::new();
    for _ in 0..2 {
        let plane = site.data_plane(&flags).await?;
        plane.wait_until_ready().await?;
        plane.ada(Era::Modern).await?;
        balancer.add(&plane);
        planes.push(plane);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for era in [Era::BOTH, Era::BOTH, Era::BOTH].concat() {
        let url = balancer.url("/t/acme/mcp");
        let session = Session::open_with(era, &url, &[("x-api-key", ADA_KEY)]).await?;
        callers.spawn(call_on(session, Arc::clone(&stop)));
    }
    callers.spawn(call_on_http2(
        balancer.url("/t/acme/mcp"),
        Arc::clone(&stop),
    ));
    for _ in 0..3 {
        let plane = site.data_plane(&flags).await?;
        plane.wait_until_ready().await?;
        plane.ada(Era::Modern).await?;
        balancer.add(&plane);
        planes.push(plane);
        planes.remove(0).process.stop().await?;
        if let Some(called) = callers.try_join_next() {
            called??;
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(called) = callers.join_next().await {
        let calls = called??;
        assert!(calls > 10, "{calls} calls");
    }
    for plane in planes {
        plane.process.stop().await?;
    }
    site.control.process.stop().await
}

#[tokio::test]
async fn what_is_under_way_is_finished_and_streams_end() -> Result<()> {
    let site = Site::start().await?;
    let mut document = acme(&site.server);
    document["plugins"]["policy_evaluator"]["settings"]["rules"][0]["names"] =
        json!(["wait", "echo"]);
    site.apply(&document).await?;
    let data = site.data_plane(&["--drain-delay", "1s"]).await?;
    data.wait_until_ready().await?;
    let (ada, eve) = (data.ada(Era::Modern).await?, data.ada(Era::Legacy).await?);
    let headers = [
        ("x-api-key", ADA_KEY),
        ("accept", "text/event-stream"),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-session-id", eve.id().context("no session")?),
    ];
    let url = data.url("/t/acme/mcp");
    // It has not begun yet when the gateway is to end.
    let mut silent = TcpStream::connect(data.mcp()).await?;
    let client = RawClient::default();
    let mut news = client.stream(Method::GET, &url, &headers, "").await?;
    assert_eq!(news.status, StatusCode::OK);
    let operations = format!("http://{}/readyz", data.operations());
    let drained = async {
        wait::until("the call", || async { site.server.waiting() == 1 }).await?;
        data.process.terminate()?;
        let told = wait::until_some("it not to be ready", || async {
            client
                .get(&operations)
                .await
                .ok()
                .filter(|answer| answer.status != 200)
        });
        let told = told.await?;
        assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(told.text().contains("draining"), "{}", told.text());
        // Whoever comes now is served, and told to go.
        let answer = eve.call("echo", json!({})).await?;
        assert_eq!(answer.header("connection"), Some("close"));
        answer.result()?;
        assert!(news.next().await?.is_none(), "the stream goes on");
        wait::until("it to take nobody", || async {
            TcpStream::connect(data.mcp()).await.is_err()
        })
        .await?;
        let request = b"POST /t/none/mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
        silent.write_all(request).await?;
        let mut answer = String::new();
        silent.read_to_string(&mut answer).await?;
        assert!(
            answer.starts_with("HTTP/1.1 4") && answer.contains("connection: close"),
            "{answer}"
        );
        // It still says that it lives.
        let alive = operations.replace("readyz", "healthz");
        assert_eq!(client.get(&alive).await?.status, StatusCode::OK);
        site.server.open_gate();
        anyhow::Ok(())
    };
    let (answer, drained) = tokio::join!(ada.call("wait", json!({})), drained);
    drained?;
    answer?.result()?;
    data.process.ended().await?;
    site.control.process.stop().await
}

#[tokio::test]
async fn session_keys_are_replaced_while_sessions_go_on() -> Result<()> {
    let site = Site::start().await?;
    let data = site.data_plane(&[]).await?;
    data.wait_until_ready().await?;
    let ada = data.ada(Era::Legacy).await?;
    let file = site.workspace.path().join("session.key");
    let old = fs::read_to_string(&file)?;
    fs::write(&file, "nonsense")?;
    data.process
        .wait_for_log(&["session keys", "are not taken", "line 1"])
        .await?;
    ada.call("echo", json!({})).await?.result()?;

    let new = "AAECAw==:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    fs::write(&file, format!("{new}{old}"))?;
    data.process
        .wait_for_log(&["session keys are read anew"])
        .await?;
    ada.call("echo", json!({})).await?.result()?;
    let eve = data.ada(Era::Legacy).await?;
    fs::write(&file, new)?;
    wait::until("the old key to be gone", || async {
        ada.call("echo", json!({}))
            .await
            .is_ok_and(|answer| answer.status == StatusCode::NOT_FOUND)
    })
    .await?;
    eve.call("echo", json!({})).await?.result()?;
    data.process.stop().await?;
    site.control.process.stop().await
}

/// Carries connections to a unix socket on to a server.
fn on_socket(socket: &Path, server: SocketAddr) -> Result<AbortOnDropHandle<()>> {
    let listener = tokio::net::UnixListener::bind(socket)?;
    let accepting = async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    };
    Ok(AbortOnDropHandle::new(tokio::spawn(accepting)))
}

#[tokio::test]
async fn sidecars_are_reached_at_the_ports_and_sockets_that_flags_permit() -> Result<()> {
    let site = Site::start().await?;
    let address: SocketAddr = site.server.address();
    let sockets = site.workspace.folder("sockets")?;
    let _carried = on_socket(&sockets.join("s.sock"), address)?;
    let outside = site.workspace.path().join("outside.sock");
    let _outside = on_socket(&outside, address)?;
    std::os::unix::fs::symlink(&outside, sockets.join("link.sock"))?;
    let socket = |name: &str| sockets.join(name).display().to_string();
    let mut document = acme(&site.server);
    document["servers"] = json!({
        "port": { "type": "sidecar", "port": address.port() },
        "socket": { "type": "sidecar", "socket": socket("s.sock"), "path": "/mcp" },
        "url": { "type": "remote", "endpoint": format!("unix://{}", socket("s.sock")) },
        "link": { "type": "sidecar", "socket": socket("link.sock") },
    });
    site.apply(&document).await?;
    let port = address.port().to_string();
    let flags = ["--sidecar-port", &port, "--socket-dir", "sockets"];
    let data = data_plane(&site.workspace, &[site.control.url()], &flags).await?;
    data.wait_until_ready().await?;
    let url = data.url("/t/acme/mcp");
    let ada = Session::open_with(Era::Modern, &url, &[("x-api-key", ADA_KEY)]).await?;
    for server in ["port", "socket", "url"] {
        ada.wait_for_tool(&format!("{server}__echo")).await?;
        ada.call(&format!("{server}__echo"), json!({}))
            .await?
            .result()?;
    }
    data.process
        .wait_for_log(&["link.sock", "links are not followed"])
        .await?;
    let names = ada.tool_names().await?;
    assert!(
        !names.iter().any(|name| name.starts_with("link__")),
        "{names:?}"
    );

    // What no flag permits is refused with its place in the file, and what was in force stays.
    document["servers"]["else"] = json!({ "type": "sidecar", "port": 1 });
    document["servers"]["out"] = json!({ "type": "sidecar", "socket": outside });
    let exit = site.control.apply(&document.to_string()).await?;
    let said = exit.stderr.join("\n");
    assert_eq!(exit.code, Some(2), "{said}");
    for part in [
        "servers.else.port",
        "--sidecar-port",
        "servers.out.socket",
        "--socket-dir",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    ada.call("port__echo", json!({})).await?.result()?;
    data.process.stop().await?;
    site.control.process.stop().await
}
