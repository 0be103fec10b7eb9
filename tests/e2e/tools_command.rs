//! `mcp-gateway tools`: what is listed and called, with and without a gateway that runs.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use gateway_tests::Gateway;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::home::Home;
use gateway_tests::servers::{configuration, everything, fixture_on_stdio, remote};
use gateway_tests::wait;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// A home whose gateway.yaml has one server, the fixture.
fn home_with_fixture() -> Result<Home> {
    let home = Home::new(BINARY)?;
    let fixture = fixture_on_stdio(BINARY, &[])?;
    home.write("gateway.yaml", &configuration(&[("one", fixture)]))?;
    Ok(home)
}

#[test]
fn without_a_gateway_one_runs_for_as_long_as_the_command() -> Result<()> {
    let home = home_with_fixture()?;
    insta::assert_snapshot!(home.ok(&["tools", "list"])?);
    let done = home.run(&["tools", "call", "echo", "text=hi", "n:=1.50"])?;
    insta::assert_snapshot!(done.stdout);
    // The audit sink is the default one, `stdout`, which is taken.
    let events: Vec<Value> = done
        .stderr
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .with_context(|| format!("no audit event: {}", done.stderr))?;
    assert!(
        events.iter().any(|event| event["tool"] == "echo"),
        "{events:?}"
    );
    let left = home.files()?;
    let left: Vec<_> = left
        .iter()
        .map(|file| file.trim_start_matches(".local/share/mcp-gateway/"))
        .collect();
    assert_eq!(
        left,
        [
            "gateway.db",
            "gateway.db.lock",
            "lock",
            "session.key",
            "gateway.yaml"
        ]
    );
    Ok(())
}

#[test]
fn two_commands_at_once_take_turns() -> Result<()> {
    let home = home_with_fixture()?;
    std::thread::scope(|scope| {
        let calls = ["a", "b", "c"].map(|text| {
            let home = &home;
            scope.spawn(move || home.ok(&["tools", "call", "echo", &format!("text={text}")]))
        });
        for (call, text) in calls.into_iter().zip(["a", "b", "c"]) {
            let said = call.join().expect("no panic")?;
            assert!(said.contains(&format!("\"{text}\"")), "{said}");
        }
        Ok(())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gateway_is_asked_for_what_its_endpoints_show() -> Result<()> {
    let fixture = fixture_on_stdio(BINARY, &[])?;
    let mut config: Value = json!({ "servers": { "one": fixture, "two": everything()? } });
    config["profiles"] = json!({ "few": { "servers": ["two"], "tools": { "allow": ["two__get-sum"], "rename": { "two__get-sum": "sum" } } } });
    let gateway = Gateway::builder(BINARY)
        .config(config.to_string())
        .start()
        .await?;
    let home = Home::new(BINARY)?;
    let data = gateway.workspace.data();
    let data = data.to_str().context("a path of text")?;
    let ok = |arguments: &[&str]| home.ok(&[&["tools"], arguments, &["--data-dir", data]].concat());

    insta::assert_snapshot!(ok(&["list", "--profile", "few"])?);
    let names = |said: String| -> Result<Vec<String>> {
        let tools: Vec<Value> = serde_json::from_str(&said)?;
        let names = tools.iter().filter_map(|tool| tool["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    };
    let all = names(ok(&["list", "-o", "json"])?)?;
    assert!(all.contains(&"one__echo".to_owned()), "{all:?}");
    assert!(all.contains(&"two__get-sum".to_owned()), "{all:?}");
    assert!(names(ok(&["list", "--server", "one", "-o", "json"])?)?.contains(&"echo".to_owned()));

    // The schema says that both are numbers.
    let sum = "The sum of 20 and 22.5 is 42.5.\n";
    assert_eq!(ok(&["call", "two__get-sum", "a=20", "b=22.5"])?, sum);
    assert_eq!(
        ok(&["call", "sum", "a=20", "b:=22.5", "--profile", "few"])?,
        sum
    );
    let whole = r#"{"a":20,"b":22.5}"#;
    assert_eq!(ok(&["call", "two__get-sum", "--arguments", whole])?, sum);
    let piped = home.pipe(
        whole,
        &["tools", "call", "two__get-sum", "-", "--data-dir", data],
    )?;
    assert_eq!(piped.stdout, sum);
    // All that people are shown of a picture.
    insta::assert_snapshot!(ok(&["call", "two__get-tiny-image"])?);
    insta::assert_snapshot!(ok(&[
        "call",
        "two__get-structured-content",
        "location=Chicago"
    ])?);
    let json: Value = serde_json::from_str(&ok(&["call", "one__echo", "-o", "json"])?)?;
    assert_eq!(json["structuredContent"], json!({ "arguments": {} }));
    gateway.stop().await?;
    Ok(())
}

#[test]
fn what_goes_wrong_is_said_with_what_to_do() -> Result<()> {
    let home = home_with_fixture()?;
    let mut said = String::new();
    for arguments in [
        &["call", "ecko"][..],
        &["call", "fail"],
        &["call", "fail", "-o", "json"],
        &["call", "refuse"],
        &["call", "slow", "ms:=20000", "--timeout", "300ms"],
        &["call", "echo", "text"],
        &["call", "echo", "text:=x"],
        &["call", "echo", "--arguments", "[]"],
        &["list", "--server", "onee"],
        &["list", "--profile", "p"],
        &["list", "--config", "none.yaml"],
    ] {
        let done = home.run(&[&["tools"], arguments].concat())?;
        said.push_str(&format!("$ mcp-gateway tools {}\n", arguments.join(" ")));
        let errors = done.stderr.lines().filter(|line| !line.starts_with('{'));
        let errors: Vec<_> = errors.collect();
        said.push_str(&format!(
            "{}\nexit code {:?}\n\n",
            errors.join("\n"),
            done.code
        ));
    }
    insta::assert_snapshot!(said);
    Ok(())
}

#[test]
fn a_key_is_taken_from_the_environment() -> Result<()> {
    let mut home = home_with_fixture()?;
    let made = home.ok(&["api-key", "create", "laptop"])?;
    let key = made
        .split_whitespace()
        .find(|word| word.starts_with("mgk_"));
    let key = key.with_context(|| format!("no key: {made}"))?.to_owned();
    let refused = home.run(&["tools", "list"])?;
    assert_eq!(refused.code, Some(1));
    let error = refused
        .stderr
        .lines()
        .find(|line| line.starts_with("error:"));
    insta::assert_snapshot!(error.unwrap_or_default());
    home.set("MCP_GATEWAY_API_KEY", &key);
    let done = home.run(&["tools", "call", "echo", "text=hi"])?;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!done.stderr.contains(&key), "{done:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_takes_the_call_back() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let home = Home::new(BINARY)?;
    home.write(
        "gateway.yaml",
        &configuration(&[("one", remote(&server.url()))]),
    )?;
    let child = Command::new(BINARY)
        .args(["tools", "call", "wait", "--data-dir", "data"])
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    wait::until("the call", || async { server.waiting() == 1 }).await?;
    let id = i32::try_from(child.id())?;
    let id = rustix::process::Pid::from_raw(id).context("no process id")?;
    rustix::process::kill_process(id, rustix::process::Signal::INT)?;
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await??;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: cancelled by SIGINT"), "{said}");
    wait::until("the end of the call", || async { server.waiting() == 0 }).await?;
    Ok(())
}
