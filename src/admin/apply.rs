//! `mcp-gateway apply` and `rollback`: changes to tenants, shown, made, and waited for.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use gateway_core::TenantId;
use gateway_core::config::TimeSpan;
use gateway_proto::admin::v1 as pb;
use gateway_proto::admin::v1::apply_tenant_request::Document as Sent;
use serde_json::{Value, json};
use tonic::Code;

use super::changes;
use super::client::{Client, ServerArgs, failure, violations};
use super::documents::{self, Document};
use super::in_force::{self, Fate};
use super::rollout::{self, CanaryArgs};
use crate::exit::{Failure, note};
use crate::output::OutputArgs;
use crate::process;

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// A YAML file with the configuration of one tenant, or of several behind `---`; a folder, of
    /// which every .yaml and .yml file is read; or - for standard input. May be given several times.
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    file: Vec<PathBuf>,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The tenant.
    tenant: TenantId,

    /// The revision whose configuration is to be in force again.
    #[arg(long, value_name = "REVISION")]
    to: u64,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// What would be applied: a YAML file, a folder, or - for standard input, as with `apply`.
    #[arg(
        short,
        long = "file",
        required_unless_present = "tenant",
        value_name = "FILE"
    )]
    file: Vec<PathBuf>,

    /// A tenant, whose earlier revision is compared with what it has now.
    #[arg(requires = "to", conflicts_with = "file")]
    tenant: Option<TenantId>,

    /// The revision that `rollback` would make current again.
    #[arg(long, value_name = "REVISION", requires = "tenant")]
    to: Option<u64>,

    /// Ends with exit code 1 where there is a difference.
    #[arg(long)]
    exit_code: bool,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    server: ServerArgs,
}

/// How a change is made.
#[derive(Debug, Args)]
struct ChangeArgs {
    /// Shows what would change, and changes nothing.
    #[arg(long)]
    dry_run: bool,

    /// Why, for the history.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TEXT"
    )]
    reason: String,

    /// How long the data planes may take to have it in force.
    #[arg(long, default_value = "30s", value_name = "TIME")]
    timeout: TimeSpan,

    /// Does not wait for the data planes.
    #[arg(long)]
    no_wait: bool,

    #[command(flatten)]
    canary: CanaryArgs,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    server: ServerArgs,
}

/// What became of one tenant.
struct Made {
    tenant: TenantId,
    response: pb::ApplyTenantResponse,
}

pub(crate) fn apply(args: ApplyArgs) -> Result<(), Failure> {
    let documents = documents::read(&args.file)?;
    process::block_on(async {
        let canary = args.change.canary.plan()?;
        let mut client = args.change.server.client()?;
        // Everything is checked before anything is changed.
        let mut made = check(&mut client, &documents).await?;
        if !args.change.dry_run {
            made.clear();
            for document in &documents {
                let sent = Sending {
                    reason: args.change.reason.clone(),
                    canary,
                    validate_only: false,
                };
                let response = send(&mut client, document, sent).await?;
                made.push(Made::new(&document.config.tenant, response));
            }
        }
        show(args.change.output, &made, args.change.dry_run)?;
        let mut refused = Vec::new();
        for (made, document) in made.iter().zip(&documents) {
            if let Some((replica, violations)) = args.change.wait(&mut client, made).await? {
                note(&format!("{}: refused by {replica}", made.tenant));
                refused.extend(document.locate(violations));
            }
        }
        if refused.is_empty() {
            Ok(())
        } else {
            Err(Failure::Invalid(refused))
        }
    })
}

pub(crate) fn rollback(args: RollbackArgs) -> Result<(), Failure> {
    process::block_on(async {
        let mut client = args.change.server.client()?;
        let request = pb::RollbackTenantRequest {
            name: format!("tenants/{}", args.tenant),
            revision: args.to,
            validate_only: args.change.dry_run,
            reason: args.change.reason.clone(),
            canary: args.change.canary.plan()?,
            ..Default::default()
        };
        let response = roll_back(&mut client, request).await?;
        let made = Made::new(&args.tenant, response);
        let shown = std::slice::from_ref(&made);
        show(args.change.output, shown, args.change.dry_run)?;
        match args.change.wait(&mut client, &made).await? {
            None => Ok(()),
            Some((replica, violations)) => {
                note(&format!("{}: refused by {replica}", made.tenant));
                let said = violations.iter();
                let said = said.map(|found| format!("{}: {}", found.path, found.reason));
                Err(Failure::Invalid(said.collect()))
            }
        }
    })
}

/// Shows what `apply` or `rollback` would change, and changes nothing.
pub(crate) fn diff(args: DiffArgs) -> Result<(), Failure> {
    let documents = match args.file.as_slice() {
        [] => Vec::new(),
        files => documents::read(files)?,
    };
    process::block_on(async {
        let mut client = args.server.client()?;
        let made = match (&args.tenant, args.to) {
            (Some(tenant), Some(revision)) => {
                let request = pb::RollbackTenantRequest {
                    name: format!("tenants/{tenant}"),
                    revision,
                    validate_only: true,
                    ..Default::default()
                };
                vec![Made::new(tenant, roll_back(&mut client, request).await?)]
            }
            _ => check(&mut client, &documents).await?,
        };
        show(args.output, &made, true)?;
        if args.exit_code && made.iter().any(|made| made.response.changed) {
            return Err(Failure::Failed(anyhow!("there are differences")));
        }
        Ok(())
    })
}

/// What documents would change; of what is wrong with them, all.
async fn check(client: &mut Client, documents: &[Document]) -> Result<Vec<Made>, Failure> {
    let mut problems = Vec::new();
    let mut made = Vec::with_capacity(documents.len());
    for document in documents {
        let sent = Sending {
            validate_only: true,
            ..Sending::default()
        };
        match send(client, document, sent).await {
            Ok(response) => made.push(Made::new(&document.config.tenant, response)),
            Err(Failure::Invalid(found)) => problems.extend(found),
            Err(other) => return Err(other),
        }
    }
    if problems.is_empty() {
        Ok(made)
    } else {
        Err(Failure::Invalid(problems))
    }
}

async fn roll_back(
    client: &mut Client,
    request: pb::RollbackTenantRequest,
) -> Result<pb::ApplyTenantResponse, Failure> {
    let response = client.rollback_tenant(request).await;
    let pb::RollbackTenantResponse {
        revision,
        etag,
        changed,
        changes,
    } = response.map_err(|status| failure(&status))?.into_inner();
    Ok(pb::ApplyTenantResponse {
        revision,
        etag,
        changed,
        changes,
    })
}

/// What goes along with a document.
#[derive(Debug, Default)]
struct Sending {
    reason: String,
    canary: Option<pb::Canary>,
    validate_only: bool,
}

async fn send(
    client: &mut Client,
    document: &Document,
    sending: Sending,
) -> Result<pb::ApplyTenantResponse, Failure> {
    let request = pb::ApplyTenantRequest {
        name: format!("tenants/{}", document.config.tenant),
        document: Some(Sent::Yaml(document.text.clone())),
        validate_only: sending.validate_only,
        reason: sending.reason,
        canary: sending.canary,
        ..Default::default()
    };
    match client.apply_tenant(request).await {
        Ok(response) => Ok(response.into_inner()),
        Err(status) if status.code() == Code::InvalidArgument => Err(Failure::Invalid(
            document.locate(violations(&status).collect()),
        )),
        Err(status) => Err(failure(&status)),
    }
}

impl Made {
    fn new(tenant: &TenantId, response: pb::ApplyTenantResponse) -> Self {
        Self {
            tenant: tenant.clone(),
            response,
        }
    }

    fn text(&self, dry_run: bool) -> String {
        let (tenant, response) = (&self.tenant, &self.response);
        let revision = response.revision;
        let head = match (response.changed, dry_run) {
            (false, _) => format!("{tenant}: unchanged, revision {revision}"),
            (true, false) => format!("{tenant}: revision {revision}"),
            (true, true) if revision == 0 => format!("{tenant}: would be new"),
            (true, true) => format!("{tenant}: would change, from revision {revision}"),
        };
        changes::lines(&head, &response.changes)
    }

    fn record(&self) -> Value {
        json!({
            "tenant": self.tenant,
            "revision": self.response.revision,
            "changed": self.response.changed,
            "changes": changes::records(&self.response.changes),
        })
    }
}

fn show(output: OutputArgs, made: &[Made], dry_run: bool) -> anyhow::Result<()> {
    let records: Vec<_> = made.iter().map(Made::record).collect();
    let text = || made.iter().map(|made| made.text(dry_run)).collect();
    output.print_or(text, &records)
}

impl ChangeArgs {
    /// Waits until a change is in force; says who refused it, and why.
    async fn wait(
        &self,
        client: &mut Client,
        made: &Made,
    ) -> Result<Option<(String, Vec<gateway_core::config::Violation>)>, Failure> {
        if self.dry_run || self.no_wait {
            return Ok(None);
        }
        let (tenant, revision) = (made.tenant.as_str(), made.response.revision);
        let patience = self.timeout.as_duration();
        if let Some(plan) = self.canary.plan()? {
            let made_now = (revision, made.response.changed);
            let begun = rollout::begun(client, &made.tenant, made_now, plan.bake.is_some());
            let begun = tokio::time::timeout(patience, begun).await;
            let late = |_| {
                Failure::Failed(anyhow!(
                    "{tenant}: revision {revision} is kept; its first data planes have not taken it yet"
                ))
            };
            if !begun.map_err(late)?? {
                return Ok(None);
            }
        }
        match in_force::wait(client, tenant, revision, patience).await? {
            Fate::InForce(count) => {
                let planes = if count == 1 {
                    "data plane"
                } else {
                    "data planes"
                };
                note(&format!(
                    "{tenant}: revision {revision} is in force on {count} {planes}"
                ));
                Ok(None)
            }
            Fate::Refused {
                replica,
                violations,
            } => Ok(Some((replica, violations))),
            Fate::Superseded => Err(Failure::Failed(anyhow!(
                "{tenant}: another change came before revision {revision} was in force everywhere"
            ))),
        }
    }
}
