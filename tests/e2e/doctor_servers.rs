//! `mcp-gateway doctor`: the servers, which are started and contacted.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use gateway_tests::doctor::examine;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::home::Home;
use gateway_tests::servers::{
    DeadEndpoint, command, configuration, fixture_on_stdio, remote, stubborn, with,
};
use gateway_tests::{processes, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// In which column something stands depends on how long paths and ports are.
const COLUMN: (&str, &str) = (r"\(gateway.yaml:(\d+):\d+\)", "(gateway.yaml:$1)");

/// A home whose processes can be found again.
fn marked_home(servers: &[(&str, Value)]) -> Result<(Home, String)> {
    let mut home = Home::new(BINARY)?;
    let mark = home.path().to_string_lossy().into_owned();
    home.set(processes::MARK, &mark);
    home.write("gateway.yaml", &configuration(servers))?;
    Ok((home, mark))
}

fn shell(script: &str) -> Value {
    command("sh".as_ref(), &["-c", script])
}

/// A program of the home folder.
#[cfg(unix)]
fn program(home: &Home, name: &str, script: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = home.write(name, &format!("#!/bin/sh\n{script}\n"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[tokio::test]
async fn servers_that_answer_have_nothing_wrong_and_nothing_is_left_of_them() -> Result<()> {
    let http = HttpFixture::start(Options::default()).await?;
    let legacy = HttpFixture::start(Options {
        sessions: true,
        era: gateway_tests::fixture::Eras::Legacy,
        ..Options::default()
    })
    .await?;
    let (home, mark) = marked_home(&[
        ("child", fixture_on_stdio(BINARY, &[])?),
        ("elder", fixture_on_stdio(BINARY, &["--era", "legacy"])?),
        ("http", remote(&http.url())),
        ("legacy", remote(&legacy.url())),
    ])?;
    let said = tokio::task::spawn_blocking(move || examine(&home, &[])).await??;
    insta::with_settings!({filters => vec![(r"there: \S+/fixture-server", "there: PROGRAM"), COLUMN]}, {
        insta::assert_snapshot!(said);
    });
    assert_eq!(processes::marked(&mark), []);
    assert_eq!(legacy.sessions().await, 0);
    Ok(())
}

#[cfg(unix)]
#[test]
fn servers_that_do_not_start_say_why() -> Result<()> {
    let (home, mark) = marked_home(&[
        ("container", command("docker".as_ref(), &["run", "image"])),
        (
            "crash",
            shell("echo 'no database at /x' >&2; echo 'giving up' >&2; exit 3"),
        ),
        ("mute", fixture_on_stdio(BINARY, &["--hang", "initialize"])?),
        ("noise", shell("echo hello; echo world; cat >/dev/null")),
        ("nowhere", with(shell("cat"), "cwd", "no/folder")),
        ("stubborn", stubborn()),
        ("slow", command("npx".as_ref(), &["slow"])),
    ])?;
    program(&home, "bin/npx", "sleep 60")?;
    program(
        &home,
        "bin/docker",
        "echo 'docker: Cannot connect to the Docker daemon at unix:///x. Is it running?' >&2; exit 125",
    )?;
    program(&home, "bin/node", "echo v22.1.0")?;
    let said = with_path(home, |home| examine(home, &["--timeout", "1s"]))?;
    insta::with_settings!({filters => vec![
        (r"there: .*", "there: PROGRAMS"),
        COLUMN,
    ]}, { insta::assert_snapshot!(said) });
    assert_eq!(processes::marked(&mark), []);
    Ok(())
}

/// With the home's own programs before all others.
fn with_path<T>(mut home: Home, look: impl FnOnce(&Home) -> Result<T>) -> Result<T> {
    let path = std::env::var("PATH")?;
    let bin = home.path().join("bin");
    home.set("PATH", &format!("{}:{path}", bin.display()));
    look(&home)
}

#[cfg(unix)]
#[test]
fn programs_that_are_missing_can_be_installed() -> Result<()> {
    let mut home = Home::new(BINARY)?;
    let bin = home.path().join("bin");
    home.set("PATH", &bin.to_string_lossy());
    let mut config = "servers:\n".to_owned();
    for (name, program) in [
        ("a", "npx"),
        ("b", "uvx"),
        ("c", "docker"),
        ("d", "python3"),
        ("e", "my-server"),
        ("f", "bin/missing"),
        ("g", "bin/text"),
    ] {
        config.push_str(&format!(
            "  {name}: {{ type: command, command: {program} }}\n"
        ));
    }
    home.write("gateway.yaml", &config)?;
    home.write("bin/text", "")?;
    let mut said = examine(&home, &[])?;
    // A machine's package manager knows more.
    program(&home, "bin/apt-get", "")?;
    said.push_str(&examine(&home, &["--offline"])?);
    insta::assert_snapshot!(said);
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_node_that_is_too_old_or_missing_is_told_of() -> Result<()> {
    let mut home = Home::new(BINARY)?;
    home.write("gateway.yaml", "servers:\n  a: { type: command, command: npx }\n  b: { type: command, command: bin/node }\n")?;
    let bin = home.path().join("bin");
    home.set("PATH", &bin.to_string_lossy());
    program(&home, "bin/npx", "exit 1")?;
    let mut said = String::new();
    for node in ["echo v16.20.2", "echo v18.0.0", "echo hello"] {
        program(&home, "bin/node", node)?;
        said.push_str(&examine(&home, &["--offline"])?);
    }
    home.write(
        "gateway.yaml",
        "servers:\n  a: { type: command, command: npx }\n",
    )?;
    std::fs::remove_file(home.path().join("bin/node"))?;
    said.push_str(&examine(&home, &["--offline"])?);
    insta::assert_snapshot!(said);
    Ok(())
}

#[tokio::test]
async fn endpoints_that_are_of_no_use_say_why() -> Result<()> {
    let picky = HttpFixture::start(Options {
        bearers: vec!["right".to_owned()],
        ..Options::default()
    })
    .await?;
    let dead = DeadEndpoint::reserve()?;
    let address = picky.address();
    let mut wrong = remote(&picky.url());
    wrong["auth"] = json!({ "bearer": { "from_env": "WRONG" } });
    let (mut home, _) = marked_home(&[
        ("dead", remote(&dead.url()?)),
        ("metadata", remote("http://169.254.169.254/mcp")),
        ("nameless", remote("http://no-such-host.invalid/mcp")),
        ("path", remote(&format!("http://{address}/elsewhere"))),
        ("picky", remote(&picky.url())),
        ("plain", remote(&format!("https://{address}/mcp"))),
        ("wrong", wrong),
    ])?;
    home.set("WRONG", "wrong");
    let said = tokio::task::spawn_blocking(move || examine(&home, &["--config", "gateway.yaml"]))
        .await??;
    insta::with_settings!({filters => vec![
        (r"127\.0\.0\.1:[1-9]\d*", "ADDRESS"),
        (r"address information: [^:]+", "address information: REASON"),
        COLUMN,
    ]}, { insta::assert_snapshot!(said) });
    Ok(())
}

#[tokio::test]
async fn credentials_that_users_have_to_bring_are_asked_for() -> Result<()> {
    let picky = HttpFixture::start(Options {
        bearers: vec!["right".to_owned()],
        ..Options::default()
    })
    .await?;
    let mut home = Home::new(BINARY)?;
    let servers = format!(
        "servers:\n  picky: {{ type: remote, endpoint: \"{}\", credentials: required }}\n",
        picky.url()
    );
    let said = tokio::task::spawn_blocking(move || -> Result<String> {
        home.write("gateway.yaml", &servers)?;
        let mut said = examine(&home, &[])?;
        let plugins = |storage: &str| format!("plugins:\n  credential_storage: {{ provider: in-memory, implementation: {storage} }}\n  auth_proxy: {{ provider: in-memory, implementation: bearer }}\n{servers}");
        // Nobody answers there, whoever's machine this is.
        home.set("DBUS_SESSION_BUS_ADDRESS", "unix:path=/no/such/bus");
        home.write("gateway.yaml", &plugins("keychain"))?;
        said.push_str(&examine(&home, &[])?);
        home.write("gateway.yaml", &plugins("encrypted-file"))?;
        said.push_str(&examine(&home, &[])?);
        for token in ["wrong", "right"] {
            home.pipe(token, &["credential", "set", "picky"])?;
            said.push_str(&examine(&home, &[])?);
        }
        Ok(said)
    }).await??;
    insta::with_settings!({filters => vec![
        (r"127\.0\.0\.1:[1-9]\d*", "ADDRESS"),
        (r"unlocked\?: [^;(]+", "unlocked?: REASON "),
        COLUMN,
    ]}, { insta::assert_snapshot!(said) });
    Ok(())
}

#[test]
fn nothing_is_started_offline() -> Result<()> {
    let (home, _) = marked_home(&[("marker", shell("touch started"))])?;
    let said = examine(&home, &["--offline"])?;
    assert!(said.ends_with("nothing is wrong\n\n"), "{said}");
    assert_eq!(home.files()?, ["gateway.yaml"]);
    Ok(())
}

#[tokio::test]
async fn who_interrupts_it_leaves_no_server_behind() -> Result<()> {
    let (home, mark) =
        marked_home(&[("mute", fixture_on_stdio(BINARY, &["--hang", "initialize"])?)])?;
    let mut doctor = Command::new(BINARY)
        .args([
            "doctor",
            "--listen",
            "127.0.0.1:0",
            "--ops-listen",
            "127.0.0.1:0",
        ])
        .current_dir(home.path())
        .env(processes::MARK, &mark)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // The doctor itself is one of them.
    wait::until("the server", || async {
        processes::marked(&mark).len() == 2
    })
    .await?;
    let id = Pid::from_raw(doctor.id().cast_signed()).context("a process id")?;
    kill_process(id, Signal::INT)?;
    let status = tokio::task::spawn_blocking(move || doctor.wait()).await??;
    assert_eq!(status.code(), Some(1));
    wait::until("the server's end", || async {
        processes::marked(&mark).is_empty()
    })
    .await?;
    Ok(())
}
