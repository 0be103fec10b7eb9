//! What a pushed configuration may ask of a data plane.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use gateway_data_plane::{Commands, Limits, Permits};
use gateway_mcp::client::{Cidr, Connector, NetworkPolicy};
use gateway_plugins::{Registry, Role, SecretResolver, SpoolOptions};

/// What a pushed configuration may ask of this process. No configuration can extend it.
#[derive(Debug, Args)]
#[command(next_help_heading = "What a configuration may ask for")]
pub(super) struct PermittedArgs {
    /// A program that servers of `type: command` may be, by the exact text of `command`; may be
    /// given several times. Left out: none.
    #[arg(
        long,
        env = "MCP_GATEWAY_ALLOW_COMMAND",
        value_delimiter = ',',
        value_name = "PROGRAM"
    )]
    allow_command: Vec<String>,

    /// A loopback or private network whose addresses may be reached, such as 10.0.0.0/8; may be
    /// given several times. Left out: public addresses only.
    #[arg(
        long,
        env = "MCP_GATEWAY_ALLOW_NETWORK",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    allow_network: Vec<Cidr>,

    /// A loopback port that servers may be reached at without --allow-network, of `type: sidecar` or
    /// `remote`: a container of the same pod; may be given several times. Left out: none.
    #[arg(
        long,
        env = "MCP_GATEWAY_SIDECAR_PORT",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u16).range(1..),
        value_name = "PORT"
    )]
    sidecar_port: Vec<u16>,

    /// A folder below which unix sockets of servers may be, `unix:///DIR/NAME` or the `socket` of a
    /// sidecar; links there are not followed. Left out: no sockets.
    #[arg(long, env = "MCP_GATEWAY_SOCKET_DIR", value_name = "DIR")]
    socket_dir: Option<PathBuf>,

    /// Where `from_file: NAME` of a tenant is found, in DIR/TENANT/NAME. Left out: nowhere. The
    /// variable that `from_env: NAME` means is MCP_GATEWAY_SECRET__TENANT__NAME.
    #[arg(long, env = "MCP_GATEWAY_SECRET_DIR", value_name = "DIR")]
    secret_dir: Option<PathBuf>,
}

impl PermittedArgs {
    /// `spool` is where audit events wait for sinks that are MCP servers; `None`: there may be none.
    pub(super) fn permits(
        self,
        loopback_only: bool,
        limits: Limits,
        spool: Option<SpoolOptions>,
    ) -> anyhow::Result<Permits> {
        let Self {
            allow_command,
            allow_network,
            sidecar_port,
            socket_dir,
            secret_dir,
        } = self;
        let mut network =
            NetworkPolicy::public_only(allow_network).with_sidecar_ports(sidecar_port);
        if let Some(folder) = socket_dir {
            let folder = std::path::absolute(folder).context("--socket-dir names no folder")?;
            network = network.with_sockets_below(folder);
        }
        let registry = Registry::new(Role::DataPlane { loopback_only });
        Ok(Permits {
            registry: match spool {
                Some(options) => registry.with_audit_spool(options),
                None => registry,
            },
            secrets: SecretResolver::data_plane(secret_dir),
            connector: Connector::new(network).context("TLS cannot be set up")?,
            commands: Commands::Only(allow_command),
            max_message_bytes: limits.max_body_bytes,
            connects_at_once: false,
        })
    }
}
