//! What the configuration of a server may ask of a data plane: each case with the field that is refused,
//! and the flag that would permit it.

use std::path::PathBuf;

use gateway_core::config::TenantConfig;
use gateway_mcp::client::{Cidr, Connector, NetworkPolicy};
use gateway_plugins::{Registry, Role, SecretResolver};

use super::*;
use crate::Permits;
use crate::limits::Limits;

/// A data plane whose operator permits these.
#[derive(Default)]
struct Permitted {
    networks: &'static [&'static str],
    ports: &'static [u16],
    sockets: Option<&'static str>,
    commands: &'static [&'static str],
    secrets: Option<PathBuf>,
}

impl Permitted {
    fn permits(self) -> Permits {
        let networks = self
            .networks
            .iter()
            .map(|text| text.parse::<Cidr>().unwrap());
        let mut network =
            NetworkPolicy::public_only(networks.collect()).with_sidecar_ports(self.ports.to_vec());
        if let Some(folder) = self.sockets {
            network = network.with_sockets_below(folder.into());
        }
        let commands = self.commands.iter().map(|&command| command.to_owned());
        Permits {
            registry: Registry::new(Role::DataPlane {
                loopback_only: true,
            }),
            secrets: SecretResolver::data_plane(self.secrets),
            connector: Connector::new(network).unwrap(),
            commands: Commands::Only(commands.collect()),
            max_message_bytes: Limits::default().max_body_bytes,
            connects_at_once: false,
        }
    }

    /// Each violation of a server of `acme`, as `field: reason`.
    fn check(self, server: &str) -> Vec<String> {
        let yaml = format!("tenant: acme\nservers:\n  s: {server}\n");
        let config: TenantConfig = gateway_core::config::load_yaml(&yaml).unwrap();
        let violations = self.permits().check(&config).into_iter();
        let said = violations.map(|violation| format!("{}: {}", violation.path, violation.reason));
        said.collect()
    }
}

/// Nothing is wrong, or one thing at this field for which all of these are said.
fn assert_said(violations: &[String], expected: Option<(&str, &[&str])>, case: &str) {
    let Some((field, parts)) = expected else {
        assert!(violations.is_empty(), "{case}: {violations:?}");
        return;
    };
    let [said] = violations else {
        panic!("{case}: {violations:?}");
    };
    let said = said.strip_prefix(&format!("servers.s.{field}: "));
    let said = said.unwrap_or_else(|| panic!("{case}: not of {field}: {violations:?}"));
    for part in parts {
        assert!(said.contains(part), "{case}: {said}");
    }
}

#[test]
fn a_server_of_the_same_machine_is_reached_by_flag_only() {
    let port: &[&str] = &["--sidecar-port", "--allow-network"];
    let socket: &[&str] = &["--socket-dir"];
    let network: &[&str] = &["--allow-network"];
    for (server, expected) in [
        ("{ type: sidecar, port: 9000 }", None),
        ("{ type: sidecar, port: 9000, path: /x }", None),
        ("{ type: sidecar, port: 9001 }", Some(("port", port))),
        ("'http://127.0.0.1:9000/mcp'", None),
        ("'http://localhost:9000/mcp'", None),
        ("'http://[::1]:9000/mcp'", None),
        ("'http://127.0.0.1:9001/mcp'", Some(("endpoint", port))),
        ("'http://LOCALHOST/mcp'", Some(("endpoint", port))),
        ("'http://10.0.0.1:9000/mcp'", Some(("endpoint", network))),
        ("'http://10.9.0.1:9000/mcp'", None),
        (
            "'http://169.254.169.254/mcp'",
            Some(("endpoint", &["link-local"][..])),
        ),
        ("{ type: sidecar, socket: /run/mcp/s.sock }", None),
        (
            "{ type: sidecar, socket: /run/mcp/../s.sock }",
            Some(("socket", socket)),
        ),
        (
            "{ type: sidecar, socket: /run/docker.sock }",
            Some(("socket", socket)),
        ),
        (
            "{ type: remote, endpoint: 'unix:///run/mcp/a/s.sock' }",
            None,
        ),
        (
            "{ type: remote, endpoint: 'unix:///run/mcp' }",
            Some(("endpoint", socket)),
        ),
        (
            "{ type: remote, endpoint: 'unix:///run/mcpx/s.sock' }",
            Some(("endpoint", socket)),
        ),
        (
            "{ type: remote, endpoint: 'unix:///run/mcp/../docker.sock' }",
            Some(("endpoint", socket)),
        ),
    ] {
        let permitted = Permitted {
            networks: &["10.9.0.0/16"],
            ports: &[9000],
            sockets: Some("/run/mcp"),
            ..Permitted::default()
        };
        assert_said(&permitted.check(server), expected, server);
    }
    for (server, field, parts) in [
        ("{ type: sidecar, port: 9000 }", "port", port),
        (
            "{ type: sidecar, socket: /run/mcp/s.sock }",
            "socket",
            socket,
        ),
        (
            "{ type: remote, endpoint: 'unix:///run/mcp/s.sock' }",
            "endpoint",
            socket,
        ),
    ] {
        let violations = Permitted::default().check(server);
        assert_said(&violations, Some((field, parts)), server);
    }
}

#[test]
fn a_program_is_started_by_its_exact_name_and_as_it_is() {
    let flag: &[&str] = &["--allow-command"];
    for (server, expected) in [
        (
            "{ type: command, command: npx, args: [x], env: { DEBUG: '1' } }",
            None,
        ),
        (
            "{ type: command, command: /usr/bin/npx }",
            Some(("command", flag)),
        ),
        (
            "{ type: command, command: sh, args: [-c, npx] }",
            Some(("command", flag)),
        ),
        ("{ type: command, command: ./npx }", Some(("command", flag))),
        (
            "{ type: command, command: npx, env: { PATH: /tmp } }",
            Some(("env.PATH", flag)),
        ),
        (
            "{ type: command, command: npx, env: { LD_PRELOAD: /x.so } }",
            Some(("env.LD_PRELOAD", flag)),
        ),
        (
            "{ type: command, command: npx, env: { NODE_OPTIONS: -r /x } }",
            Some(("env.NODE_OPTIONS", flag)),
        ),
    ] {
        let permitted = Permitted {
            commands: &["npx"],
            ..Permitted::default()
        };
        assert_said(&permitted.check(server), expected, server);
    }
}

#[cfg(unix)]
#[test]
fn secrets_are_the_tenants_own() {
    let dir = tempfile::tempdir().unwrap();
    for tenant in ["acme", "rival"] {
        std::fs::create_dir(dir.path().join(tenant)).unwrap();
        std::fs::write(dir.path().join(tenant).join("key"), "zq").unwrap();
    }
    std::fs::write(dir.path().join("key"), "zq").unwrap();
    let link = dir.path().join("acme/link");
    std::os::unix::fs::symlink(dir.path().join("rival/key"), link).unwrap();
    let outside = dir.path().join("rival/key");
    let server = |secret: &str| {
        format!(
            "{{ type: remote, endpoint: 'http://192.0.2.1/', headers: {{ x: {{ {secret} }} }} }}"
        )
    };
    let (refused, unset): (&[&str], &[&str]) = (&["is no name of a secret"], &["is not set"]);
    for (secret, expected) in [
        ("from_file: key".to_owned(), None),
        ("from_file: ../rival/key".to_owned(), Some(refused)),
        ("from_file: ../key".to_owned(), Some(refused)),
        (format!("from_file: {}", outside.display()), Some(refused)),
        ("from_file: link".to_owned(), Some(&["leads out of"][..])),
        (
            "from_env: HOME".to_owned(),
            Some(&["MCP_GATEWAY_SECRET__ACME__HOME"][..]),
        ),
        ("from_env: MCP_GATEWAY_JOIN_TOKEN".to_owned(), Some(unset)),
        ("from_env: X__Y".to_owned(), Some(refused)),
        (
            "from_credential: key".to_owned(),
            Some(&["cannot be read"][..]),
        ),
    ] {
        let permitted = Permitted {
            secrets: Some(dir.path().to_owned()),
            ..Permitted::default()
        };
        let expected = expected.map(|parts| ("headers.x", parts));
        assert_said(&permitted.check(&server(&secret)), expected, &secret);
    }
}
