//! `mcp-gateway doctor`: the configuration, the machine, and a gateway that runs.

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context as _, Result};
use gateway_tests::doctor::{examine, look};
use gateway_tests::home::Home;
use gateway_tests::{Gateway, gateway, servers};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

#[cfg(unix)]
fn chmod(path: impl AsRef<Path>, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = path.as_ref();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .with_context(|| format!("the mode of {}", path.display()))
}

#[test]
fn a_gateway_that_was_never_started_is_told_how_to_start() -> Result<()> {
    let home = Home::new(BINARY)?;
    let mut said = examine(&home, &[])?;
    said.push_str(&examine(&home, &["--config", "my own.yaml"])?);
    insta::assert_snapshot!(said);
    assert_eq!(home.files()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn everything_that_validate_says_of_the_file_is_said() -> Result<()> {
    let home = Home::new(BINARY)?;
    home.write("gateway.yaml", "servers:\n  a:\n    tpye: command\n")?;
    let mut said = examine(&home, &[])?;
    home.write(
        "gateway.yaml",
        "plugins:\n  audit_sink: { provider: in-memory, implementation: stdot }\nservers:\n  a: catalog://registry.example/team/servers:v1/a\n",
    )?;
    said.push_str(&examine(&home, &[])?);
    insta::assert_snapshot!(said);
    Ok(())
}

#[test]
fn secrets_that_are_not_there_are_asked_for() -> Result<()> {
    let mut home = Home::new(BINARY)?;
    home.set("EMPTY", "");
    home.write("empty", "")?;
    let config = "\
servers:
  a: { type: remote, endpoint: \"http://127.0.0.1:9/mcp\", auth: { bearer: { from_env: UNSET } } }
  b: { type: remote, endpoint: \"http://127.0.0.1:9/mcp\", headers: { x-key: { from_file: missing/key } } }
  c: { type: command, command: cat, env: { A: { from_env: EMPTY }, B: { from_file: empty }, C: { from_file: / } } }
";
    home.write("gateway.yaml", config)?;
    insta::assert_snapshot!(examine(&home, &["--offline"])?);
    Ok(())
}

#[cfg(unix)]
#[test]
fn what_others_can_read_is_closed_by_chmod() -> Result<()> {
    let home = Home::new(BINARY)?;
    let config = "\
plugins:
  credential_storage: { provider: in-memory, implementation: encrypted-file, settings: { key_file: ../key } }
servers:
  a: { type: command, command: cat, env: { A: { from_file: secret } } }
";
    home.write("gateway.yaml", config)?;
    home.write("data/session.key", "")?;
    home.write("data/credentials", "")?;
    for file in ["key", "secret"] {
        home.write(file, "k")?;
    }
    chmod(home.path().join("data"), 0o755)?;
    for file in ["data/session.key", "data/credentials", "key", "secret"] {
        chmod(home.path().join(file), 0o640)?;
    }
    let said = examine(&home, &["--data-dir", "data", "--offline"])?;
    insta::assert_snapshot!(said);

    // The commands do what they are said to do.
    for command in said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("$ chmod "))
    {
        let (mode, file) = command.split_once(' ').context("a mode and a file")?;
        let file = file
            .replace("~/data/../", "~/")
            .replace('~', &home.path().to_string_lossy());
        chmod(home.path().join(file), u32::from_str_radix(mode, 8)?)?;
    }
    let said = examine(&home, &["--data-dir", "data", "--offline"])?;
    assert!(!said.contains("open to others"), "{said}");
    Ok(())
}

#[test]
fn a_data_directory_that_cannot_be_used_is_told_of() -> Result<()> {
    let home = Home::new(BINARY)?;
    home.write("gateway.yaml", "servers: {}\n")?;
    home.write("file", "")?;
    let mut said = examine(&home, &["--data-dir", "file"])?;
    said.push_str(&examine(&home, &["--data-dir", "file/below"])?);
    // Nobody can make a folder there.
    said.push_str(&examine(&home, &["--data-dir", "/proc/self/data"])?);
    insta::assert_snapshot!(said);
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_told_of() -> Result<()> {
    let home = Home::new(BINARY)?;
    let config = "\
plugins:
  audit_sink:
    - { name: here, provider: in-memory, implementation: file }
    - { name: there, provider: in-memory, implementation: file, settings: { path: ../logs/audit.jsonl } }
    - { name: nowhere, provider: in-memory, implementation: file, settings: { path: ../missing/audit.jsonl } }
";
    home.write("gateway.yaml", config)?;
    home.write("data/audit.jsonl", "")?;
    home.write("logs/other", "")?;
    chmod(home.path().join("data"), 0o700)?;
    let mut said = examine(&home, &["--data-dir", "data"])?;
    // A limit of the file size fails as a full disk does.
    let limited = format!("trap '' XFSZ; ulimit -f 0; exec {BINARY} \"$@\"");
    let output = std::process::Command::new("bash")
        .args(["-c", &limited, "bash", "doctor", "--data-dir", "data"])
        .args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
        .current_dir(home.path())
        .output()?;
    let full = String::from_utf8(output.stdout)?;
    let full = full.replace(&*home.path().to_string_lossy(), "~");
    said.push_str(&look(&full));
    insta::assert_snapshot!(said);
    Ok(())
}

#[test]
fn a_port_that_is_taken_is_told_of_with_who_has_it() -> Result<()> {
    let home = Home::new(BINARY)?;
    home.write("gateway.yaml", "servers: {}\n")?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let done = home.run(&["doctor", "--listen", &address, "--ops-listen", "0.0.0.0:0"])?;
    assert_eq!(done.code, Some(1), "{done:?}");
    let own = std::process::id().to_string();
    insta::with_settings!({filters => vec![
        (address.as_str(), "ADDRESS"),
        (own.as_str(), "PROCESS"),
        (r"taken by \S+", "taken by NAME"),
        (r"--listen 127\.0\.0\.1:\d+", "--listen ANOTHER"),
    ]}, { insta::assert_snapshot!(look(&done.stdout)) });
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_runs_is_a_fact_and_is_left_alone() -> Result<()> {
    let fixture = servers::fixture_on_stdio(BINARY, &[])?;
    let gateway = Gateway::builder(BINARY)
        .config(servers::configuration(&[("fixture", fixture)]))
        .start()
        .await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    let (before, listen) = (gateway.children(), gateway.address().to_string());
    let operations = gateway.operations_url("").await?;
    let workspace = &gateway.workspace;
    let data = workspace.data();
    let arguments = [
        "doctor",
        "--data-dir",
        data.to_str().context("a path")?,
        "--listen",
        &listen,
        "--ops-listen",
        operations.trim_start_matches("http://"),
        "-o",
        "json",
    ];
    let exit = gateway::run(BINARY, workspace, &arguments).await?;
    let findings: Vec<Value> = serde_json::from_str(&exit.stdout.join("\n"))?;
    let said: Vec<_> = findings.iter().filter_map(|f| f["what"].as_str()).collect();
    let id = gateway.process_id();
    for expected in [
        &*format!("a gateway runs on the data directory: process {id}"),
        "the gateway that runs serves MCP clients here",
        "the gateway that runs serves operations here",
        "server `fixture` answers: fixture 1.0.0 (MCP 2026-07-28)",
    ] {
        assert!(said.contains(&expected), "{expected}: {said:#?}");
    }
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert_eq!(gateway.children(), before);
    gateway.stop().await?;
    Ok(())
}

#[test]
fn programs_read_the_findings_as_json() -> Result<()> {
    let home = Home::new(BINARY)?;
    home.write(
        "gateway.yaml",
        "servers:\n  a: { type: remote, endpoint: \"ftp://x\" }\n",
    )?;
    let any = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    let done = home.run(&[&["doctor", "-o", "json"][..], &any].concat())?;
    let findings: Vec<Value> = serde_json::from_str(&done.stdout)?;
    let trouble: Vec<_> = findings
        .iter()
        .filter(|f| f["level"] == "trouble")
        .collect();
    insta::assert_json_snapshot!(trouble);
    assert_eq!(done.stderr, "error: one thing is wrong\n");
    let yaml = home.run(&[&["doctor", "-o", "yaml"][..], &any].concat())?;
    assert!(yaml.stdout.contains("- level: trouble\n"), "{yaml:?}");
    home.refused(&["doctor", "--timeout", "soon"])?;
    Ok(())
}
