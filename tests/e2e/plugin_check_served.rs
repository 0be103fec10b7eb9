//! `mcp-gateway plugin check` at the gateway's own plugins, which `plugin serve` serves.

use anyhow::{Context as _, Result, ensure};
use gateway_tests::home::Home;
use gateway_tests::secrets::{ADA_HASH, ADA_KEY, secret};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// Checks an implementation that `plugin serve` serves.
fn served(home: &Home, flags: &[&str], served: &[&str]) -> Result<Value> {
    let mut arguments = vec!["plugin", "check", "-o", "json", "--calls", "5"];
    arguments.extend(flags);
    arguments.extend(["--command", BINARY, "--", "plugin", "serve", "--stdio"]);
    arguments.extend(served);
    let done = home.run(&arguments)?;
    ensure!(done.code == Some(0), "{}{}", done.stdout, done.stderr);
    Ok(serde_json::from_str(&done.stdout)?)
}

#[test]
fn the_gateways_own_plugins_pass_in_both_eras() -> Result<()> {
    let mut home = Home::new(BINARY)?;
    let keys = json!([{ "id": "ada", "user_id": "ada@example.com", "hash": ADA_HASH }]);
    let rules =
        json!([{ "effect": "allow", "users": ["ada"], "servers": ["files"], "names": ["read"] }]);
    let document = json!({ "plugins": {
        "auth_provider": {
            "provider": "in-memory", "implementation": "api-key", "settings": { "keys": keys },
        },
        "policy_evaluator": {
            "provider": "in-memory", "implementation": "rules", "settings": { "rules": rules },
        },
    } });
    home.write("plugin.yaml", &document.to_string())?;
    home.set("ADA", ADA_KEY);
    let expect = "
        accept: [{ type: api_key, value: { from_env: ADA }, user: ada@example.com }]
        reject: [{ type: jwt, value: x.y.z }]
        allow: [{ user: ada, server: files, tool: read }]
        deny: [{ user: ada, server: files, tool: write }, { user: eve, server: files, tool: read }]
        cannot_run: { type: remote, endpoint: 'https://files.example' }
    ";
    home.write("expect.yaml", expect)?;
    let with = ["-f", "expect.yaml"];
    for (implementation, kind) in [
        ("api-key", "auth_provider"),
        ("rules", "policy_evaluator"),
        ("credstore-memory", "credential_storage"),
        ("credstore-encrypted-file", "credential_storage"),
        ("authproxy-none", "auth_proxy"),
        ("audit-file", "audit_sink"),
        ("provisioner-none", "mcp_provisioner"),
        ("telemetry-noop", "telemetry"),
    ] {
        let mut settings = vec![implementation, "-f", "plugin.yaml"];
        if implementation == "audit-file" {
            let sink = json!({ "plugins": { "audit_sink": {
                "provider": "in-memory", "implementation": "file",
                "settings": { "path": home.path().join("audit.jsonl") },
            } } });
            home.write("audit.yaml", &sink.to_string())?;
            settings = vec![implementation, "-f", "audit.yaml"];
        }
        let result = served(&home, &with, &settings)?;
        assert_eq!(result["kind"], kind);
        let latency = result["latency"].as_array().context("latency")?;
        let versions: Vec<_> = latency.iter().map(|era| &era["protocol_version"]).collect();
        assert_eq!(versions, ["2026-07-28", "2025-11-25"], "{implementation}");
    }
    Ok(())
}

#[test]
fn what_a_proxy_injects_is_held_to_what_was_stored() -> Result<()> {
    let mut home = Home::new(BINARY)?;
    let document = json!({
        "plugins": {
            "credential_storage": { "provider": "in-memory", "implementation": "encrypted-file" },
            "auth_proxy": { "provider": "in-memory", "implementation": "bearer" },
        },
        "servers": { "files": { "type": "command", "command": "cat", "credentials": "optional" } },
    });
    home.write("gateway.yaml", &document.to_string())?;
    let stored = home.pipe(
        &secret("token"),
        &["credential", "set", "files", "--data-dir", "data"],
    )?;
    ensure!(stored.code == Some(0), "{}", stored.stderr);
    home.set("HEADER", &format!("Bearer {}", secret("token")));
    let plugin = [
        "authproxy-bearer",
        "-f",
        "gateway.yaml",
        "--data-dir",
        "data",
    ];
    let good = ["--inject", "desktop-user:files:authorization=env:HEADER"];
    let result = served(&home, &good, &plugin)?;
    assert_eq!(result["failed"], 0);
    let skipped = result["cases"].as_array().into_iter().flatten();
    let skipped = skipped.filter(|case| case["outcome"] == "skipped");
    // That its arguments hold no secret, in each era.
    assert_eq!(skipped.count(), 2);

    home.set("HEADER", "Bearer of another");
    let wrong = served(&home, &good, &plugin).unwrap_err().to_string();
    assert!(
        wrong.contains("sets another `authorization` than is due"),
        "{wrong}"
    );
    Ok(())
}
