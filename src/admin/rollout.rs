//! `mcp-gateway rollout`: where the rollouts of tenants are, and what becomes of one that is halted; and
//! the flags by which a change is rolled out.

mod follow;
mod share;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use gateway_core::TenantId;
use gateway_core::config::TimeSpan;
use gateway_proto::admin::v1 as pb;
use gateway_proto::admin::v1::rollout::Stage;
use jiff::Timestamp;
use serde_json::{Value, json};
use tonic::Code;

use super::client::{Client, ServerArgs, failure};
use crate::exit::{Failure, note};
use crate::output::{OutputArgs, say};
use crate::process;

pub(super) use follow::{Until, follow};
use share::Share;

/// How a change comes to the data planes.
#[derive(Debug, Args)]
pub(super) struct CanaryArgs {
    /// Has this share of the data planes take it first, such as 10% or 0.1, and all of them if it does
    /// well there. Left out: all at once.
    #[arg(long, value_name = "SHARE")]
    canary: Option<Share>,

    /// For how long it must do well on the first ones. Left out: it is enough that they take it.
    #[arg(long, requires = "canary", value_name = "TIME")]
    bake: Option<TimeSpan>,

    /// Which share of their requests may fail by the gateway, a plugin or a server that is not
    /// reached, such as 5% or 0.05.
    #[arg(long, requires = "canary", default_value = "5%", value_name = "RATE")]
    max_error_rate: Share,
}

impl CanaryArgs {
    pub(super) fn plan(&self) -> Result<Option<pb::Canary>, Failure> {
        let Some(share) = self.canary else {
            return Ok(None);
        };
        if share.as_f64() <= 0.0 {
            return Err(Failure::invalid("--canary: must be more than 0"));
        }
        let bake = self.bake.map(TimeSpan::as_duration);
        Ok(Some(pb::Canary {
            share: share.as_f64(),
            bake: bake.and_then(|bake| bake.try_into().ok()),
            max_error_rate: Some(self.max_error_rate.as_f64()),
        }))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Shows the rollouts that are not over, or the last one of a tenant.
    Status(StatusArgs),
    /// Begins a rollout anew that was halted.
    Resume(DecideArgs),
    /// Gives up a revision that not every data plane has yet: what the others have kept becomes
    /// current again, as a new revision.
    Abort(DecideArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The tenant. Left out: all whose rollout is not over.
    tenant: Option<TenantId>,

    /// Waits until the rollout is over or halted, and ends with exit code 1 unless every data plane
    /// is to have the revision.
    #[arg(long, requires = "tenant")]
    wait: bool,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DecideArgs {
    /// The tenant.
    tenant: TenantId,

    /// Why, for the history.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TEXT"
    )]
    reason: String,

    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn rollout(command: RolloutCommand) -> Result<(), Failure> {
    match command {
        RolloutCommand::Status(args) => status(args),
        RolloutCommand::Resume(args) => resume(args),
        RolloutCommand::Abort(args) => abort(args),
    }
}

fn status(args: StatusArgs) -> Result<(), Failure> {
    process::block_on(async {
        let mut client = args.server.client()?;
        let Some(tenant) = &args.tenant else {
            let mut request = pb::ListRolloutsRequest::default();
            let mut records = Vec::new();
            loop {
                let page = client.list_rollouts(request.clone()).await;
                let page = page.map_err(|status| failure(&status))?.into_inner();
                records.extend(page.rollouts.iter().map(record));
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
            return Ok(args.output.print(&COLUMNS, &records)?);
        };
        let name = name_of(tenant);
        let found = client.get_rollout(pb::GetRolloutRequest { name }).await;
        let mut found = found.map_err(|status| failure(&status))?.into_inner();
        if args.wait {
            let revision = found.revision;
            found = follow(&mut client, tenant, revision, Until::Over).await?;
        }
        args.output.print(&COLUMNS, &[record(&found)])?;
        match found.stage() {
            _ if !args.wait => Ok(()),
            Stage::Complete => Ok(()),
            _ => Err(Failure::Failed(not_complete(tenant, &found))),
        }
    })
}

fn resume(args: DecideArgs) -> Result<(), Failure> {
    process::block_on(async {
        let request = pb::ResumeRolloutRequest {
            name: name_of(&args.tenant),
            reason: args.reason,
        };
        let resumed = args.server.client()?.resume_rollout(request).await;
        let resumed = resumed.map_err(|status| failure(&status))?.into_inner();
        let (tenant, revision) = (&args.tenant, resumed.revision);
        Ok(say(&format!(
            "{tenant}: revision {revision} is rolled out anew"
        ))?)
    })
}

fn abort(args: DecideArgs) -> Result<(), Failure> {
    process::block_on(async {
        let request = pb::AbortRolloutRequest {
            name: name_of(&args.tenant),
            reason: args.reason,
        };
        let aborted = args.server.client()?.abort_rollout(request).await;
        let aborted = aborted.map_err(|status| failure(&status))?.into_inner();
        let (tenant, revision) = (&args.tenant, aborted.revision);
        let text = match aborted.stable_revision {
            0 => format!(
                "{tenant}: revision {revision} is given up, and with it the tenant, which was new"
            ),
            stable => format!(
                "{tenant}: revision {revision} is given up; what revision {stable} says is current again"
            ),
        };
        Ok(say(&text)?)
    })
}

/// Says how far a change has come that is rolled out, once the canaries have it or, if it does not
/// bake, once they have taken it; whether every data plane is to have it by now.
pub(super) async fn begun(
    client: &mut Client,
    tenant: &TenantId,
    (revision, is_new): (u64, bool),
    bakes: bool,
) -> Result<bool, Failure> {
    if !is_new && !is_under_way(client, tenant, revision).await? {
        return Ok(true);
    }
    let until = match bakes {
        true => Until::Baking,
        false => Until::Over,
    };
    let found = follow(client, tenant, revision, until).await?;
    match found.stage() {
        Stage::Complete => Ok(true),
        Stage::Canary => {
            let canaries = names(&found).join(", ");
            note(&format!(
                "{tenant}: revision {revision} is in force on {canaries}; `mcp-gateway rollout status {tenant} --wait` says what becomes of it"
            ));
            Ok(false)
        }
        _ => Err(Failure::Failed(not_complete(tenant, &found))),
    }
}

async fn is_under_way(
    client: &mut Client,
    tenant: &TenantId,
    revision: u64,
) -> Result<bool, Failure> {
    let name = name_of(tenant);
    match client.get_rollout(pb::GetRolloutRequest { name }).await {
        Ok(found) => {
            let found = found.into_inner();
            let is_active = matches!(found.stage(), Stage::Canary | Stage::Halted);
            Ok(found.revision == revision && is_active)
        }
        Err(status) if status.code() == Code::NotFound => Ok(false),
        Err(status) => Err(failure(&status)),
    }
}

fn not_complete(tenant: &TenantId, found: &pb::Rollout) -> anyhow::Error {
    let (stage, revision) = (stage_name(found.stage()), found.revision);
    let head = format!("{tenant}: the rollout of revision {revision} is {stage}");
    match found.stage() {
        Stage::Halted => anyhow!(
            "{head}: {}. No data plane has it; `mcp-gateway rollout resume {tenant}` tries again, `mcp-gateway rollout abort {tenant}` gives it up",
            found.reason
        ),
        _ => anyhow!("{head}"),
    }
}

fn name_of(tenant: &TenantId) -> String {
    format!("tenants/{tenant}/rollout")
}

const COLUMNS: [&str; 8] = [
    "tenant", "revision", "stable", "stage", "canaries", "requests", "errors", "reason",
];

fn record(found: &pb::Rollout) -> Value {
    let tenant = found.name.trim_start_matches("tenants/");
    let plan = found.canary.unwrap_or_default();
    let bake = plan.bake.unwrap_or_default();
    json!({
        "tenant": tenant.trim_end_matches("/rollout"),
        "revision": found.revision,
        "stable": found.stable_revision,
        "stage": stage_name(found.stage()),
        "reason": found.reason,
        "canaries": names(found),
        "requests": found.requests,
        "errors": found.errors,
        "share": plan.share,
        "bake_seconds": bake.seconds,
        "max_error_rate": plan.max_error_rate,
        "author": found.author,
        "created": at(found.create_time),
        "updated": at(found.update_time),
        "baking_since": at(found.bake_start_time),
    })
}

fn names(found: &pb::Rollout) -> Vec<&str> {
    let replicas = found.replicas.iter();
    replicas
        .map(|name| name.trim_start_matches("replicas/"))
        .collect()
}

fn at(time: Option<prost_types::Timestamp>) -> Option<String> {
    let time = time?;
    let at = Timestamp::new(time.seconds, time.nanos).ok()?;
    Some(at.to_string())
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Canary => "canary",
        Stage::Halted => "halted",
        Stage::Complete => "complete",
        Stage::Aborted => "aborted",
        Stage::Superseded => "superseded",
        // Of a newer control plane.
        Stage::Unspecified => "unknown",
    }
}
