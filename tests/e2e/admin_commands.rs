//! The commands of an administrator, as one types them: what they print, what comes back as it was, and what is refused.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::gateway::{self, Exit};
use gateway_tests::planes::{ControlPlane, DataPlane, admin_token};
use gateway_tests::raw::RawClient;
use gateway_tests::servers::remote;
use gateway_tests::session::initialize_message;
use gateway_tests::{Era, Session, Workspace, wait};
use http::StatusCode;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// Times, versions and ports differ from run to run.
const FILTERS: [(&str, &str); 3] = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[TIME]"),
    (r"127\.0\.0\.1:\d+", "[ADDRESS]"),
    (r" +\n", "\n"),
];

async fn control_plane() -> Result<ControlPlane> {
    ControlPlane::start(BINARY, &Arc::new(Workspace::new("")?)).await
}

/// A session of commands, written down as a terminal shows it.
struct Terminal<'a> {
    control: &'a ControlPlane,
    shown: String,
}

impl Terminal<'_> {
    async fn types(&mut self, line: &str) -> Result<()> {
        let arguments: Vec<_> = line.split(' ').collect();
        let exit = self.control.admin(&arguments).await?;
        write_down(&mut self.shown, line, &exit)
    }
}

fn write_down(shown: &mut String, line: &str, exit: &Exit) -> Result<()> {
    let code = exit.code.context("the command was killed")?;
    shown.push_str(&format!("$ mcp-gateway {line}\n"));
    for line in exit.stdout.iter().chain(&exit.stderr) {
        shown.push_str(&format!("{line}\n"));
    }
    if code != 0 {
        shown.push_str(&format!("[exit code {code}]\n"));
    }
    Ok(())
}

const TENANTS: &str = "\
# The first customer.
tenant: acme
servers:
  files: { type: remote, endpoint: https://files.example.com/mcp, timeout: 10s }
profiles:
  dev: { servers: [files], tools: { deny: [\"*__delete_*\"] } }
---
tenant: zoo
servers:
  web: https://web.example.com/mcp
";

#[tokio::test]
async fn what_administrators_type_reads_well() -> Result<()> {
    let control = control_plane().await?;
    let write = |name: &str, text: &str| std::fs::write(control.path(name), text);
    write("tenants.yaml", TENANTS)?;
    write(
        "later.yaml",
        &TENANTS.replace("timeout: 10s", "credentials: required"),
    )?;
    write(
        "unsound.yaml",
        &TENANTS.replace("servers: [files]", "servers: [mail]"),
    )?;
    write("unknown.yaml", "tenant: acme\nserver: {}\n")?;
    let mut terminal = Terminal {
        control: &control,
        shown: String::new(),
    };
    for line in [
        "get",
        "diff -f tenants.yaml",
        "apply -f tenants.yaml --no-wait --reason begun",
        "apply -f tenants.yaml --no-wait",
        "apply -f later.yaml --timeout 100ms",
        "diff acme --to 1",
        "diff -f tenants.yaml --exit-code",
        "diff -f unsound.yaml",
        "apply -f unknown.yaml",
        "apply -f nowhere.yaml",
        "get",
        "history acme",
        "rollback acme --to 1 --no-wait --reason mistake",
        "rollback acme --to 9",
        "get acme -o yaml",
        "get nobody",
        "delete zoo --reason moved",
        "delete zoo",
        "history zoo",
        "status",
        "api-key create laptop --tenant zoo",
        "api-key list --tenant acme",
    ] {
        terminal.types(line).await?;
    }
    insta::with_settings!({ filters => FILTERS }, {
        insta::assert_snapshot!(terminal.shown);
    });
    control.process.stop().await
}

#[tokio::test]
async fn a_key_of_a_tenant_is_made_by_a_revision_and_lets_its_user_in() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let control = control_plane().await?;
    let data = DataPlane::start(BINARY, &control).await?;
    data.wait_until_ready().await?;
    let endpoint = remote(&server.url());
    let document = format!(
        "# Ours.\ntenant: acme\nplugins:\n  policy_evaluator: {{ provider: in-memory, implementation: always-allow }}\nservers:\n  one: {endpoint}\n"
    );
    ensure!(control.apply(&document).await?.code == Some(0));
    let create = [
        "api-key", "create", "laptop", "--tenant", "acme", "--user", "ada",
    ];
    let made = control.admin(&create).await?;
    ensure!(made.code == Some(0), "{:?}", made.stderr);
    let key = made.stdout.first().context("no key was printed")?.clone();
    ensure!(
        made.stderr.contains(&"acme: revision 2".to_owned()),
        "{:?}",
        made.stderr
    );

    let url = data.url("/t/acme/mcp");
    let headers = [("x-api-key", key.as_str())];
    let is = async |status: StatusCode| {
        let message = initialize_message("2025-11-25");
        let answer = RawClient::default().post(&url, &headers, message).await;
        answer.is_ok_and(|answer| answer.status == status)
    };
    wait::until("the key to be taken", || is(StatusCode::OK)).await?;
    let session = Session::open_with(Era::Modern, &url, &headers).await?;
    session.wait_for_tool("echo").await?;
    session
        .call("echo", serde_json::json!({}))
        .await?
        .result()?;

    let shown = control
        .admin(&["get", "acme", "-o", "yaml"])
        .await?
        .stdout
        .join("\n");
    ensure!(
        shown.starts_with("# Ours.\n") && !shown.contains(&key),
        "{shown}"
    );
    let revoke = ["api-key", "revoke", "laptop", "--tenant", "acme"];
    ensure!(control.admin(&revoke).await?.code == Some(0));
    wait::until("the key to be refused", || is(StatusCode::UNAUTHORIZED)).await?;
    let history = control.admin(&["history", "acme"]).await?.stdout.join("\n");
    ensure!(history.contains("api-key revoke laptop"), "{history}");
    data.process.stop().await?;
    control.process.stop().await
}

#[tokio::test]
async fn control_planes_are_kept_under_names() -> Result<()> {
    let workspace = Arc::new(Workspace::new("")?);
    let control = ControlPlane::start(BINARY, &workspace).await?;
    let home = tempfile::tempdir()?;
    let home = home.path().display().to_string();
    // Not in the workspace, which is searched for secrets.
    std::fs::write(format!("{home}/token"), admin_token())?;
    let mut shown = String::new();
    let url = control.url();
    for line in [
        "context list",
        "context use here",
        "get",
        &format!("context set here --control-plane {url} --token-file {home}/token"),
        "context set there --control-plane http://127.0.0.1:9",
        "context list",
        "get",
        "get --context there",
        "get --context nowhere",
        "context use there",
        "context delete here",
        "context set a/b --control-plane x",
        "context list -o json",
    ] {
        let arguments: Vec<_> = line.split(' ').collect();
        let variables = [("XDG_CONFIG_HOME", home.as_str())];
        let exit = gateway::run_with(BINARY, &workspace, &variables, &arguments).await?;
        write_down(&mut shown, line, &exit)?;
    }
    let shown = shown.replace(&home, "[HOME]");
    insta::with_settings!({ filters => FILTERS }, {
        insta::assert_snapshot!(shown);
    });
    control.process.stop().await
}

#[tokio::test]
async fn every_example_comes_back_as_it_was_applied() -> Result<()> {
    let control = control_plane().await?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut examples = vec![root.join("src/sample.yaml")];
    for folder in ["deploy/examples", "plugins/tests/examples"] {
        for entry in std::fs::read_dir(root.join(folder))? {
            examples.push(entry?.path());
        }
    }
    let mut applied = 0;
    for example in examples {
        let text = std::fs::read_to_string(&example)?;
        std::fs::write(control.path("example.yaml"), &text)?;
        let apply = ["apply", "-f", "example.yaml", "--no-wait"];
        let made = control.admin(&apply).await?;
        let said = made.stderr.join("\n");
        if ["catalog://", "type: image"]
            .iter()
            .any(|kind| text.contains(kind))
        {
            // What this version does not run is refused with the reason, and not kept.
            let why = ["needs a catalog client", "needs a container engine"];
            let is_told = why.iter().any(|why| said.contains(why));
            ensure!(made.code == Some(2) && is_told, "{said}");
            continue;
        }
        ensure!(made.code == Some(0), "{}: {said}", example.display());
        let get = ["get", "default", "-o", "yaml"];
        let shown = control.admin(&get).await?.stdout.join("\n");
        ensure!(
            shown.trim_end() == text.trim_end(),
            "{}: {shown}",
            example.display()
        );
        std::fs::write(control.path("shown.yaml"), shown + "\n")?;
        let again = ["apply", "-f", "shown.yaml", "--no-wait"];
        let again = control.admin(&again).await?.stdout.join("\n");
        ensure!(again.contains("default: unchanged"), "{again}");
        applied += 1;
    }
    ensure!(applied >= 3, "{applied}");
    control.process.stop().await
}
