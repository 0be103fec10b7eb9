//! `mcp-gateway client`: what it does to the configuration of each client.

use std::fs;

use anyhow::{Context as _, Result};
use gateway_tests::home::Home;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// Each client's file, and what its user may have in it.
const FILES: [(&str, &str, &str); 10] = [
    (
        "claude-code",
        ".claude.json",
        "{\n  \"numStartups\": 7,\n  \"mcpServers\": {\n    \"a\": { \"type\": \"stdio\", \"command\": \"a\", \"args\": [], \"env\": {} }\n  },\n  \"projects\": {}\n}",
    ),
    (
        "claude-desktop",
        ".config/Claude/claude_desktop_config.json",
        "{\n  \"mcpServers\": {},\n  \"globalShortcut\": \"Ctrl+Space\"\n}",
    ),
    (
        "codex",
        ".codex/config.toml",
        "model = \"gpt-5\"   # as ever\napproval_policy = \"on-request\"\n\n[mcp_servers.docs]\nurl = \"https://docs.example.com/mcp\"\n\n[projects.\"/home/ada/x\"]\ntrust_level = \"trusted\"\n",
    ),
    ("cursor", ".cursor/mcp.json", "{}"),
    (
        "gemini-cli",
        ".gemini/settings.json",
        "{\n\t\"theme\": \"GitHub\",\n\t\"selectedAuthType\": \"oauth-personal\"\n}\n",
    ),
    (
        "kiro",
        ".kiro/settings/mcp.json",
        "{\n  \"mcpServers\": {\n    \"fetch\": { \"command\": \"uvx\", \"args\": [\"mcp-server-fetch\"], \"disabled\": true, \"autoApprove\": [] }\n  }\n}\n",
    ),
    (
        "lm-studio",
        ".lmstudio/mcp.json",
        "{\n  \"mcpServers\": {}\n}",
    ),
    (
        "vs-code",
        ".config/Code/User/mcp.json",
        "{\r\n\t// Asked for once.\r\n\t\"inputs\": [{ \"type\": \"promptString\", \"id\": \"key\", \"description\": \"Key\", \"password\": true }],\r\n\t\"servers\": {\r\n\t\t\"github\": { \"type\": \"http\", \"url\": \"https://mcp.example.com/mcp\", },\r\n\t},\r\n}\r\n",
    ),
    (
        "windsurf",
        ".codeium/windsurf/mcp_config.json",
        "{ \"mcpServers\": { \"x\": { \"serverUrl\": \"https://x.example.com/sse\" } } }",
    ),
    (
        "zed",
        ".config/zed/settings.json",
        "// Zed settings\n{\n  \"ui_font_size\": 16, // readable\n  \"context_servers\": {\n    \"x\": { \"command\": \"x\", \"args\": [], \"env\": {} },\n  },\n  /* at the end */\n}\n",
    ),
];

#[test]
fn connecting_twice_is_connecting_once_and_disconnecting_restores_the_bytes() -> Result<()> {
    let home = Home::new(BINARY)?;
    for (_, file, text) in FILES {
        home.write(file, text)?;
    }
    let before = home.files()?;
    for (client, file, text) in FILES {
        let said = home.ok(&["client", "connect", client])?;
        assert!(said.contains("is connected"), "{said}");
        let connected = home.read(file)?;
        assert!(connected.contains("mcp-gateway"), "{client}: {connected}");
        assert!(connected.len() > text.len(), "{client}: {connected}");
        let said = home.ok(&["client", "connect", client])?;
        assert!(said.contains("is connected already"), "{said}");
        assert_eq!(home.read(file)?, connected, "{client}");
    }
    let listed = home.ok(&["client", "list"])?;
    assert_eq!(
        listed.matches(" connected ").count(),
        FILES.len(),
        "{listed}"
    );
    for (client, file, text) in FILES {
        home.ok(&["client", "disconnect", client])?;
        assert_eq!(home.read(file)?, text, "{client}");
    }
    assert_eq!(home.files()?, before);
    Ok(())
}

fn file_of(name: &str) -> Result<(&'static str, &'static str, &'static str)> {
    let mut files = FILES.into_iter();
    let found = files.find(|(client, _, _)| *client == name);
    found.with_context(|| format!("there is no file of {name}"))
}

#[test]
fn every_client_can_start_the_gateway_and_go_back_to_a_url() -> Result<()> {
    let home = Home::new(BINARY)?;
    for (client, file, text) in FILES {
        home.write(file, text)?;
        let stdio = [
            "client", "connect", client, "--stdio", "--config", "gw.yaml",
        ];
        let further = ["--data-dir", "data", "--endpoint", "/p/dev/mcp"];
        let stdio = [&stdio[..], &further].concat();
        home.ok(&stdio)?;
        let connected = home.read(file)?;
        assert!(connected.contains(BINARY), "{client}: {connected}");
        for said in ["desktop", "--stdio", "/gw.yaml", "/data", "/p/dev/mcp"] {
            assert!(connected.contains(said), "{client}: {connected}");
        }
        assert!(
            home.ok(&stdio)?.contains("is connected already"),
            "{client}"
        );
        let listed = home.ok(&["client", "list"])?;
        assert!(
            listed.contains("desktop --stdio --config ~/gw.yaml"),
            "{listed}"
        );
        if client == "claude-desktop" {
            let url = [
                "client",
                "connect",
                client,
                "--url",
                "http://127.0.0.1:8811/mcp",
            ];
            let said = home.refused(&url)?;
            assert!(said.contains("servers that it starts itself"), "{said}");
        } else {
            home.ok(&["client", "connect", client])?;
            let connected = home.read(file)?;
            assert!(!connected.contains("--stdio"), "{client}: {connected}");
            home.ok(&stdio)?;
        }
        home.ok(&["client", "disconnect", client])?;
        assert_eq!(home.read(file)?, text, "{client}");
    }
    Ok(())
}

#[test]
fn a_file_that_was_not_there_is_gone_again() -> Result<()> {
    let home = Home::new(BINARY)?;
    fs::create_dir_all(home.path().join(".cursor"))?;
    home.ok(&["client", "connect", "cursor"])?;
    assert_eq!(
        home.read(".cursor/mcp.json")?,
        "{\n  \"mcpServers\": {\n    \"mcp-gateway\": {\n      \"url\": \"http://127.0.0.1:8811/mcp\"\n    }\n  }\n}\n"
    );
    home.ok(&["client", "disconnect", "cursor"])?;
    assert_eq!(home.files()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn what_the_user_changed_meanwhile_stays() -> Result<()> {
    let home = Home::new(BINARY)?;
    for (client, file, text) in FILES {
        home.write(file, text)?;
        home.ok(&["client", "connect", client])?;
        let comment = if file.ends_with(".toml") {
            "# mine\n"
        } else {
            "// mine\n"
        };
        home.write(file, &format!("{comment}{}", home.read(file)?))?;
        home.ok(&["client", "disconnect", client])?;
        let after = home.read(file)?;
        assert!(after.starts_with(comment), "{client}: {after}");
        assert!(!after.contains("mcp-gateway"), "{client}: {after}");
    }
    Ok(())
}

#[test]
fn an_entry_of_somebody_else_is_not_touched() -> Result<()> {
    let home = Home::new(BINARY)?;
    let text = "{ \"mcpServers\": { \"mcp-gateway\": { \"command\": \"mine\" } } }";
    home.write(".cursor/mcp.json", text)?;
    let said = home.refused(&["client", "connect", "cursor"])?;
    assert!(said.contains("did not make"), "{said}");
    assert_eq!(home.read(".cursor/mcp.json")?, text);
    home.ok(&["client", "connect", "cursor", "--as", "gateway"])?;
    home.ok(&["client", "disconnect", "cursor", "--as", "gateway"])?;
    assert_eq!(home.read(".cursor/mcp.json")?, text);
    Ok(())
}

#[test]
fn another_address_takes_the_place_of_the_first() -> Result<()> {
    let home = Home::new(BINARY)?;
    let (_, file, text) = file_of("kiro")?;
    home.write(file, text)?;
    home.ok(&["client", "connect", "kiro"])?;
    let url = "http://127.0.0.1:9000/p/dev/mcp";
    home.ok(&[
        "client",
        "connect",
        "kiro",
        "--url",
        url,
        "--api-key-env",
        "KEY",
    ])?;
    let connected = home.read(file)?;
    assert!(connected.contains(url), "{connected}");
    assert!(
        connected.contains("\"X-API-Key\": \"${KEY}\""),
        "{connected}"
    );
    assert!(!connected.contains("8811"), "{connected}");
    home.ok(&["client", "disconnect", "kiro"])?;
    assert_eq!(home.read(file)?, text);
    Ok(())
}

#[test]
fn a_file_that_cannot_be_read_is_left_alone_and_its_place_named() -> Result<()> {
    let home = Home::new(BINARY)?;
    home.write(".cursor/mcp.json", "{\n  \"mcpServers\": {\n")?;
    let said = home.refused(&["client", "connect", "cursor"])?;
    assert!(said.contains("~/.cursor/mcp.json is not valid"), "{said}");
    assert!(said.contains("line 2"), "{said}");
    assert_eq!(home.files()?, [".cursor/mcp.json"]);
    let said = home.refused(&["client", "connect", "windsurf"])?;
    assert!(said.contains("Windsurf is not installed"), "{said}");
    let said = home.refused(&["client", "connect", "cursor", "--url", "ftp://x"])?;
    assert!(said.contains("--url ftp://x"), "{said}");
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link_and_permissions_stay_what_they_are() -> Result<()> {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let home = Home::new(BINARY)?;
    let real = home.write("dotfiles/mcp.json", "{}\n")?;
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640))?;
    fs::create_dir_all(home.path().join(".cursor"))?;
    let link = home.path().join(".cursor/mcp.json");
    symlink(&real, &link)?;
    home.ok(&["client", "connect", "cursor"])?;
    assert!(fs::symlink_metadata(&link)?.is_symlink());
    assert_eq!(fs::metadata(&real)?.permissions().mode() & 0o777, 0o640);
    assert!(home.read("dotfiles/mcp.json")?.contains("8811"));
    home.ok(&["client", "disconnect", "cursor"])?;
    assert_eq!(home.read("dotfiles/mcp.json")?, "{}\n");
    Ok(())
}

#[test]
fn a_projects_file_is_edited_on_request_and_a_dry_run_edits_nothing() -> Result<()> {
    let home = Home::new(BINARY)?;
    let shown = home.ok(&["client", "connect", "claude-code", "--project", "--dry-run"])?;
    assert!(shown.contains("\"type\": \"http\""), "{shown}");
    assert_eq!(home.files()?, Vec::<String>::new());
    home.ok(&["client", "connect", "claude-code", "--project"])?;
    assert_eq!(home.read(".mcp.json")?, shown);
    let said = home.refused(&["client", "connect", "windsurf", "--project"])?;
    assert!(said.contains("no configuration of a project"), "{said}");
    Ok(())
}
