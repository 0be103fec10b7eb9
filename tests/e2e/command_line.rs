//! The command line as a whole: help, shell completions, manual pages, the form of the log.

use anyhow::{Context as _, Result};
use gateway_tests::Gateway;
use gateway_tests::home::Home;
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// The help of a command and of all below it.
fn help(home: &Home, command: &[&str], said: &mut String) -> Result<()> {
    let text = home.ok(&[command, &["--help"]].concat())?;
    said.push_str(&format!(
        "$ {} --help\n{text}\n",
        [&["mcp-gateway"], command].concat().join(" ")
    ));
    let listed = text
        .split_once("\nCommands:\n")
        .map_or("", |(_, rest)| rest);
    let listed = listed.split_once("\n\n").map_or(listed, |(list, _)| list);
    for line in listed.lines() {
        // Further lines of a description stand deeper.
        let name = line
            .strip_prefix("  ")
            .and_then(|line| line.split(' ').next());
        if let Some(name) = name.filter(|name| !name.is_empty() && *name != "help") {
            help(home, &[command, &[name]].concat(), said)?;
        }
    }
    Ok(())
}

#[test]
fn every_command_says_what_it_does() -> Result<()> {
    let home = Home::new(BINARY)?;
    let mut said = String::new();
    help(&home, &[], &mut said)?;
    insta::assert_snapshot!(said);
    Ok(())
}

#[test]
fn shells_can_complete_every_command() -> Result<()> {
    let home = Home::new(BINARY)?;
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = home.ok(&["completions", shell])?;
        for word in ["api-key", "credential", "revoke", "data-dir"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let script = home.write("complete.bash", &home.ok(&["completions", "bash"])?)?;
    let typed = "source \"$1\"; COMP_WORDS=(mcp-gateway cred); COMP_CWORD=1; \
                 function=$(complete -p mcp-gateway | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
                 $function mcp-gateway cred mcp-gateway; echo \"${COMPREPLY[@]}\"";
    let output = std::process::Command::new("bash")
        .args(["-c", typed, "bash"])
        .arg(script)
        .output()?;
    assert_eq!(String::from_utf8(output.stdout)?, "credential\n");
    Ok(())
}

#[test]
fn there_is_a_manual_page_for_every_command() -> Result<()> {
    let home = Home::new(BINARY)?;
    let page = home.ok(&["man"])?;
    assert!(page.contains(".TH mcp-gateway 1"), "{page}");
    home.ok(&["man", "man1"])?;
    let files = home.files()?;
    for page in ["mcp-gateway.1", "mcp-gateway-credential-set.1"] {
        assert!(files.contains(&format!("man1/{page}")), "{files:?}");
    }
    home.write("file", "")?;
    let done = home.run(&["man", "file/man1"])?;
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("file/man1"), "{done:?}");
    Ok(())
}

#[tokio::test]
async fn programs_can_read_the_log() -> Result<()> {
    let gateway = Gateway::builder(BINARY)
        .config("servers: {}\n")
        .variable("MCP_GATEWAY_LOG_FORMAT", "json")
        .start()
        .await?;
    let exit = gateway.stop().await?;
    for line in &exit.stderr {
        let line: Value = serde_json::from_str(line).with_context(|| line.clone())?;
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{line}");
        }
    }
    assert!(!exit.stderr.is_empty());
    Ok(())
}
