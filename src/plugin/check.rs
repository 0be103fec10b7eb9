//! `plugin check`: holds anyone's plugin to the contract, and says what to do where it falls short.

mod advice;
mod expect;
mod junit;
mod place;
mod result;
mod show;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, ValueEnum};
use gateway_core::Deadline;
use gateway_core::config::TimeSpan;
use gateway_core::plugin::PluginKind;
use gateway_mcp::client::{ClientError, ServerHello};
use gateway_mcp::version::Era;
use gateway_plugins::suite::{self, Protocol, Report};
use gateway_plugins::{Adapter, required_tools};

use crate::exit::Failure;
use crate::output::raw;
use crate::process::block_on;
use expect::{ExpectArgs, Expected};
use place::{Place, PlaceArgs};
use result::{Case, Checked, CheckedEra, Part};

/// How long a server may take to start and to introduce itself.
const STARTING: Duration = Duration::from_secs(30);

/// Which plugin, what it was set up with, and how the result is told.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("place").required(true).args(["url", "socket", "command"])))]
pub(crate) struct CheckArgs {
    /// Which kind of plugin it is. Left out: the one whose tools it has.
    #[arg(long, value_parser = kinds(), value_name = "KIND")]
    kind: Option<PluginKind>,

    #[command(flatten)]
    place: PlaceArgs,

    /// Which MCP it has to speak. Left out: whatever it speaks is checked, in each era.
    #[arg(long, value_enum, value_name = "ERA")]
    era: Option<Eras>,

    #[command(flatten)]
    expect: ExpectArgs,

    /// How long one call may take.
    #[arg(long, default_value = "5s", value_name = "TIME")]
    timeout: TimeSpan,

    /// How many calls are timed, one after the other.
    #[arg(long, default_value_t = 200, value_name = "NUMBER")]
    calls: usize,

    /// How the result is written.
    #[arg(short, long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,

    /// A file that is written beside it, as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Eras {
    /// Up to 2025-11-25, with sessions.
    Legacy,
    /// From 2026-07-28 on, without.
    Modern,
    /// Each of the two.
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

fn kinds() -> impl TypedValueParser<Value = PluginKind> {
    let names = PossibleValuesParser::new(PluginKind::ALL.map(PluginKind::as_str));
    names.try_map(|name| {
        let kind = PluginKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name);
        kind.ok_or("there is no such kind")
    })
}

impl CheckArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let place = self.place.place()?;
        let expected = self.expect.expected()?;
        let checked = block_on(async {
            let checked = self.check(&place, &expected).await;
            place.leave().await;
            checked
        })?;
        raw(&match self.output {
            Form::Text => show::text(&checked),
            Form::Json => show::json(&checked)?,
        })?;
        if let Some(file) = &self.junit {
            std::fs::write(file, junit::xml(&checked))
                .with_context(|| format!("{} cannot be written", file.display()))?;
        }
        match checked.failed() {
            0 => Ok(()),
            1 => Err(anyhow::anyhow!("1 case failed").into()),
            failed => Err(anyhow::anyhow!("{failed} cases failed").into()),
        }
    }

    async fn check(&self, place: &Place, expected: &Expected) -> Result<Checked, Failure> {
        let hello = greet(place).await;
        let hello = hello.map_err(|error| anyhow::anyhow!(place.unusable(error)))?;
        let kind = match self.kind {
            Some(kind) => kind,
            None => self.kind_by_tools(place).await?,
        };
        let mut checked = Checked::new(&place.name, kind, &hello);
        for era in self.eras(hello.era) {
            let protocol = Protocol::new(kind, place.dial(Some(era)), self.timeout.as_duration());
            match protocol.hello().await {
                Ok(hello) => {
                    let era = Box::pin(self.check_era(place, &protocol, expected, &hello)).await;
                    checked.eras.push(era);
                }
                // Nobody has asked for it, and the other one is spoken.
                Err(_) if self.era.is_none() && era != hello.era => {}
                Err(why) => checked.eras.push(CheckedEra::not_spoken(era, why)),
            }
            place.leave().await;
        }
        Ok(checked)
    }

    /// Those that it has to speak, or may: a modern server may be a legacy one as well.
    fn eras(&self, spoken: Era) -> Vec<Era> {
        match self.era {
            Some(Eras::Legacy) => vec![Era::Legacy],
            Some(Eras::Modern) => vec![Era::Modern],
            None if spoken == Era::Legacy => vec![Era::Legacy],
            Some(Eras::Both) | None => vec![Era::Modern, Era::Legacy],
        }
    }

    async fn kind_by_tools(&self, place: &Place) -> Result<PluginKind, Failure> {
        let timeout = self.timeout.as_duration();
        let tools = suite::tools_of(place.dial(None), timeout).await;
        let tools = tools.map_err(|why| anyhow::anyhow!("{} {why}", place.name))?;
        let has = |tool: &&str| tools.iter().any(|listed| listed == tool);
        let of = |kind: &PluginKind| required_tools(*kind).iter().all(&has);
        let kinds: Vec<_> = PluginKind::ALL.into_iter().filter(of).collect();
        match kinds.as_slice() {
            [kind] => Ok(*kind),
            [] => Err(Failure::invalid(format!(
                "{} has the tools of no kind of plugin ({}): say with --kind which it is to be",
                place.name,
                tools.join(", ")
            ))),
            several => Err(Failure::invalid(format!(
                "{} has the tools of several kinds of plugins: say --kind {}",
                place.name,
                several
                    .iter()
                    .map(|kind| kind.as_str())
                    .collect::<Vec<_>>()
                    .join(" or --kind ")
            ))),
        }
    }

    async fn check_era(
        &self,
        place: &Place,
        protocol: &Protocol,
        expected: &Expected,
        hello: &ServerHello,
    ) -> CheckedEra {
        let mut checked = CheckedEra::new(hello.version);
        let report = protocol.run().await;
        let (kind, is_usable) = (report.kind, Protocol::is_usable(&report));
        checked.add(Part::Protocol, report);
        if is_usable {
            checked.latency = protocol.latency(self.calls).await;
        }
        // Of a command there is one at a time: it may have a file that it shares with nobody.
        protocol.close().await;
        if is_usable {
            let dial = place.dial(Some(hello.era));
            let adapter = Adapter::of(kind, dial, self.timeout.as_duration());
            checked.add(Part::Semantics, semantics(adapter, expected).await);
        } else {
            checked.cases.push(Case::not_run());
        }
        checked
    }
}

/// Hears how a server introduces itself, and leaves it.
async fn greet(place: &Place) -> Result<ServerHello, ClientError> {
    let peer = place.dial(None).dial(Deadline::after(STARTING)).await?;
    peer.close().await;
    Ok(peer.hello().clone())
}

/// Runs the suite of the plugin's trait.
async fn semantics(adapter: Adapter, expected: &Expected) -> Report {
    match adapter {
        Adapter::AuthProvider(provider) => {
            suite::auth_provider(provider, expected.accounts.clone()).await
        }
        Adapter::CredentialStorage(storage) => {
            suite::credential_storage(storage, expected.keeping).await
        }
        Adapter::AuthProxy(proxy) => suite::auth_proxy(proxy, expected.injections.clone()).await,
        Adapter::AuditSink(sink) => suite::audit_sink(sink, expected.read_back.clone()).await,
        Adapter::PolicyEvaluator(evaluator) => {
            suite::policy_evaluator(evaluator, expected.rules.clone()).await
        }
        Adapter::McpProvisioner(provisioner) => {
            suite::mcp_provisioner(provisioner, expected.running.clone()).await
        }
        Adapter::Telemetry(telemetry) => suite::telemetry(telemetry).await,
    }
}
