//! What is accepted, and what errors look like.

use super::*;

fn error(text: &str) -> String {
    load_yaml(text).expect_err("must be refused").to_string()
}

#[test]
fn an_empty_text_is_an_empty_document() {
    assert_eq!(load_yaml("").unwrap(), TenantConfig::default());
    assert_eq!(
        load_yaml("# nothing yet\n\n").unwrap(),
        TenantConfig::default()
    );
}

#[test]
fn a_part_that_holds_only_comments_is_empty() {
    let text = "plugins:\n  # telemetry: {}\nservers:\n  # files: {}\nprofiles: ~\n";
    assert_eq!(load_yaml(text).unwrap(), TenantConfig::default());
    // Everything but nothing has to be what it is for.
    for text in ["servers: []\n", "profiles: x\n", "plugins: 7\n"] {
        assert!(load_yaml(text).is_err(), "{text}");
    }
}

#[test]
fn prints_errors() {
    let cases = [
        "servers:\n  files: { type: command, command: npx, argz: [] }\n",
        "servers:\n  files: { type: command, command: npx }\n  files: { type: command, command: npx }\n",
        "servers:\n  My_Files: { type: command, command: npx }\n",
        "servers:\n  files: { type: remote, endpoint: http://a/mcp, args: [x] }\n",
        "servers:\n  files: { type: command }\n",
        "servers:\n  files: { command: npx }\n",
        "servers:\n  files: { type: comand, command: npx }\n",
        "servers:\n  files: npx\n",
        "servers:\n  files: { type: command, command: npx, timeout: 5 }\n",
        "servers:\n  web: { type: remote, endpoint: 'ftp://x' }\n  web2: { type: remote, endpoint: 'http://u:p@x/', headers: { Host: x } }\n",
        "servers:\n  a: { type: sidecar, port: 0 }\n  b: { type: sidecar, socket: run/b.sock, path: mcp }\n  c: { type: sidecar, port: 9000, path: /x }\n",
        "servers:\n  a: { type: sidecar, path: /mcp }\n",
        "plugins:\n  auth_provider: { provider: in-memory }\n",
        "plugins:\n  audit_sink: { provider: in-memory, implementation: stdout, cache: { ttl: 5s } }\n",
        "plugins:\n  policy_evaluator:\n    - { provider: in-memory, implementation: always-allow }\n    - { name: b, provider: mcp, server: 'http://x' }\n",
        "profiles:\n  dev: { servers: [github] }\n",
        "servers: [\n",
        "servers:\n\tfiles: x\n",
    ];
    let printed: Vec<_> = cases
        .iter()
        .map(|text| format!("{text}=> {}\n", error(text)))
        .collect();
    insta::assert_snapshot!(printed.join("\n"));
}

#[test]
fn text_forms_of_servers_are_short_for_maps() {
    let short =
        load_yaml("servers:\n  a: http://127.0.0.1:1/mcp\n  b: 'catalog://h/r:v1/n'\n").unwrap();
    let long = load_yaml(
        "servers:\n  a: { type: remote, endpoint: 'http://127.0.0.1:1/mcp' }\n  b: { type: catalog, ref: 'catalog://h/r:v1/n' }\n",
    )
    .unwrap();
    assert_eq!(short, long);
}

#[test]
fn what_is_written_is_read_as_the_same_document() {
    let text = "\
tenant: acme
plugins:
  auth_provider: { provider: in-memory, implementation: api-key, bearer_type: jwt, settings: { keys: [{ id: a, n: 5 }] } }
  audit_sink:
    - { name: a, provider: in-memory, implementation: stdout, durability: disk, on_overflow: drop }
    - { name: b, provider: in-memory, implementation: stderr }
  policy_evaluator:
    provider: mcp
    server: { type: remote, endpoint: 'https://policy.example:9000', auth: { bearer: { from_env: POLICY_TOKEN } } }
    timeout: 250ms
    cache: { ttl: 5s, max_entries: 10000 }
servers:
  files: { type: command, command: npx, args: [-y, x], env: { A: b, C: { from_file: /c } }, cwd: /tmp, isolation: per-user }
  image: { type: image, image: 'x@sha256:00', port: 8080, args: [a], env: { A: b } }
  side: { type: sidecar, socket: /run/x.sock, path: /mcp }
  reg: { type: registry, name: io.example/x, version: 1.2.3, credentials: required, timeout: 1m, idle_timeout: 10m }
profiles:
  dev: { servers: [files, image], tools: { allow: ['files__*'], deny: ['*__delete_*'], rename: { files__read: read } } }
";
    let config = load_yaml(text).unwrap();
    let written = to_yaml(&config).unwrap();
    assert_eq!(load_yaml(&written).unwrap(), config, "{written}");
}
