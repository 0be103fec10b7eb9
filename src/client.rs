//! `mcp-gateway client`: enters the gateway into the configuration of MCP clients, and takes it
//! out again.

mod edit;
mod entry;
mod file;
mod known;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::output::{self, OutputArgs, say};
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
pub(crate) use edit::JSON;
use edit::Place;
use entry::{Target, Way};
use file::ClientFile;
use known::Client;

/// Where a client finds the gateway if nothing else is said.
const DEFAULT_URL: &str = "http://127.0.0.1:8811/mcp";

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Enters the gateway into a client's configuration. A second time changes nothing.
    Connect(ConnectArgs),
    /// Shows which clients there are, and which of them use the gateway.
    List(ListArgs),
    /// Takes the gateway out of a client's configuration, which is then as it was before.
    Disconnect(DisconnectArgs),
}

/// Which entry of which file.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// The client.
    #[arg(value_name = "CLIENT")]
    client: Client,

    /// In the configuration of the project in the current folder, not in the user's own.
    #[arg(long)]
    project: bool,

    /// This file instead of the client's usual one.
    #[arg(long, value_name = "FILE", conflicts_with = "project")]
    file: Option<PathBuf>,

    /// The name under which the client shows the gateway.
    #[arg(long = "as", value_name = "NAME", default_value = "mcp-gateway")]
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    place: PlaceArgs,

    /// Where the client reaches the gateway, http://127.0.0.1:8811/mcp when left out;
    /// /p/PROFILE/mcp instead of /mcp shows one profile.
    #[arg(
        long,
        env = "MCP_GATEWAY_URL",
        value_name = "URL",
        conflicts_with = "stdio"
    )]
    url: Option<String>,

    /// The client starts the gateway as its server, or a bridge to the one that runs. Claude
    /// Desktop knows nothing else.
    #[arg(long)]
    stdio: bool,

    #[command(flatten)]
    started: StartedArgs,

    /// The client sends the key that this environment variable holds when the client is started.
    #[arg(long, value_name = "VARIABLE")]
    api_key_env: Option<String>,

    /// Prints what the file would hold, and writes nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What a gateway is told that a client starts.
#[derive(Debug, Args)]
struct StartedArgs {
    /// With --stdio: the configuration file.
    #[arg(long, env = "MCP_GATEWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// With --stdio: where the gateway keeps its state.
    #[arg(long, env = "MCP_GATEWAY_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// With --stdio: what the client sees, such as /p/PROFILE/mcp.
    #[arg(long, env = "MCP_GATEWAY_ENDPOINT", value_name = "PATH")]
    endpoint: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DisconnectArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The name under which clients show the gateway.
    #[arg(long = "as", value_name = "NAME", default_value = "mcp-gateway")]
    name: String,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(command: ClientCommand) -> Result<(), Failure> {
    match command {
        ClientCommand::Connect(args) => connect(args),
        ClientCommand::List(args) => list(&args),
        ClientCommand::Disconnect(args) => disconnect(&args.place),
    }
}

fn connect(args: ConnectArgs) -> Result<(), Failure> {
    let client = args.place.client;
    let dialect = client.dialect();
    let dry_run = args.dry_run;
    let (path, name) = (args.place.path()?, args.place.name.clone());
    let way = args.way()?;
    let entry = entry::write(&dialect, &way)
        .map_err(|error| Failure::invalid(format!("{} {error}", client.title())))?;
    let place = Place {
        dialect: &dialect,
        name: &name,
    };
    let file = ClientFile::open(&path)?;
    let shown = file.path().display();
    let unusable = |error| Failure::invalid(format!("{shown} {error}"));
    let found = edit::find(file.text(), place).map_err(unusable)?;
    if found.as_ref() == Some(&entry) {
        say(&format!(
            "{} is connected already, in {shown}",
            client.title()
        ))?;
        return Ok(());
    }
    if found.is_some() && file.exists() && file.before()?.is_none() {
        return Err(Failure::invalid(format!(
            "{shown} has an entry `{name}` that this command did not make: choose another name with --as"
        )));
    }
    let edited = edit::insert(file.text(), place, &entry).map_err(unusable)?;
    if dry_run {
        output::raw(&edited)?;
        return Ok(());
    }
    file.keep()?;
    file.write(&edited)?;
    say(&format!(
        "{} is connected: {} in {shown}; restart it if it runs",
        client.title(),
        entry::describe(&entry)
    ))?;
    Ok(())
}

fn disconnect(args: &PlaceArgs) -> Result<(), Failure> {
    let (client, dialect) = (args.client, args.client.dialect());
    let place = Place {
        dialect: &dialect,
        name: &args.name,
    };
    let file = ClientFile::open(&args.path()?)?;
    let shown = file.path().display();
    let unusable = |error| Failure::invalid(format!("{shown} {error}"));
    let Some(entry) = edit::find(file.text(), place).map_err(unusable)? else {
        file.forget()?;
        say(&format!("{} is not connected, in {shown}", client.title()))?;
        return Ok(());
    };
    let before = file.before()?;
    // If entering the gateway again gives what is there now, nobody has written since, and the
    // file can be what it was to the last byte.
    let untouched = before.filter(|before| {
        edit::insert(before, place, &entry).is_ok_and(|again| again == file.text())
    });
    let edited = match untouched {
        Some(before) => before,
        None => edit::remove(file.text(), place).map_err(unusable)?,
    };
    if edit::is_empty(&edited) && file.before()?.is_none() {
        file.remove()?;
    } else {
        file.write(&edited)?;
    }
    file.forget()?;
    say(&format!("{} is disconnected, in {shown}", client.title()))?;
    Ok(())
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let clients = <Client as clap::ValueEnum>::value_variants();
    let rows: Vec<Value> = clients
        .iter()
        .map(|client| describe(*client, &args.name))
        .collect();
    args.output
        .print(&["client", "state", "gateway", "file"], &rows)?;
    Ok(())
}

fn describe(client: Client, name: &str) -> Value {
    let dialect = client.dialect();
    let place = Place {
        dialect: &dialect,
        name,
    };
    let path = client.user_file();
    let state = || -> anyhow::Result<(&str, String)> {
        if !client.is_installed() {
            return Ok(("not installed", String::new()));
        }
        let path = path.as_deref().context("there is no home folder")?;
        let found = edit::find(ClientFile::open(path)?.text(), place)?;
        Ok(match found {
            Some(entry) => ("connected", entry::describe(&entry)),
            None => ("not connected", String::new()),
        })
    };
    let (state, gateway) = match state() {
        Ok((state, gateway)) => (state.to_owned(), gateway),
        Err(error) => (format!("{error:#}"), String::new()),
    };
    json!({ "client": client.name(), "state": state, "gateway": gateway, "file": path })
}

impl PlaceArgs {
    fn path(&self) -> Result<PathBuf, Failure> {
        let title = self.client.title();
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        if self.project {
            let folder = std::env::current_dir().context("the current folder is gone")?;
            return self.client.project_file(&folder).ok_or_else(|| {
                Failure::invalid(format!("{title} has no configuration of a project"))
            });
        }
        let file = self.client.user_file().ok_or_else(|| {
            Failure::invalid("there is no home folder: name the file with --file")
        })?;
        if self.client.is_installed() {
            Ok(file)
        } else {
            Err(Failure::invalid(format!(
                "{title} is not installed: there is nothing at {}; name its file with --file",
                file.parent().unwrap_or(&file).display()
            )))
        }
    }
}

impl ConnectArgs {
    fn way(self) -> Result<Way, Failure> {
        let only_stdio = self.place.client.dialect().http.is_none() && self.url.is_none();
        let to = if self.stdio || only_stdio {
            self.started.target()?
        } else {
            let url = self.url.unwrap_or_else(|| DEFAULT_URL.to_owned());
            let is_http = ["http://", "https://"].iter().any(|s| url.starts_with(s));
            if !is_http || url.parse::<http::Uri>().is_err() {
                let reason = format!("--url {url}: is no URL that begins with http:// or https://");
                return Err(Failure::invalid(reason));
            }
            Target::Url(url)
        };
        Ok(Way {
            to,
            key_variable: self.api_key_env,
        })
    }
}

impl StartedArgs {
    /// The command that the client runs, from wherever that may be.
    fn target(self) -> Result<Target, Failure> {
        if !cfg!(unix) {
            return Err(Failure::invalid(
                "--stdio: this system has no unix sockets, which that needs; let the client connect to a URL",
            ));
        }
        let program = std::env::current_exe().context("where this program is, is not known")?;
        let mut args = vec!["desktop".to_owned(), "--stdio".to_owned()];
        for (flag, path) in [("--config", self.config), ("--data-dir", self.data_dir)] {
            if let Some(path) = path {
                let whole = std::path::absolute(path).context("the current folder is gone")?;
                args.extend([flag.to_owned(), text_of(whole)?]);
            }
        }
        if let Some(endpoint) = self.endpoint {
            args.extend(["--endpoint".to_owned(), endpoint]);
        }
        Ok(Target::Command(text_of(program)?, args))
    }
}

fn text_of(path: PathBuf) -> Result<String, Failure> {
    path.into_os_string().into_string().map_err(|path| {
        let path = path.to_string_lossy();
        Failure::invalid(format!(
            "{path}: a client's file can only name what is Unicode"
        ))
    })
}

#[cfg(test)]
mod tests;
