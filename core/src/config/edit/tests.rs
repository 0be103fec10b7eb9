use super::*;
use crate::config::{ServerConfig, load_yaml};

fn time() -> ServerConfig {
    serde_yaml::from_str("{ type: command, command: uvx, args: [mcp-server-time] }").unwrap()
}

/// Adds a server and takes it out again, and shows both.
fn added_and_removed(text: &str) -> String {
    let added = set_entry(text, "servers", "time", &time()).unwrap();
    let config = load_yaml(&added).unwrap();
    assert!(
        config.servers.contains_key(&"time".parse().unwrap()),
        "{added}"
    );
    let removed = remove_entry(&added, "servers", "time").unwrap();
    let before = load_yaml(text).unwrap_or_default();
    assert_eq!(load_yaml(&removed).unwrap(), before, "{removed}");
    format!("{added}=== removed\n{removed}")
}

#[test]
fn comments_and_order_stay() {
    insta::assert_snapshot!(added_and_removed(
        "\
# Ours.
servers:
  files:   # the files
    type: command
    command: npx
    args: [-y, \"@x/files@1\", docs]
  # The second one.
  web: { type: remote, endpoint: \"http://127.0.0.1:1/mcp\" }

# More to come:
#   github: …

profiles:
  dev: { servers: [files] } # for us
"
    ));
}

#[test]
fn the_first_server_goes_below_the_heading() {
    for text in [
        "",
        "# The gateway's configuration.\n# Edit it.\n",
        "tenant: acme",
        "servers: {} # none yet\ntenant: acme\n",
        "servers:\n",
    ] {
        let text = added_and_removed(text);
        assert!(text.contains("\n  time:\n    type: command\n"), "{text}");
    }
}

#[test]
fn a_section_on_one_line_is_edited_on_its_line() {
    let text = "servers: { a: { type: command, command: x } }\n";
    assert!(added_and_removed(text).contains("a: { type: command, command: x }"));
}

#[test]
fn another_indentation_is_accepted() {
    added_and_removed("servers:\n    a:\n        type: command\n        command: x\n");
}

#[test]
fn a_form_that_cannot_be_edited_is_left_alone() {
    assert_eq!(
        set_entry("servers: &all [\n]\n", "servers", "time", &time()),
        None
    );
    assert_eq!(remove_entry("servers: {}\n", "servers", "time"), None);
}
