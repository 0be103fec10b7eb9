use std::path::Path;

use serde_json::json;

use super::entry::import;
use super::value::{Found, looks_secret, setting};

fn imported(name: &str, entry: &serde_json::Value) -> String {
    match import(name, entry, Path::new("/secrets")) {
        Ok(server) => format!(
            "{}\n{}{:?}",
            server.name,
            serde_yaml::to_string(&server.server).unwrap(),
            server.secrets
        ),
        Err(reason) => reason,
    }
}

#[test]
fn a_program_keeps_its_secrets_out_of_the_file() {
    let entry = json!({
        "type": "stdio",
        "command": "npx",
        "args": ["-y", "@x/github"],
        "env": { "GITHUB_TOKEN": "ghp_1", "LOG_LEVEL": "debug", "HOST_KEY": "${env:KEY}" }
    });
    insta::assert_snapshot!(imported("GitHub Server", &entry), @r#"
    github-server
    type: command
    command: npx
    args:
    - -y
    - "@x/github"
    env:
      GITHUB_TOKEN:
        from_file: /secrets/github-server.GITHUB_TOKEN
      HOST_KEY:
        from_env: KEY
      LOG_LEVEL: debug
    [("/secrets/github-server.GITHUB_TOKEN", "ghp_1")]
    "#);
}

#[test]
fn a_bearer_header_becomes_the_gateways_own_field() {
    let entry = json!({
        "httpUrl": "https://mcp.example.com/mcp",
        "headers": { "authorization": "Bearer ${TOKEN}", "X-Region": "eu" }
    });
    insta::assert_snapshot!(imported("x", &entry), @r"
    x
    type: remote
    endpoint: https://mcp.example.com/mcp
    headers:
      X-Region: eu
    auth:
      bearer:
        from_env: TOKEN
    []
    ");
}

#[test]
fn what_only_the_client_can_do_is_refused_with_the_reason() {
    let entry = json!({ "command": "x", "args": ["${workspaceFolder}/a"] });
    insta::assert_snapshot!(imported("x", &entry), @"`args`: only the client knows what ${workspaceFolder} stands for: write the value");
    insta::assert_snapshot!(imported("x", &json!({})), @"it has neither `command` nor `url`");
    insta::assert_snapshot!(imported("12", &json!({ "command": "x" })), @"no name for it can be made: rename it to letters and digits");
}

#[test]
fn variables_are_told_from_texts() {
    let variable = |text: &str| Ok(Found::Variable(text.to_owned()));
    assert_eq!(setting("${A_1}"), variable("A_1"));
    assert_eq!(setting("${env:A}"), variable("A"));
    assert_eq!(setting("$A"), variable("A"));
    assert_eq!(setting("$5"), Ok(Found::Text("$5".into())));
    assert!(setting("${input:key}").is_err());
    assert!(setting("a ${B}").is_err());
}

#[test]
fn secrets_are_known_by_their_names() {
    for name in [
        "GITHUB_TOKEN",
        "X-API-Key",
        "DB_PASSWORD",
        "AWS_SECRET_ACCESS_KEY",
    ] {
        assert!(looks_secret(name), "{name}");
    }
    for name in ["LOG_LEVEL", "MONKEY", "KEYBOARD", "X-Region"] {
        assert!(!looks_secret(name), "{name}");
    }
}
