use serde_json::json;

use super::*;

const CLAUDE_CODE: &str = r#"{
  "numStartups": 12,
  "mcpServers": {
    "sentry": {
      "type": "http",
      "url": "https://mcp.example.com/mcp"
    }
  },
  "projects": { "/home/ada/x": { "allowedTools": [], "history": [] } }
}"#;

const ZED: &str = r#"// Zed settings
//
// For information on how to configure Zed, see its documentation.
{
  "theme": "One Dark", // at night
  "vim_mode": true,
}
"#;

const VS_CODE: &str = "{\r\n\t\"inputs\": [],\r\n\t\"servers\": {}\r\n}\r\n";

const CODEX: &str = r#"model = "gpt-5" # the best

[mcp_servers.docs]
command = "npx"
args = ["-y", "docs-mcp"]

[tui]
notifications = true
"#;

fn http(client: Client) -> Value {
    let way = Way {
        to: Target::Url(DEFAULT_URL.into()),
        key_variable: None,
    };
    entry::write(&client.dialect(), &way).unwrap()
}

fn started(key_variable: Option<&str>) -> Way {
    let args = vec!["desktop".to_owned(), "--stdio".to_owned()];
    Way {
        to: Target::Command("/opt/mcp-gateway".into(), args),
        key_variable: key_variable.map(str::to_owned),
    }
}

fn edited(client: Client, text: &str, entry: &Value) -> String {
    let dialect = client.dialect();
    let place = Place {
        dialect: &dialect,
        name: "mcp-gateway",
    };
    let edited = edit::insert(text, place, entry).unwrap();
    assert_eq!(edit::find(&edited, place).unwrap().as_ref(), Some(entry));
    assert_eq!(edit::insert(&edited, place, entry).unwrap(), edited);
    let removed = edit::remove(&edited, place).unwrap();
    assert_eq!(edit::find(&removed, place).unwrap(), None);
    edited
}

#[test]
fn json_keeps_what_is_not_the_gateways() {
    insta::assert_snapshot!(edited(
        Client::ClaudeCode,
        CLAUDE_CODE,
        &http(Client::ClaudeCode)
    ));
}

#[test]
fn comments_and_trailing_commas_stay() {
    insta::assert_snapshot!(edited(Client::Zed, ZED, &http(Client::Zed)));
}

#[test]
fn line_ends_and_tabs_stay() {
    let edited = edited(Client::VsCode, VS_CODE, &http(Client::VsCode));
    assert_eq!(
        edited,
        "{\r\n\t\"inputs\": [],\r\n\t\"servers\": {\r\n\t\t\"mcp-gateway\": {\r\n\t\t\t\"type\": \"http\",\r\n\t\t\t\"url\": \"http://127.0.0.1:8811/mcp\"\r\n\t\t}\r\n\t}\r\n}\r\n"
    );
}

#[test]
fn toml_keeps_what_is_not_the_gateways() {
    insta::assert_snapshot!(edited(Client::Codex, CODEX, &http(Client::Codex)));
}

#[test]
fn an_empty_file_gets_the_entry_alone() {
    for client in [Client::Codex, Client::Cursor] {
        let text = edited(client, "", &http(client));
        assert!(text.starts_with(['{', '[']), "{text}");
        assert!(text.ends_with('\n'), "{text}");
    }
}

#[test]
fn a_key_is_named_and_never_written() {
    let way = Way {
        to: Target::Url(DEFAULT_URL.into()),
        key_variable: Some("GATEWAY_KEY".into()),
    };
    let said = |client: Client| entry::write(&client.dialect(), &way);
    assert_eq!(
        said(Client::Codex).unwrap()["env_http_headers"],
        json!({ "X-API-Key": "GATEWAY_KEY" })
    );
    assert_eq!(
        said(Client::Cursor).unwrap()["headers"],
        json!({ "X-API-Key": "${env:GATEWAY_KEY}" })
    );
    assert!(said(Client::Zed).is_err());
}

#[test]
fn a_command_is_written_as_each_client_has_it() {
    let clients = <Client as clap::ValueEnum>::value_variants();
    let said = clients.iter().map(|client| {
        let entry = entry::write(&client.dialect(), &started(None)).unwrap();
        let text = edited(*client, "", &entry);
        format!("{}\n{text}", client.name())
    });
    insta::assert_snapshot!(said.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_command_gets_the_clients_key_from_its_environment() {
    let said = |client: Client, name| entry::write(&client.dialect(), &started(Some(name)));
    assert_eq!(
        said(Client::ClaudeCode, "KEY").unwrap()["env"],
        json!({ "MCP_GATEWAY_API_KEY": "${KEY}" })
    );
    assert_eq!(
        said(Client::Codex, "MCP_GATEWAY_API_KEY").unwrap()["env_vars"],
        json!(["MCP_GATEWAY_API_KEY"])
    );
    let error = said(Client::Codex, "KEY").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("--api-key-env MCP_GATEWAY_API_KEY")
    );
    assert!(said(Client::ClaudeDesktop, "KEY").is_err());
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let dialect = Client::Cursor.dialect();
    let place = Place {
        dialect: &dialect,
        name: "mcp-gateway",
    };
    let error = edit::find("{\n  \"mcpServers\": {,}\n}", place).unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    let error = edit::find(r#"{ "mcpServers": [] }"#, place).unwrap_err();
    insta::assert_snapshot!(error.to_string(), @"has a `mcpServers` that does not hold servers by name");
    let error = edit::insert("[]", place, &json!({})).unwrap_err();
    insta::assert_snapshot!(error.to_string(), @"is not valid: it does not hold an object");
}
