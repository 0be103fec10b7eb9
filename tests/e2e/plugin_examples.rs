//! The plugins of docs/plugins, started as their users start them, and checked; then all of them in front of a server.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::examples::{Language, Served, home};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::home::Home;
use gateway_tests::secrets::secret;
use gateway_tests::servers::remote;
use gateway_tests::wait::until;
use gateway_tests::{Era, Gateway, Session};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixListener};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// What an example has to be told, and what the check is told of it.
const EXAMPLES: [(&str, &[&str]); 3] = [
    (
        "api_key_provider",
        &[
            "--accept",
            "api_key=env:KEY_OF_ADA:ada",
            "--accept",
            "api_key=env:KEY_OF_BOB:bob",
            "--reject",
            "api_key=env:KEY_OF_EVE",
        ],
    ),
    (
        "policy",
        &[
            "--allow",
            "ada:files:read",
            "--deny",
            "ada:files:write",
            "--deny",
            "bob:files:read",
        ],
    ),
    ("audit_sink", &["--audit-file", "audit.jsonl"]),
];

/// Checks an example; all that it is told lets every case be judged.
fn check(home: &Home, flags: &[&str], place: &[&str]) -> Result<()> {
    let mut arguments = vec![
        "plugin", "check", "--calls", "20", "--era", "both", "-o", "json",
    ];
    arguments.extend(flags);
    arguments.extend(place);
    let done = home.run(&arguments)?;
    ensure!(
        done.code == Some(0),
        "{place:?}: {}{}",
        done.stdout,
        done.stderr
    );
    let result: Value = serde_json::from_str(&done.stdout)?;
    let cases = result
        .get("cases")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let skipped: Vec<_> = cases.filter(|case| case["outcome"] == "skipped").collect();
    let is_expected = |case: &&Value| case["case"] == "repeats_no_secret_in_errors";
    ensure!(skipped.iter().all(is_expected), "{skipped:?}");
    Ok(())
}

/// The first one of the guide, which serves on standard streams alone.
const FIRST: (&str, &[&str]) = (
    "first",
    &["--allow", "ada:files:read", "--deny", "ada:files:write"],
);

fn examples_pass_over_stdio(language: Language) -> Result<()> {
    let home = home(BINARY, language)?;
    let program = language.program()?;
    let program = program.to_str().context("the path is text")?;
    for (example, flags) in EXAMPLES.into_iter().chain([FIRST]) {
        let file = language.file(example);
        check(&home, flags, &["--command", program, "--", &file])?;
    }
    Ok(())
}

fn examples_pass_over_http(language: Language) -> Result<()> {
    let home = home(BINARY, language)?;
    for (example, flags) in EXAMPLES {
        let served = Served::start(&home, language, example)?;
        let bearer = ["--bearer-from-env", "PLUGIN_TOKEN", "--url", &served.url];
        check(&home, flags, &bearer)?;
        let done = home.run(&["plugin", "check", "--url", &served.url])?;
        ensure!(
            done.code == Some(1) && done.stderr.contains("401"),
            "{}",
            done.stderr
        );
    }
    Ok(())
}

#[test]
fn python_passes_over_stdio() -> Result<()> {
    examples_pass_over_stdio(Language::Python)
}

#[test]
fn python_passes_over_http() -> Result<()> {
    examples_pass_over_http(Language::Python)
}

#[test]
fn typescript_passes_over_stdio() -> Result<()> {
    examples_pass_over_stdio(Language::TypeScript)
}

#[test]
fn typescript_passes_over_http() -> Result<()> {
    examples_pass_over_http(Language::TypeScript)
}

#[tokio::test]
async fn one_lets_in_one_decides_and_one_records_what_a_gateway_does() -> Result<()> {
    let (python, typescript) = (
        home(BINARY, Language::Python)?,
        home(BINARY, Language::TypeScript)?,
    );
    let rules = json!([
        { "effect": "deny", "tools": ["whoami"] },
        { "effect": "allow", "users": ["ada"], "servers": ["one"] },
    ]);
    typescript.write("rules.json", &json!({ "rules": rules }).to_string())?;
    let policy = Served::start(&typescript, Language::TypeScript, "policy")?;
    let by_command = |example: &str, settings: Value| {
        let program = Language::Python.program()?;
        let file = python.path().join(Language::Python.file(example));
        let server =
            json!({ "type": "command", "command": program, "args": [file], "env": settings });
        anyhow::Ok(json!({ "provider": "mcp", "server": server, "timeout": "20s" }))
    };
    let (keys, audit) = ("keys.json", "audit.jsonl");
    let bearer = json!({ "bearer": { "from_env": "PLUGIN_TOKEN" } });
    let policy_server = json!({ "type": "remote", "endpoint": policy.url, "auth": bearer });
    let plugins = json!({
        "auth_provider": by_command("api_key_provider", json!({ "KEYS_FILE": python.path().join(keys) }))?,
        "policy_evaluator": { "provider": "mcp", "server": policy_server },
        "audit_sink": by_command("audit_sink", json!({ "AUDIT_FILE": python.path().join(audit) }))?,
    });
    let server = HttpFixture::start(Options::default()).await?;
    let config = json!({ "servers": { "one": remote(&server.url()) }, "plugins": plugins });
    let gateway = Gateway::builder(BINARY)
        .config(config.to_string())
        .variable("PLUGIN_TOKEN", &secret("plugin-token"))
        .start()
        .await?;

    let (url, ada, bob) = (gateway.url("/mcp"), secret("ada"), secret("bob"));
    for era in Era::BOTH {
        let session = Session::open_with(era, &url, &[("x-api-key", &ada)]).await?;
        session.wait_for_tool("echo").await?;
        let names = session.tool_names().await?;
        ensure!(!names.contains(&"whoami".to_owned()), "{names:?}");
        let said = session
            .call_text("echo", json!({ "message": "hello" }))
            .await?;
        ensure!(said.contains("hello"), "{said}");
        let refused = session.call("whoami", json!({})).await?;
        ensure!(refused.result().is_err(), "{}", refused.text());
        let others = Session::open_with(era, &url, &[("x-api-key", &bob)]).await?;
        ensure!(others.tool_names().await?.is_empty(), "bob sees tools");
    }
    let stranger = Session::open_with(Era::Modern, &url, &[("x-api-key", &secret("eve"))]).await?;
    ensure!(stranger.request("tools/list", json!({})).await?.status == StatusCode::UNAUTHORIZED);

    let has = |user: &str, result: &str| {
        let events = python.read(audit).unwrap_or_default();
        let events: Vec<Value> = events
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let fits = |event: &&Value| {
            event.get("user_id") == Some(&user.into())
                && event.get("event_type") == Some(&"tool_call".into())
                && event.get("result") == Some(&result.into())
        };
        events.iter().filter(fits).count() == 2
    };
    let are_there = || async { has("ada", "ok") && has("ada", "denied") };
    until("the events of both calls in both eras", are_there).await?;
    gateway.stop().await?;
    Ok(())
}

#[test]
fn the_guide_shows_what_is_there_and_can_be_configured() -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let guide = std::fs::read_to_string(docs.join("write-a-plugin.md"))?;
    let first = std::fs::read_to_string(docs.join("plugins/python/first.py"))?;
    ensure!(guide.contains(&first), "the guide has another first.py");
    let mut home = Home::new(BINARY)?;
    home.set("PLUGIN_TOKEN", &secret("plugin-token"));
    let mut validated = 0;
    for block in guide.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        if block.starts_with("plugins:") {
            home.write("gateway.yaml", block)?;
            home.ok(&["validate", "-f", "gateway.yaml"])?;
            validated += 1;
        }
        if block.starts_with("accept:") {
            home.set("KEY", &secret("key"));
            home.write_secret("header", &secret("header"))?;
            home.write("expect.yaml", block)?;
            let nowhere = ["--url", "http://127.0.0.1:9", "-f", "expect.yaml"];
            let done = home.run(&[&["plugin", "check"][..], &nowhere].concat())?;
            // It has been read, and then nobody answered.
            ensure!(done.code == Some(1), "{}", done.stderr);
            validated += 1;
        }
    }
    ensure!(validated == 3, "{validated} documents");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_checked_on_a_unix_socket() -> Result<()> {
    let home = Arc::new(home(BINARY, Language::TypeScript)?);
    let served = Served::start(&home, Language::TypeScript, "policy")?;
    let address = served.url.strip_prefix("http://").context("a URL")?;
    let address = address.trim_end_matches("/mcp").to_owned();
    let listener = UnixListener::bind(home.path().join("policy.sock"))?;
    let carrying = tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let address = address.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(address).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    let checking = Arc::clone(&home);
    let checked = tokio::task::spawn_blocking(move || {
        let socket = checking.path().join("policy.sock");
        let socket = socket.to_str().context("the path is text")?;
        let bearer = ["--bearer-from-env", "PLUGIN_TOKEN", "--socket", socket];
        let [_, (_, flags), _] = EXAMPLES;
        check(&checking, flags, &bearer)
    });
    checked.await??;
    carrying.abort();
    Ok(())
}

async fn each_event_is_written_once(language: Language) -> Result<()> {
    let home = home(BINARY, language)?;
    let event = |id: &str| {
        json!({
            "timestamp": "2026-01-01T00:00:00Z", "event_type": "tool_call", "metadata": { "event_id": id },
        })
    };
    // The second line is what a crash has left of an event that was not answered.
    let (whole, all) = (event("one").to_string(), event("two").to_string());
    let broken_off = all.get(..20).context("a part")?;
    home.write("audit.jsonl", &format!("{whole}\n{broken_off}"))?;
    let token = format!("Bearer {}", secret("plugin-token"));
    for era in Era::BOTH {
        // A new process each time, which has only the file.
        let served = Served::start(&home, language, "audit_sink")?;
        let url = match served.url.strip_suffix("/mcp") {
            Some(_) => served.url.clone(),
            None => format!("{}/mcp", served.url),
        };
        let session = Session::open_with(era, &url, &[("authorization", &token)]).await?;
        for id in ["one", "two", "two"] {
            session.call("log_event", event(id)).await?.result()?;
        }
        let events = [event("two"), event("three"), event("three"), event("four")];
        session
            .call("log_events", json!({ "events": events }))
            .await?
            .result()?;
    }
    let written = home.read("audit.jsonl")?;
    let due = ["one", "two", "three", "four"].map(|id| event(id).to_string() + "\n");
    ensure!(written == due.concat(), "{written}");
    Ok(())
}

#[tokio::test]
async fn python_writes_each_event_once() -> Result<()> {
    each_event_is_written_once(Language::Python).await
}

#[tokio::test]
async fn typescript_writes_each_event_once() -> Result<()> {
    each_event_is_written_once(Language::TypeScript).await
}
