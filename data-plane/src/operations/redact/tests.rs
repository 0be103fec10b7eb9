use gateway_core::config::load_yaml;
use proptest::prelude::*;

use super::*;

fn shown(yaml: &str) -> String {
    serde_json::to_string_pretty(&redacted(&load_yaml(yaml).unwrap())).unwrap()
}

#[test]
fn what_says_how_things_work_is_shown() {
    let yaml = "
plugins:
  auth_provider:
    provider: in-memory
    implementation: api-key
    settings:
      keys:
        - { id: laptop, hash: 'sha256:3e4c7261f3948fb2a188d5eb4a8228ecfab5585dac918531805c12749d61ba31', user_id: ada@example.com, roles: [developer] }
  policy_evaluator:
    provider: in-memory
    implementation: rules
    settings: { rules: [{ name: no-deletes, effect: deny, tools: ['*__delete_*'] }] }
servers:
  files:
    type: command
    command: npx
    args: [-y, '@modelcontextprotocol/server-filesystem@2026.8.31', /data]
    env: { LOG: debug, API_KEY: { from_env: FILES_API_KEY } }
  web:
    type: remote
    endpoint: https://mcp.example.com:8443/team/mcp
    headers: { x-team: { from_file: /run/secrets/team } }
    auth: { bearer: { from_credential: web } }
    timeout: 60s
profiles:
  reader: { servers: [files], tools: { allow: ['files__read_*'] } }
";
    insta::assert_snapshot!(shown(yaml));
}

/// A configuration with a secret in every place where somebody might write one.
fn with_secret(secret: &str) -> String {
    format!(
        "
plugins:
  auth_provider:
    provider: in-memory
    implementation: api-key
    settings: {{ keys: [{{ id: a, hash: '{secret}' }}], tokens: ['{secret}'], nested: {{ password: '{secret}', 'url': 'https://x/?{secret}' }} }}
  telemetry:
    provider: mcp
    server: {{ type: remote, endpoint: 'https://x.example.com/mcp?k={secret}' }}
servers:
  a:
    type: command
    command: x
    args: ['--token', '{secret}', '--api-key={secret}', '-p', '{secret}', '-p{secret}', 'PASSWORD={secret}',
           'Authorization: Bearer {secret}', 'postgres://me:{secret}@db/x', '--url=https://{secret}@h/p?{secret}#{secret}']
    env: {{ ANY: '{secret}' }}
  b:
    type: remote
    endpoint: 'https://x.example.com/mcp?key={secret}#{secret}'
    headers: {{ x-any: '{secret}' }}
  c:
    type: image
    image: x
    args: ['--password', '{secret}']
    env: {{ ANY: '{secret}' }}
"
    )
}

proptest! {
    #[test]
    fn a_secret_is_shown_nowhere(secret in "zq[a-zA-Z0-9_]{6,40}") {
        let yaml = with_secret(&secret);
        let shown = shown(&yaml);
        prop_assert!(!shown.contains(&secret), "{}", shown);
    }

    /// In a place that says nothing of it, by its looks alone.
    #[test]
    fn what_looks_unguessable_is_shown_nowhere(letters in "[a-z]{8,20}", digits in "[0-9]{8,20}") {
        let secret = format!("{letters}{digits}");
        let yaml = format!(
            "servers:\n  a: {{ type: command, command: x, args: ['{secret}', 'a={secret}'] }}\n  \
             b: {{ type: remote, endpoint: 'https://x.example.com/hooks/{secret}/mcp' }}\n"
        );
        let shown = shown(&yaml);
        prop_assert!(!shown.contains(&secret), "{}", shown);
    }

    #[test]
    fn no_text_breaks_it(text in ".*", further in "[-=:/?#@ a-z0-9]*") {
        drop(text::plain(&text));
        drop(text::reference(&further));
        drop(arguments(&[text, further]));
    }
}
