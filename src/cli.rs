//! The commands and their flags. Every flag is also an environment variable.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::exit::Failure;
use crate::logging::{self, LogFormat};
use crate::manual::{self, CompletionsArgs, ManArgs};

/// Behind a command's own flags in its help.
const LAST: usize = 900;

/// An MCP gateway with a plugin architecture: many MCP servers behind one endpoint.
#[derive(Debug, Parser)]
#[command(
    name = "mcp-gateway",
    version,
    arg_required_else_help = true,
    subcommand_required = true
)]
struct Cli {
    /// What to log: error, warn, info, debug, trace, or directives such as
    /// `info,gateway_data_plane=debug`. Left out: info, and warn for `tools`.
    #[arg(
        long,
        env = "MCP_GATEWAY_LOG",
        global = true,
        display_order = LAST,
        value_name = "FILTER"
    )]
    log: Option<String>,

    /// How the log is written: for people, or as a JSON object on each line.
    #[arg(
        long,
        env = "MCP_GATEWAY_LOG_FORMAT",
        value_enum,
        default_value_t = LogFormat::Text,
        global = true,
        display_order = LAST,
        value_name = "FORMAT"
    )]
    log_format: LogFormat,

    // Clap requires one; it is optional here so that a build that has none compiles.
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the whole gateway in this process, by one configuration file.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    Desktop(crate::desktop::DesktopArgs),
    /// Keeps the configuration of tenants, and pushes it to the data planes that join.
    #[cfg(feature = "control-plane")]
    ControlPlane(crate::control_plane::ControlPlaneArgs),
    /// Serves MCP clients by what a control plane pushes.
    #[cfg(feature = "data-plane")]
    DataPlane(Box<crate::data_plane::DataPlaneArgs>),
    /// Makes the documents of files the current configuration of their tenants, at a control plane.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    Apply(crate::admin::ApplyArgs),
    /// Shows the tenants of a control plane; with `-o yaml`, as documents that can be applied.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    Get(crate::admin::GetArgs),
    /// Shows what `apply` or `rollback` would change, and changes nothing.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    Diff(crate::admin::DiffArgs),
    /// Shows the revisions of a tenant: who changed what, when and why.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    History(crate::admin::HistoryArgs),
    /// Makes an earlier revision of a tenant current again.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    Rollback(crate::admin::RollbackArgs),
    /// Shows how revisions come to the data planes step by step, and decides about one that is halted.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    #[command(subcommand)]
    Rollout(crate::admin::RolloutCommand),
    /// Takes a tenant out of service; its history stays.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    Delete(crate::admin::DeleteArgs),
    /// Shows which data plane has which revision in force, and what it refused.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    Status(crate::admin::StatusArgs),
    /// Keeps control planes under names, and which of them is the current one.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    #[command(subcommand)]
    Context(crate::admin::ContextCommand),
    /// Makes, shows and revokes the tokens by which a control plane lets others in.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    #[command(subcommand)]
    Token(crate::admin::TokenCommand),
    /// Gives host names to tenants, shows them and takes them away.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    #[command(subcommand)]
    Host(crate::admin::HostCommand),
    /// Checks configuration files as `desktop` would, and says where they are wrong.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    Validate(crate::validate::ValidateArgs),
    /// Looks at everything that `desktop` needs, tries every server, and says which command mends
    /// what is wrong.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    Doctor(crate::doctor::DoctorArgs),
    /// Adds, shows and removes the servers of gateway.yaml.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    #[command(subcommand)]
    Server(crate::server::ServerCommand),
    /// Serves plugins as MCP servers of their own, and checks anyone's.
    #[cfg(feature = "data-plane")]
    #[command(subcommand)]
    Plugin(crate::plugin::PluginCommand),
    /// Makes, shows and revokes the API keys of gateway.yaml.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    #[command(subcommand)]
    ApiKey(crate::api_key::ApiKeyCommand),
    /// Shows and calls the tools that clients of the gateway see.
    #[cfg(all(unix, feature = "control-plane", feature = "data-plane"))]
    #[command(subcommand)]
    Tools(crate::tools::ToolsCommand),
    /// Stores the credentials that go along to servers, shows and deletes them.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    #[command(subcommand)]
    Credential(crate::credential::CredentialCommand),
    /// Makes the servers of an MCP client's configuration the gateway's own.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    Import(crate::import::ImportArgs),
    /// Enters the gateway into the configuration of MCP clients, and takes it out again.
    #[command(subcommand)]
    Client(crate::client::ClientCommand),
    /// Prints what a shell needs to complete this program's commands and flags.
    Completions(CompletionsArgs),
    /// Prints the manual page, or writes one for each command into a folder.
    Man(ManArgs),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let usual = cli.command.as_ref().map_or("info", Command::usual_log);
    let log = cli.log.as_deref().unwrap_or(usual);
    if let Err(error) = logging::start(log, cli.log_format) {
        return Failure::invalid(error.to_string()).report();
    }
    match cli.command.map_or(Ok(()), Command::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

impl Command {
    /// What is logged where nobody says what.
    fn usual_log(&self) -> &'static str {
        match self {
            // Their gateway runs for a moment only; how it starts and stops is of no interest.
            #[cfg(all(unix, feature = "control-plane", feature = "data-plane"))]
            Self::Tools(_) => "warn",
            #[cfg(feature = "data-plane")]
            Self::Plugin(command) => command.usual_log(),
            _ => "info",
        }
    }

    fn run(self) -> Result<(), Failure> {
        match self {
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Desktop(args) => crate::desktop::run(args),
            #[cfg(feature = "control-plane")]
            Self::ControlPlane(args) => crate::control_plane::run(args),
            #[cfg(feature = "data-plane")]
            Self::DataPlane(args) => crate::data_plane::run(*args),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Apply(args) => crate::admin::apply(args),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Diff(args) => crate::admin::diff(args),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Get(args) => crate::admin::get(args),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::History(args) => crate::admin::history(args),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Rollback(args) => crate::admin::rollback(args),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Rollout(command) => crate::admin::rollout(command),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Delete(args) => crate::admin::delete(args),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Status(args) => crate::admin::status(args),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Context(command) => crate::admin::context(command),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Token(command) => crate::admin::token(command),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Host(command) => crate::admin::host(command),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Validate(args) => crate::validate::run(args),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Doctor(args) => crate::doctor::run(args),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Server(command) => crate::server::run(command),
            #[cfg(feature = "data-plane")]
            Self::Plugin(command) => command.run(),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::ApiKey(command) => crate::api_key::run(command),
            #[cfg(all(unix, feature = "control-plane", feature = "data-plane"))]
            Self::Tools(command) => crate::tools::run(command),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Credential(command) => crate::credential::run(command),
            #[cfg(all(feature = "control-plane", feature = "data-plane"))]
            Self::Import(args) => crate::import::run(args),
            Self::Client(command) => crate::client::run(command),
            Self::Completions(args) => manual::completions(&args, Cli::command()),
            Self::Man(args) => manual::pages(&args, Cli::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }
}
