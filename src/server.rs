//! `mcp-gateway server`: the servers of gateway.yaml, added, listed and removed by commands.

mod state;

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use gateway_core::ServerName;
use gateway_core::config::{
    CredentialsMode, Isolation, RemoteAuth, SecretRef, ServerConfig, ServerSpec, Setting,
};
use serde_json::{Value, json};

use crate::config_edit::{ConfigArgs, EditedFile};
use crate::data_dir::DataDirArgs;
use crate::exit::Failure;
use crate::output::{OutputArgs, say, table_within, terminal_width};

#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Adds a server to gateway.yaml; a running gateway serves it within a second.
    Add(AddArgs),
    /// Shows the servers of gateway.yaml, and how they are in the gateway that runs on the data
    /// directory.
    List(ListArgs),
    /// Removes a server from gateway.yaml.
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
#[group(id = "kind", required = true, multiple = false, args = ["url", "command"])]
pub(crate) struct AddArgs {
    /// Its name, which stands before the names of its tools: lower-case letters, digits, hyphens.
    name: ServerName,

    /// Where a server answers that runs already.
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// The program of a server that the gateway starts and speaks to over its standard input.
    #[arg(long, value_name = "PROGRAM")]
    command: Option<String>,

    /// The program's arguments, best behind `--`.
    #[arg(
        value_name = "ARGUMENT",
        conflicts_with = "url",
        allow_hyphen_values = true,
        trailing_var_arg = true
    )]
    arguments: Vec<String>,

    /// A variable of the program's environment; may be given several times. Not for secrets.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, conflicts_with = "url")]
    env: Vec<(String, String)>,

    /// A variable of the program's environment whose value the gateway takes from its own
    /// environment; may be given several times.
    #[arg(long, value_name = "NAME[=VARIABLE]", conflicts_with = "url")]
    env_from: Vec<String>,

    /// The gateway authenticates to the URL with the token in this environment variable.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "command")]
    bearer_env: Option<String>,

    /// Whether requests carry a credential of the user: see `credential set`.
    #[arg(long, value_enum, default_value_t = Credentials::None)]
    credentials: Credentials,

    /// Who shares a connection. Left out: as few as the server's behaviour demands.
    #[arg(long, value_enum)]
    isolation: Option<Sharing>,

    /// Replaces a server of the same name.
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    data_dir: DataDirArgs,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The server's name.
    name: ServerName,

    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Credentials {
    None,
    Optional,
    Required,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sharing {
    Shared,
    PerUser,
    PerSession,
}

pub(crate) fn run(command: ServerCommand) -> Result<(), Failure> {
    match command {
        ServerCommand::Add(args) => add(args),
        ServerCommand::List(args) => list(args),
        ServerCommand::Remove(args) => remove(args),
    }
}

fn add(args: AddArgs) -> Result<(), Failure> {
    let replaces = args.replace;
    let (name, server, config) = args.read()?;
    let mut file = EditedFile::open(config.path())?;
    if file.config.servers.contains_key(&name) && !replaces {
        return Err(Failure::invalid(format!(
            "{} has a server `{name}` already: use --replace, or another name",
            file.path().display()
        )));
    }
    file.set("servers", name.as_str(), &server)?;
    file.save()?;
    say(&format!("server `{name}` is in {}", file.path().display()))?;
    Ok(())
}

fn remove(args: RemoveArgs) -> Result<(), Failure> {
    let mut file = EditedFile::open(args.config.path())?;
    let name = args.name;
    if !file.config.servers.contains_key(&name) {
        return Err(Failure::invalid(format!(
            "{} has no server `{name}`",
            file.path().display()
        )));
    }
    file.remove("servers", name.as_str())?;
    file.save()?;
    say(&format!(
        "server `{name}` is no longer in {}",
        file.path().display()
    ))?;
    Ok(())
}

fn list(args: ListArgs) -> Result<(), Failure> {
    let file = EditedFile::open(args.config.path())?;
    let running = state::Running::ask(&args.data_dir.path()?)?;
    let servers = file.config.servers.iter();
    let rows: Vec<Value> = servers
        .map(|(name, server)| {
            let mut row = json!({
                "name": name.as_str(),
                "type": server.spec.type_name(),
                "server": describe(&server.spec),
                "credentials": server.credentials,
            });
            running.add_to(&mut row, &file.config.tenant, name, server);
            row
        })
        .collect();
    let columns = [
        "name",
        "type",
        "state",
        "tools",
        "credentials",
        "server",
        "reason",
    ];
    // Columns without anything in them only take space.
    let columns: Vec<&str> = columns
        .into_iter()
        .filter(|column| {
            let is_empty = rows.iter().all(|row| row[*column].is_null());
            !is_empty || !["tools", "reason"].contains(column)
        })
        .collect();
    let table = || table_within(&columns, rows.clone(), terminal_width());
    args.output.print_or(table, &rows)?;
    Ok(())
}

/// What a server is, on one line.
fn describe(spec: &ServerSpec) -> String {
    match spec {
        ServerSpec::Catalog { reference } => reference.clone(),
        ServerSpec::Remote { endpoint, .. } => endpoint.clone(),
        ServerSpec::Image { image, .. } => image.clone(),
        ServerSpec::Registry { name, version } => format!("{name} {version}"),
        ServerSpec::Sidecar { .. } => "a container of the same pod".to_owned(),
        ServerSpec::Command { command, args, .. } => {
            let words = std::iter::once(command).chain(args);
            words.map(String::as_str).collect::<Vec<_>>().join(" ")
        }
    }
}

impl AddArgs {
    fn read(self) -> Result<(ServerName, ServerConfig, ConfigArgs), Failure> {
        let mut env: BTreeMap<String, Setting> = BTreeMap::new();
        for (name, value) in self.env {
            env.insert(name, Setting::Literal(value));
        }
        for pair in self.env_from {
            let (name, variable) = pair.split_once('=').unwrap_or((&pair, &pair));
            let value = Setting::Secret(SecretRef::FromEnv(variable.to_owned()));
            env.insert(name.to_owned(), value);
        }
        let spec = match (self.url, self.command) {
            (Some(endpoint), _) => ServerSpec::Remote {
                endpoint,
                headers: BTreeMap::new(),
                auth: self
                    .bearer_env
                    .map(|variable| RemoteAuth::Bearer(SecretRef::FromEnv(variable))),
                tls: None,
            },
            (None, Some(command)) => ServerSpec::Command {
                command,
                args: self.arguments,
                env,
                cwd: None,
            },
            (None, None) => return Err(Failure::invalid("give --url or --command")),
        };
        let server = ServerConfig {
            credentials: match self.credentials {
                Credentials::None => CredentialsMode::None,
                Credentials::Optional => CredentialsMode::Optional,
                Credentials::Required => CredentialsMode::Required,
            },
            isolation: self.isolation.map(|sharing| match sharing {
                Sharing::Shared => Isolation::Shared,
                Sharing::PerUser => Isolation::PerUser,
                Sharing::PerSession => Isolation::PerSession,
            }),
            ..ServerConfig::from(spec)
        };
        Ok((self.name, server, self.config))
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write NAME=VALUE, or use --env-from NAME")?;
    Ok((name.to_owned(), value.to_owned()))
}
