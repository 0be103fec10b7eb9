//! `mcp-gateway get`, `history`, `delete` and `status`: what a control plane has.

use clap::Args;
use gateway_core::TenantId;
use gateway_core::config::TenantConfig;
use gateway_proto::admin::v1 as pb;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs, failure};
use super::in_force::replicas;
use crate::exit::Failure;
use crate::output::{OutputArgs, raw, say};
use crate::process;

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The tenant. Left out: all of them.
    tenant: Option<TenantId>,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The tenant; one that was deleted has its history still.
    tenant: TenantId,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The tenant.
    tenant: TenantId,

    /// Why, for the audit trail.
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

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    server: ServerArgs,
}

/// Prints tenants. As YAML it is their documents as they were submitted, which can be applied.
pub(crate) fn get(args: GetArgs) -> Result<(), Failure> {
    process::block_on(async {
        let mut client = args.server.client()?;
        let whole = args.output.is_yaml();
        let tenants = match &args.tenant {
            Some(tenant) => vec![fetch(&mut client, &format!("tenants/{tenant}")).await?],
            None => {
                let mut tenants = list(&mut client).await?;
                if whole {
                    for tenant in &mut tenants {
                        *tenant = fetch(&mut client, &tenant.name).await?;
                    }
                }
                tenants
            }
        };
        if whole {
            let documents = tenants.iter().map(|tenant| tenant.submitted.trim_end());
            let documents: Vec<_> = documents.map(|text| format!("{text}\n")).collect();
            raw(&documents.join("---\n"))?;
            return Ok(());
        }
        let records: Vec<_> = tenants.into_iter().map(tenant_record).collect();
        let columns = ["tenant", "revision", "author", "updated"];
        args.output.print(&columns, &records)?;
        Ok(())
    })
}

pub(crate) fn history(args: HistoryArgs) -> Result<(), Failure> {
    process::block_on(async {
        let mut client = args.server.client()?;
        let mut request = pb::ListRevisionsRequest {
            parent: format!("tenants/{}", args.tenant),
            ..Default::default()
        };
        let mut records = Vec::new();
        loop {
            let page = client.list_revisions(request.clone()).await;
            let page = page.map_err(|status| failure(&status))?.into_inner();
            records.extend(page.revisions.into_iter().map(revision_record));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        let columns = ["revision", "created", "author", "reason", "summary"];
        args.output.print(&columns, &records)?;
        Ok(())
    })
}

pub(crate) fn delete(args: DeleteArgs) -> Result<(), Failure> {
    process::block_on(async {
        let request = pb::DeleteTenantRequest {
            name: format!("tenants/{}", args.tenant),
            reason: args.reason,
            ..Default::default()
        };
        let deleted = args.server.client()?.delete_tenant(request).await;
        deleted.map_err(|status| failure(&status))?;
        say(&format!("{}: deleted", args.tenant))?;
        Ok(())
    })
}

/// Prints where each data plane is with each tenant.
pub(crate) fn status(args: StatusArgs) -> Result<(), Failure> {
    process::block_on(async {
        let found = replicas(&mut args.server.client()?, "").await?;
        let mut records = Vec::new();
        for replica in found {
            if replica.tenants.is_empty() {
                records.push(replica_record(&replica, None));
            }
            let tenants = replica.tenants.iter();
            records.extend(tenants.map(|at| replica_record(&replica, Some(at))));
        }
        let columns = [
            "replica",
            "control_plane",
            "version",
            "tenant",
            "desired",
            "delivered",
            "in_force",
            "state",
        ];
        args.output.print(&columns, &records)?;
        Ok(())
    })
}

fn replica_record(replica: &pb::Replica, at: Option<&pb::ReplicaTenant>) -> Value {
    json!({
        "replica": replica.name.trim_start_matches("replicas/"),
        "control_plane": replica.control_plane,
        "version": replica.version,
        "advertise": Some(&replica.advertise).filter(|address| !address.is_empty()),
        "connected": time(replica.connect_time),
        "tenant": at.map(|at| at.tenant.trim_start_matches("tenants/")),
        "desired": at.map(|at| number(at.desired_revision)),
        "delivered": at.map(|at| number(at.delivered_revision)),
        "in_force": at.map(|at| number(at.in_force_revision)),
        "state": at.map_or_else(|| "no tenants".to_owned(), state),
    })
}

fn state(at: &pb::ReplicaTenant) -> String {
    if at.refused_revision > 0 {
        let reasons = at.violations.iter();
        let reasons = reasons.map(|found| format!("{}: {}", found.path, found.reason));
        let reasons = reasons.collect::<Vec<_>>().join("; ");
        return format!("refused revision {}: {reasons}", at.refused_revision);
    }
    if at.desired_revision == at.in_force_revision {
        "in force".to_owned()
    } else {
        "waiting".to_owned()
    }
}

async fn fetch(client: &mut Client, name: &str) -> Result<pb::Tenant, Failure> {
    let request = pb::GetTenantRequest {
        name: name.to_owned(),
    };
    let found = client.get_tenant(request).await;
    Ok(found.map_err(|status| failure(&status))?.into_inner())
}

async fn list(client: &mut Client) -> Result<Vec<pb::Tenant>, Failure> {
    let mut request = pb::ListTenantsRequest {
        page_size: 1000,
        ..Default::default()
    };
    let mut all = Vec::new();
    loop {
        let page = client.list_tenants(request.clone()).await;
        let page = page.map_err(|status| failure(&status))?.into_inner();
        all.extend(page.tenants);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

fn tenant_record(tenant: pb::Tenant) -> Value {
    // Only of a tenant that was asked for by name.
    let config = tenant.config.map(TenantConfig::try_from);
    let config = config.and_then(Result::ok);
    let mut record = json!({
        "tenant": tenant.name.trim_start_matches("tenants/"),
        "revision": tenant.revision,
        "etag": tenant.etag,
        "author": tenant.author,
        "updated": time(tenant.update_time),
    });
    if let (Some(config), Some(fields)) = (config, record.as_object_mut()) {
        fields.insert("config".to_owned(), json!(config));
    }
    record
}

fn revision_record(revision: pb::Revision) -> Value {
    json!({
        "revision": revision.revision,
        "created": time(revision.create_time),
        "author": revision.author,
        "reason": revision.reason,
        "summary": revision.summary,
    })
}

/// To the second, as people read it.
fn time(at: Option<prost_types::Timestamp>) -> Option<String> {
    let at = Timestamp::from_second(at?.seconds).ok()?;
    Some(at.to_string())
}

/// A revision; null for 0, which stands for none.
fn number(revision: u64) -> Value {
    match revision {
        0 => Value::Null,
        revision => revision.into(),
    }
}
