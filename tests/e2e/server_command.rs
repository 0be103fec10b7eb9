//! `mcp-gateway server` and `mcp-gateway import`: what they do to gateway.yaml.

use anyhow::Result;
use gateway_tests::home::Home;
use gateway_tests::secrets::secret;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

#[test]
fn the_first_server_makes_the_file() -> Result<()> {
    let mut home = Home::new(BINARY)?;
    home.set("TOKEN", &secret("t"));
    home.ok(&[
        "server",
        "add",
        "time",
        "--command",
        "uvx",
        "--",
        "mcp-server-time",
        "--local-timezone",
        "UTC",
    ])?;
    home.ok(&[
        "server",
        "add",
        "github",
        "--url",
        "https://mcp.example.com/mcp",
        "--bearer-env",
        "TOKEN",
        "--credentials",
        "optional",
    ])?;
    insta::assert_snapshot!(home.read(".config/mcp-gateway/gateway.yaml")?);
    insta::assert_snapshot!(home.ok(&["server", "list"])?);
    home.ok(&["validate", "-f", ".config/mcp-gateway/gateway.yaml"])?;
    Ok(())
}

#[test]
fn the_file_in_the_folder_comes_first_and_keeps_its_comments() -> Result<()> {
    let home = Home::new(BINARY)?;
    let text = "# Mine.\nservers:\n  # The only one.\n  web: http://127.0.0.1:3001/mcp   # local\n";
    home.write("gateway.yaml", text)?;
    home.ok(&[
        "server",
        "add",
        "x",
        "--command",
        "x",
        "--env",
        "A=1",
        "--env-from",
        "B=C",
        "--isolation",
        "per-user",
    ])?;
    insta::assert_snapshot!(home.read("gateway.yaml")?);
    home.ok(&["server", "remove", "x"])?;
    assert_eq!(home.read("gateway.yaml")?, text);
    Ok(())
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() -> Result<()> {
    let home = Home::new(BINARY)?;
    let text = "servers:\n  web: http://127.0.0.1:3001/mcp\n";
    home.write("gateway.yaml", text)?;
    let mut said = String::new();
    for arguments in [
        &["server", "add", "web", "--command", "x"][..],
        &["server", "remove", "files"],
        &["server", "add", "Web", "--command", "x"],
        &["server", "add", "y", "--url", "ftp://x"],
        &["server", "add", "y", "--command", "x", "--env", "A"],
    ] {
        let refusal = home.refused(arguments)?;
        said.push_str(refusal.lines().next().unwrap_or_default());
        said.push('\n');
    }
    insta::assert_snapshot!(said);
    assert_eq!(home.read("gateway.yaml")?, text);
    home.ok(&["server", "add", "web", "--command", "x", "--replace"])?;
    assert!(home.read("gateway.yaml")?.contains("command: x"));
    home.write("gateway.yaml", "servers:\n  web: { type: remote }\n")?;
    let said = home.refused(&["server", "list"])?;
    assert!(said.contains("gateway.yaml:2:"), "{said}");
    Ok(())
}

#[test]
fn a_server_that_cannot_start_yet_is_added_with_a_warning() -> Result<()> {
    let home = Home::new(BINARY)?;
    let url = "https://mcp.example.com/mcp";
    let done = home.run(&["server", "add", "web", "--url", url, "--bearer-env", "NONE"])?;
    assert_eq!(done.code, Some(0), "{done:?}");
    insta::assert_snapshot!(done.stderr, @"warning: ~/.config/mcp-gateway/gateway.yaml:5:3: servers.web.headers.authorization: the environment variable `NONE` is not set");
    Ok(())
}

#[test]
fn a_clients_servers_are_imported_and_their_secrets_stay_out_of_the_file() -> Result<()> {
    let mut home = Home::new(BINARY)?;
    home.set("USER", "ada");
    home.write_secret(
        "mcp.json",
        &r#"{
  // Cursor's
  "mcpServers": {
    "GitHub": { "url": "https://mcp.example.com/mcp", "headers": { "Authorization": "Bearer TOKEN" } },
    "files": { "command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "/data"] },
    "db": { "command": "db-mcp", "env": { "DB_PASSWORD": "PASSWORD", "DB_HOST": "db", "DB_USER": "${env:USER}" } },
  },
}"#
        .replace("TOKEN", &secret("token"))
        .replace(": \"PASSWORD", &format!(": \"{}", secret("password"))),
    )?;
    let said = home.ok(&["import", "mcp.json"])?;
    insta::assert_snapshot!(said);
    let config = home.read(".config/mcp-gateway/gateway.yaml")?;
    insta::assert_snapshot!(config.replace(&home.path().display().to_string(), "~"));
    let kept = ".local/share/mcp-gateway/secrets/db.DB_PASSWORD";
    assert_eq!(home.read(kept)?, secret("password"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(home.path().join(kept))?
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    home.ok(&["validate", "-f", ".config/mcp-gateway/gateway.yaml"])?;
    home.ok(&["import", "mcp.json"])?;
    assert_eq!(home.read(".config/mcp-gateway/gateway.yaml")?, config);
    Ok(())
}

#[test]
fn an_import_that_cannot_be_whole_is_none() -> Result<()> {
    let mut home = Home::new(BINARY)?;
    home.write_secret(
        "mcp.json",
        &r#"{ "servers": {
            "ok": { "command": "x", "env": { "TOKEN": "SECRET" } },
            "here": { "command": "x", "args": ["${workspaceFolder}"] },
            "asked": { "type": "http", "url": "https://x.example.com", "headers": { "K": "${input:key}" } }
        } }"#
            .replace("SECRET", &secret("t")),
    )?;
    insta::assert_snapshot!(home.refused(&["import", "mcp.json"])?);
    assert_eq!(home.files()?, ["mcp.json"]);
    home.ok(&["import", "mcp.json", "--skip", "here", "--skip", "asked"])?;
    assert!(
        home.read(".config/mcp-gateway/gateway.yaml")?
            .contains("ok:")
    );
    insta::assert_snapshot!(home.refused(&["import", "none.json"])?);
    Ok(())
}
