//! `mcp-gateway tools`: what a client of the gateway sees, listed and called by commands.

mod arguments;
mod list;
mod outcome;
mod reach;
mod schema;
mod session;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use gateway_core::config::TimeSpan;
use gateway_core::{ProfileName, ServerName};

use crate::config_edit::ConfigArgs;
use crate::data_dir::DataDirArgs;
use crate::exit::Failure;
use crate::output::OutputArgs;
use crate::signals::StopSignals;
use arguments::Arguments;
use reach::Reached;

#[derive(Debug, Subcommand)]
pub(crate) enum ToolsCommand {
    /// Shows the tools.
    List(ListArgs),
    /// Calls a tool and prints its result.
    Call(CallArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    view: ViewArgs,

    #[command(flatten)]
    place: PlaceArgs,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    /// The tool's name, as `tools list` shows it.
    name: String,

    /// `key=value`, where the tool's input schema says what the value is, or `key:=JSON`. A single
    /// `-` reads all arguments from standard input, as a JSON object.
    #[arg(value_name = "KEY=VALUE")]
    pairs: Vec<String>,

    /// All arguments, as a JSON object.
    #[arg(long, value_name = "JSON", conflicts_with = "pairs")]
    arguments: Option<String>,

    /// How long the call may take, such as 30s. Left out: as long as the gateway lets it.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<TimeSpan>,

    #[command(flatten)]
    view: ViewArgs,

    #[command(flatten)]
    place: PlaceArgs,

    /// How the result is written: as text for people, or whole, as the tool gave it.
    #[arg(short, long, value_enum, default_value_t = ResultForm::Text, value_name = "FORM")]
    output: ResultForm,
}

/// Which of the gateway's endpoints.
#[derive(Debug, Clone, Args)]
struct ViewArgs {
    /// One server's tools, under their own names.
    #[arg(long, value_name = "NAME", conflicts_with = "profile")]
    server: Option<ServerName>,

    /// The tools of a profile.
    #[arg(long, value_name = "NAME")]
    profile: Option<ProfileName>,
}

/// The gateway that runs on the data directory; where none does, one by the configuration file
/// runs for as long as the command.
#[derive(Debug, Args)]
struct PlaceArgs {
    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    data_dir: DataDirArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ResultForm {
    Text,
    Json,
    Yaml,
}

pub(crate) fn run(command: ToolsCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("the runtime cannot be started")?;
    let done = runtime.block_on(async {
        let mut signals = StopSignals::listen()?;
        let stopped = async move { signals.next().await };
        match command {
            ToolsCommand::List(args) => Box::pin(list(args, stopped)).await,
            ToolsCommand::Call(args) => Box::pin(call(args, stopped)).await,
        }
    });
    // What still blocks, such as a write to a full pipe, must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn list(args: ListArgs, stopped: impl Future<Output = &'static str>) -> Result<(), Failure> {
    let ListArgs {
        view,
        place,
        output,
    } = args;
    let work = async |reached: Reached| {
        let session = reached.open(&view, None).await?;
        let tools = session.tools().await?;
        list::print(&tools, output)?;
        Ok(())
    };
    reach::with_gateway(place.read()?, None, until(stopped, work)).await
}

async fn call(args: CallArgs, stopped: impl Future<Output = &'static str>) -> Result<(), Failure> {
    let CallArgs {
        name,
        pairs,
        arguments,
        timeout,
        view,
        place,
        output,
    } = args;
    // Before anything is started for them.
    let arguments = Arguments::read(pairs, arguments)?;
    let timeout = timeout.map(TimeSpan::as_duration);
    let work = async |reached: Reached| {
        let session = reached.open(&view, timeout).await?;
        let tools = session.tools().await?;
        let tool = list::find(&tools, &name)?;
        let arguments = arguments.by_schema(&schema::of(tool))?;
        let result = session.call(tool, &arguments).await?;
        outcome::print(&result, output)
    };
    reach::with_gateway(place.read()?, timeout, until(stopped, work)).await
}

/// The same work, given up when the user wants so; whoever runs the gateway can then end it.
fn until<T>(
    stopped: impl Future<Output = &'static str>,
    work: impl AsyncFnOnce(Reached) -> Result<T, Failure>,
) -> impl AsyncFnOnce(Reached) -> Result<T, Failure> {
    async move |reached| {
        tokio::select! {
            done = work(reached) => done,
            signal = stopped => Err(Failure::Failed(anyhow!("cancelled by {signal}"))),
        }
    }
}

impl ViewArgs {
    /// Where the endpoint is below a tenant's.
    fn path(&self) -> String {
        match (&self.server, &self.profile) {
            (Some(server), _) => format!("/s/{server}/mcp"),
            (None, Some(profile)) => format!("/p/{profile}/mcp"),
            (None, None) => "/mcp".to_owned(),
        }
    }
}

/// What a command's place flags say.
struct Place {
    config: PathBuf,
    data_dir: PathBuf,
}

impl PlaceArgs {
    fn read(self) -> Result<Place, Failure> {
        Ok(Place {
            config: self.config.path(),
            data_dir: self.data_dir.path()?,
        })
    }
}
