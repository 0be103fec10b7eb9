//! The configuration file: edits while it runs, and what is said of everything that cannot be accepted.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::gateway::run;
use gateway_tests::servers::{self, DeadEndpoint, configuration, remote};
use gateway_tests::{Era, Gateway, Session, Workspace, wait};
use serde_json::json;
use tokio::time::Instant;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// Configurations that cannot be accepted, each with where the fault is and what must be said of it.
const REFUSED: [(&str, &str, &[&str]); 6] = [
    (
        "servers:\n  files: { type: command, command: npx, argz: [] }\n",
        ":2:41:",
        &["unknown field", "argz"],
    ),
    (
        "servers:\n  a: { type: command, command: x }\n  a: { type: command, command: y }\n",
        ":3:3:",
        &["duplicate", "a"],
    ),
    (
        "plugins:\n  audit_sink: { provider: in-memory, implementation: carrier-pigeon }\n",
        ":2:",
        &["plugins.audit_sink", "carrier-pigeon", "stdout"],
    ),
    (
        "servers:\n  web: { type: remote, endpoint: \"ftp://x\" }\n",
        ":2:",
        &["servers.web.endpoint", "http://"],
    ),
    (
        "profiles:\n  dev: { servers: [github] }\n",
        ":2:",
        &["profiles.dev.servers[0]", "github"],
    ),
    ("servers: [\n", ":1:", &[]),
];

#[tokio::test]
async fn an_edit_adds_a_server_and_leaves_calls_in_flight_alone() -> Result<()> {
    let first = HttpFixture::start(Options::default()).await?;
    let second = HttpFixture::start(Options::default()).await?;
    let before = configuration(&[("first", remote(&first.url()))]);
    let gateway = Gateway::builder(BINARY).config(before).start().await?;
    gateway.wait_for_tool("/mcp", "wait").await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;

    let call = async { session.call_text("wait", json!({})).await };
    let edit = async {
        wait::until("the call to be in flight", || async {
            first.waiting() == 1
        })
        .await?;
        let after = [
            ("first", remote(&first.url())),
            ("second", remote(&second.url())),
        ];
        gateway.apply_config(&configuration(&after)).await?;
        gateway.wait_for_tool("/mcp", "second__echo").await?;
        assert_eq!(first.waiting(), 1, "the call did not survive the edit");
        first.open_gate();
        anyhow::Ok(())
    };
    let (answered, edited) = tokio::join!(call, edit);
    edited?;
    assert_eq!(answered?, "the gate is open");
    assert_eq!(session.call_text("second__echo", json!({})).await?, "{}");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_edit_that_removes_a_server_leaves_its_calls_in_flight_alone() -> Result<()> {
    let kept = HttpFixture::start(Options::default()).await?;
    let removed = HttpFixture::start(Options::default()).await?;
    let child = servers::fixture_on_stdio(BINARY, &[])?;
    let both = [
        ("child", child),
        ("kept", remote(&kept.url())),
        ("removed", remote(&removed.url())),
    ];
    let gateway = Gateway::builder(BINARY)
        .config(configuration(&both))
        .start()
        .await?;
    gateway.wait_for_tool("/mcp", "removed__wait").await?;
    gateway.wait_for_tool("/mcp", "child__echo").await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;

    let call = async { session.call_text("removed__wait", json!({})).await };
    let edit = async {
        wait::until("the call to be in flight", || async {
            removed.waiting() == 1
        })
        .await?;
        gateway
            .apply_config(&configuration(&[("kept", remote(&kept.url()))]))
            .await?;
        wait::until("the removed child to end", || async {
            gateway.children().is_empty()
        })
        .await?;
        removed.open_gate();
        anyhow::Ok(())
    };
    let (answered, edited) = tokio::join!(call, edit);
    edited?;
    assert_eq!(answered?, "the gate is open");
    gateway.wait_for_tool("/mcp", "echo").await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_edit_that_removes_a_child_leaves_its_calls_in_flight_alone() -> Result<()> {
    // With progress the answer is a stream, which outlives the request that opened it.
    for meta in [json!({}), json!({ "progressToken": 1 })] {
        let kept = HttpFixture::start(Options::default()).await?;
        let child = servers::fixture_on_stdio(BINARY, &[])?;
        let both = configuration(&[("child", child), ("kept", remote(&kept.url()))]);
        let gateway = Gateway::builder(BINARY).config(both).start().await?;
        gateway.wait_for_tool("/mcp", "child__slow").await?;
        let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;

        let params = json!({ "name": "child__slow", "arguments": { "ms": 2000 }, "_meta": meta });
        let edit = async {
            gateway.wait_for_log(&["child", "called slow"]).await?;
            gateway
                .apply_config(&configuration(&[("kept", remote(&kept.url()))]))
                .await
        };
        let (answered, edited) = tokio::join!(session.request("tools/call", params), edit);
        edited?;
        let answered = answered?;
        assert!(
            answered.raw_message().contains("slept 2000 ms"),
            "{}",
            answered.text()
        );
        wait::until("the removed child to end", || async {
            gateway.children().is_empty()
        })
        .await?;
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_edit_is_in_force_within_a_second() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let gateway = Gateway::builder(BINARY).config("").start().await?;
    let mut fastest = Duration::MAX;
    // A busy machine may delay one edit, but hardly all of them.
    for name in ["one", "two", "three"] {
        let began = Instant::now();
        gateway
            .apply_config(&configuration(&[(name, remote(&server.url()))]))
            .await?;
        fastest = fastest.min(began.elapsed());
    }
    assert!(
        fastest < Duration::from_secs(1),
        "the fastest edit took {fastest:?}"
    );
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_edit_in_place_is_noticed_as_well() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let gateway = Gateway::builder(BINARY).config("").start().await?;
    gateway
        .workspace
        .overwrite_config(&configuration(&[("late", remote(&server.url()))]))?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_bad_edit_is_refused_while_the_last_good_one_stays() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let good = configuration(&[("good", remote(&server.url()))]);
    let gateway = Gateway::builder(BINARY).config(good).start().await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    for (config, place, reasons) in REFUSED {
        let mark = gateway.stderr.mark();
        gateway.edit_config(config)?;
        let place = format!("gateway.yaml{place}");
        let mut parts = vec!["configuration refused", &place];
        parts.extend_from_slice(reasons);
        gateway.stderr.wait_after(mark, &parts).await?;
        assert_eq!(session.call_text("echo", json!({})).await?, "{}");
    }
    let better = [
        ("good", remote(&server.url())),
        ("more", remote(&server.url())),
    ];
    gateway.apply_config(&configuration(&better)).await?;
    gateway.wait_for_tool("/mcp", "more__echo").await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_bad_configuration_is_refused_at_start() -> Result<()> {
    for (config, place, reasons) in REFUSED {
        let exit = Gateway::builder(BINARY).config(config).run().await?;
        assert_eq!(exit.code, Some(2), "{config}: {:?}", exit.stderr);
        assert_says(&exit.stderr, place, reasons);
        assert_eq!(exit.stdout, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test]
async fn validate_says_the_same_without_starting_anything() -> Result<()> {
    for (config, place, reasons) in REFUSED {
        let workspace = Workspace::new(config)?;
        let exit = run(BINARY, &workspace, &["validate", "-f", "gateway.yaml"]).await?;
        assert_eq!(exit.code, Some(2), "{config}: {:?}", exit.stderr);
        assert_says(&exit.stderr, place, reasons);
        assert!(!workspace.data().exists());
    }
    let workspace = Workspace::new("servers: { a: { type: command, command: no-such-thing } }\n")?;
    let exit = run(BINARY, &workspace, &["validate", "-f", "gateway.yaml"]).await?;
    assert_eq!(exit.code, Some(0), "{:?}", exit.stderr);
    Ok(())
}

fn assert_says(stderr: &[String], place: &str, reasons: &[&str]) {
    let begins = "error: ";
    let says = |line: &String| {
        line.starts_with(begins)
            && line.contains(&format!("gateway.yaml{place}"))
            && reasons.iter().all(|reason| line.contains(reason))
    };
    assert!(
        stderr.iter().any(says),
        "{place} {reasons:?} is not said by {stderr:#?}"
    );
}

#[tokio::test]
async fn a_missing_configuration_is_named() -> Result<()> {
    let workspace = Workspace::new("")?;
    let exit = run(BINARY, &workspace, &["validate", "-f", "elsewhere.yaml"]).await?;
    assert_eq!(exit.code, Some(2), "{:?}", exit.stderr);
    assert!(
        exit.stderr.join("\n").contains("elsewhere.yaml"),
        "{:?}",
        exit.stderr
    );
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named() -> Result<()> {
    let taken = HttpFixture::start(Options::default()).await?;
    let exit = Gateway::builder(BINARY)
        .listen(taken.address())
        .run()
        .await?;
    let said = exit.stderr.join("\n");
    assert_eq!(exit.code, Some(1), "{said}");
    assert!(
        said.contains(&taken.address().to_string()) && said.contains("in use"),
        "{said}"
    );
    assert!(said.contains("--listen"), "it says what to do: {said}");
    Ok(())
}

#[tokio::test]
async fn a_data_directory_in_use_is_named() -> Result<()> {
    let gateway = Gateway::builder(BINARY).config("").start().await?;
    let exit = Gateway::builder(BINARY)
        .workspace(&gateway.workspace)
        .run()
        .await?;
    let said = exit.stderr.join("\n");
    assert_eq!(exit.code, Some(1), "{said}");
    let directory = gateway.workspace.data();
    assert!(
        said.contains(&directory.display().to_string()) && said.contains("in use"),
        "{said}"
    );
    assert!(said.contains("--data-dir"), "it says what to do: {said}");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_in_the_data_directory_is_its_owners_alone() -> Result<()> {
    let workspace = Arc::new(Workspace::new("")?);
    let data = workspace.folder("data")?;
    let open =
        |name: &str, mode| fs::set_permissions(data.join(name), Permissions::from_mode(mode));
    open("", 0o755)?;
    // As an earlier version may have left them.
    for name in ["lock", "gateway.db"] {
        fs::write(data.join(name), "")?;
        open(name, 0o644)?;
    }
    let gateway = Gateway::builder(BINARY)
        .workspace(&workspace)
        .start()
        .await?;
    let files = fs::read_dir(&data)?.collect::<std::io::Result<Vec<_>>>()?;
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let mode = file.metadata()?.permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_command_that_is_not_there_is_named() -> Result<()> {
    let ghost = json!({ "type": "command", "command": "no-such-program" });
    let gateway = Gateway::builder(BINARY).config(configuration(&[("ghost", ghost)]));
    let gateway = gateway.start().await?;
    gateway
        .wait_for_log(&["ghost", "no-such-program", "not found"])
        .await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    let answer = session.call("boo", json!({})).await?;
    assert!(answer.error_code().is_ok(), "{}", answer.text());
    assert!(answer.text().contains("ghost"), "{}", answer.text());
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_named() -> Result<()> {
    let dead = DeadEndpoint::reserve()?;
    let endpoint = dead.url()?;
    let gateway = Gateway::builder(BINARY).config(configuration(&[("ghost", remote(&endpoint))]));
    let gateway = gateway.start().await?;
    gateway.wait_for_log(&["ghost", &endpoint]).await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    let answer = session.call("boo", json!({})).await?;
    assert_eq!(answer.error_code()?, 1001, "{}", answer.text());
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn unknown_flags_are_usage_errors() -> Result<()> {
    let workspace = Workspace::new("")?;
    let exit = run(BINARY, &workspace, &["desktop", "--frobnicate"]).await?;
    assert_eq!(exit.code, Some(2));
    assert!(exit.stdout.is_empty());
    Ok(())
}
