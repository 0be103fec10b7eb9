//! `mcp-gateway plugin`: plugins as MCP servers of their own, served and checked.

mod check;
mod chosen;
mod handler;
mod serve;

use clap::Subcommand;

use crate::exit::Failure;

/// What can be done with plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Serves an implementation that the gateway has in memory as an MCP server, for other gateways.
    Serve(Box<serve::ServeArgs>),
    /// Checks a plugin's MCP server against the contract, and says what to do where it falls short.
    Check(Box<check::CheckArgs>),
}

impl PluginCommand {
    /// What is logged where nobody says what.
    pub(crate) fn usual_log(&self) -> &'static str {
        match self {
            Self::Serve(_) => "info",
            // What a plugin does wrong is told by the result.
            Self::Check(_) => "error",
        }
    }

    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(args) => args.run(),
            Self::Check(args) => args.run(),
        }
    }
}
