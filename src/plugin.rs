//! `mcp-gateway plugin`: plugins as MCP servers of their own.

mod chosen;
mod handler;
mod serve;

use clap::Subcommand;

use crate::exit::Failure;

/// What can be done with plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Serves an implementation that the gateway has in memory as an MCP server, for other gateways.
    Serve(serve::ServeArgs),
}

impl PluginCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(args) => args.run(),
        }
    }
}
