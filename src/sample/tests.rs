use std::collections::BTreeSet;

use gateway_core::config::{ServerSpec, TenantConfig, load_yaml};
use gateway_plugins::{Registry, Role};

use super::*;

/// The sample with these of its blocks in force. What a block gives anew is taken out first, as its
/// reader is told to do.
fn with_blocks(wanted: impl Fn(usize) -> bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    let (mut number, mut inside) = (0, false);
    for line in SAMPLE.lines() {
        let indent = line.len() - line.trim_start().len();
        let setting = line.trim_start().strip_prefix("# ");
        if let Some(entry) = setting.filter(|_| !inside) {
            number += 1;
            if wanted(number) {
                take_out(&mut lines, entry);
            }
        }
        inside = setting.is_some();
        lines.push(match setting {
            Some(setting) if wanted(number) => format!("{}{setting}", " ".repeat(indent)),
            _ => line.to_owned(),
        });
    }
    lines.join("\n")
}

/// Removes the entry of the same name that is in force further up.
fn take_out(lines: &mut Vec<String>, entry: &str) {
    let heading = format!("  {}:", entry.split(':').next().unwrap());
    let Some(start) = lines.iter().position(|line| *line == heading) else {
        return;
    };
    let below = &lines[start + 1..];
    let length = below.iter().take_while(|line| line.starts_with("    "));
    lines.drain(start..=start + length.count());
}

fn blocks() -> usize {
    let lines: Vec<&str> = SAMPLE.lines().map(str::trim_start).collect();
    let begins = |pair: &&[&str]| pair[1].starts_with("# ") && !pair[0].starts_with("# ");
    lines.windows(2).filter(begins).count()
}

fn sound(text: &str) -> TenantConfig {
    let config = load_yaml(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let registry = Registry::new(Role::Desktop {
        loopback_only: true,
    });
    assert_eq!(registry.check(&config.plugins), [], "{text}");
    config
}

#[test]
fn as_it_is_it_says_what_is_so_without_it() {
    let sample = sound(SAMPLE);
    assert!(sample.servers.is_empty() && sample.profiles.is_empty());
    assert!(sample.plugins.credential_storage.is_none());
    let implementation = |plugin: &gateway_core::config::PluginConfig| {
        plugin.implementation.clone().unwrap_or_default()
    };
    let plugins = &sample.plugins;
    assert_eq!(
        plugins.auth_provider.as_ref().map(implementation),
        Some("desktop-implicit".to_owned())
    );
    assert_eq!(implementation(&plugins.policy_evaluator[0]), "always-allow");
    assert_eq!(implementation(&plugins.audit_sink[0]), "stdout");
}

#[test]
fn each_block_can_be_put_in_force_by_itself() {
    let last = blocks();
    assert!(last > 8, "{last}");
    // The last one is a view of others.
    for number in 1..last {
        let config = sound(&with_blocks(|block| block == number));
        assert_ne!(config, sound(SAMPLE), "block {number} says nothing");
    }
}

#[test]
fn all_blocks_can_be_put_in_force_together() {
    let config = sound(&with_blocks(|_| true));
    assert_eq!(config.profiles.len(), 1);
    assert!(config.plugins.auth_proxy.is_some());
    let kinds: BTreeSet<_> = config
        .servers
        .values()
        .map(|server| server.spec.type_name())
        .collect();
    assert_eq!(kinds, BTreeSet::from(["command", "remote"]));
    let programs = config
        .servers
        .values()
        .filter_map(|server| match &server.spec {
            ServerSpec::Command { command, .. } => Some(command.as_str()),
            _ => None,
        });
    let programs: BTreeSet<_> = programs.collect();
    assert_eq!(programs, BTreeSet::from(["docker", "npx", "uvx"]));
}

#[test]
fn a_file_that_is_there_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/gateway.yaml");
    assert!(make(&path).unwrap());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), SAMPLE);
    std::fs::write(&path, "servers: {}\n").unwrap();
    assert!(!make(&path).unwrap());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "servers: {}\n");
}

#[test]
fn lines_are_short_enough_to_read() {
    for line in SAMPLE.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}
