//! `mcp-gateway host`: the host names that stand for tenants.

use clap::{Args, Subcommand};
use gateway_core::{HostName, TenantId};
use gateway_proto::admin::v1 as pb;
use serde_json::{Value, json};

use super::client::{ServerArgs, failure};
use crate::exit::Failure;
use crate::output::{OutputArgs, say};
use crate::process;

#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
    /// Gives a host name to a tenant. Where data planes are reached by it, /mcp is that tenant's, and
    /// the paths of other tenants are refused.
    Add(AddHostArgs),
    /// Shows the host names that stand for tenants.
    List(ListHostsArgs),
    /// Takes a host name away from its tenant, which may have been deleted.
    Remove(RemoveHostArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddHostArgs {
    /// A DNS name in lower case, without a port, such as acme.example.
    host: HostName,

    /// The tenant that it stands for, which may be made later.
    #[arg(long, value_name = "TENANT")]
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
pub(crate) struct ListHostsArgs {
    /// Those of this tenant only.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveHostArgs {
    /// The host name.
    host: HostName,

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

pub(crate) fn host(command: HostCommand) -> Result<(), Failure> {
    process::block_on(async {
        match command {
            HostCommand::Add(args) => add(args).await,
            HostCommand::List(args) => list(args).await,
            HostCommand::Remove(args) => remove(args).await,
        }
    })
}

async fn add(args: AddHostArgs) -> Result<(), Failure> {
    let AddHostArgs {
        host,
        tenant,
        reason,
        server,
    } = args;
    let request = pb::CreateHostRequest {
        host_id: host.to_string(),
        host: Some(pb::Host {
            tenant: format!("tenants/{tenant}"),
            ..Default::default()
        }),
        reason,
    };
    let made = server.hosts()?.create_host(request).await;
    made.map_err(|status| failure(&status))?;
    say(&format!("{host} stands for the tenant `{tenant}`"))?;
    Ok(())
}

async fn list(args: ListHostsArgs) -> Result<(), Failure> {
    let mut client = args.server.hosts()?;
    let tenant = args.tenant.map(|tenant| format!("tenants/{tenant}"));
    let mut request = pb::ListHostsRequest {
        tenant: tenant.unwrap_or_default(),
        page_size: 1000,
        page_token: String::new(),
    };
    let mut records = Vec::new();
    loop {
        let page = client.list_hosts(request.clone()).await;
        let page = page.map_err(|status| failure(&status))?.into_inner();
        records.extend(page.hosts.into_iter().map(record));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let columns = ["host", "tenant", "created", "author"];
    args.output.print(&columns, &records)?;
    Ok(())
}

async fn remove(args: RemoveHostArgs) -> Result<(), Failure> {
    let RemoveHostArgs {
        host,
        reason,
        server,
    } = args;
    let request = pb::DeleteHostRequest {
        name: format!("hosts/{host}"),
        reason,
    };
    let removed = server.hosts()?.delete_host(request).await;
    removed.map_err(|status| failure(&status))?;
    say(&format!("{host} stands for no tenant"))?;
    Ok(())
}

fn record(host: pb::Host) -> Value {
    json!({
        "host": host.name.trim_start_matches("hosts/"),
        "tenant": host.tenant.trim_start_matches("tenants/"),
        "created": super::token::time(host.create_time).map(super::token::shown),
        "author": host.author,
    })
}
