//! `mcp-gateway token`: the tokens by which a control plane lets administrators, tenants and data
//! planes in.

use clap::{Args, Subcommand, ValueEnum};
use gateway_core::{TenantId, TokenName};
use gateway_proto::admin::v1 as pb;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::{ServerArgs, failure};
use crate::api_key::end;
use crate::exit::{Failure, note};
use crate::output::{OutputArgs, say};
use crate::process;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token and prints it, this once. The control plane keeps its hash.
    Create(CreateTokenArgs),
    /// Shows the tokens, without their secrets; those that have ended too.
    List(ListTokensArgs),
    /// Ends a token for good. Its next call is refused, and a data plane that joined with it cut off
    /// within 5 seconds; that one goes on serving what it has.
    Revoke(RevokeTokenArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateTokenArgs {
    /// Its name, which no token has had before: lower-case letters, digits, hyphens.
    name: TokenName,

    /// What its holder may do.
    #[arg(long, value_enum, value_name = "ROLE")]
    role: RoleName,

    /// The tenant of a tenant's role. With the role join, the tenants that the data plane serves and
    /// is told of, given several times; left out: all.
    #[arg(long, value_name = "TENANT")]
    tenant: Vec<TenantId>,

    /// When it ends: after a time such as 30d or 12h, or on a date such as 2027-01-31. Left out:
    /// when it is revoked.
    #[arg(long, value_name = "WHEN", value_parser = end)]
    expires: Option<Timestamp>,

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

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    /// Everything, with every tenant.
    Administrator,
    /// To see and to change one tenant and its tokens.
    TenantAdministrator,
    /// To see one tenant and its tokens.
    TenantViewer,
    /// To be a data plane, for all tenants or some.
    Join,
}

#[derive(Debug, Args)]
pub(crate) struct ListTokensArgs {
    /// Those of this tenant only.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeTokenArgs {
    /// Its name.
    name: TokenName,

    /// The tenant that it is of.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,

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

pub(crate) fn token(command: TokenCommand) -> Result<(), Failure> {
    process::block_on(async {
        match command {
            TokenCommand::Create(args) => create(args).await,
            TokenCommand::List(args) => list(args).await,
            TokenCommand::Revoke(args) => revoke(args).await,
        }
    })
}

async fn create(args: CreateTokenArgs) -> Result<(), Failure> {
    let role = match args.role {
        RoleName::Administrator => pb::Role::Administrator,
        RoleName::TenantAdministrator => pb::Role::TenantAdministrator,
        RoleName::TenantViewer => pb::Role::TenantViewer,
        RoleName::Join => pb::Role::Join,
    };
    // In the words of the flags, where the control plane would say `parent`.
    let (parent_tenant, limited_to) = match (role, args.tenant.as_slice()) {
        (pb::Role::Join, tenants) => (None, tenants),
        (pb::Role::Administrator, []) => (None, &[][..]),
        (pb::Role::Administrator, _) => {
            return Err(Failure::invalid(
                "--tenant is for a tenant's roles, and for join",
            ));
        }
        (_, [tenant]) => (Some(tenant), &[][..]),
        (_, []) => return Err(Failure::invalid("--tenant is missing for this role")),
        (_, [_, _, ..]) => {
            return Err(Failure::invalid("a tenant's role is of one --tenant only"));
        }
    };
    let expire_time = args.expires.map(|end| prost_types::Timestamp {
        seconds: end.as_second(),
        nanos: end.subsec_nanosecond(),
    });
    let request = pb::CreateTokenRequest {
        parent: parent(parent_tenant),
        token_id: args.name.to_string(),
        token: Some(pb::Token {
            role: role.into(),
            expire_time,
            tenants: limited_to.iter().map(resource_name).collect(),
            ..Default::default()
        }),
        reason: args.reason,
    };
    let made = args.server.tokens()?.create_token(request).await;
    let made = made.map_err(|status| failure(&status))?.into_inner();
    say(&made.secret)?;
    note(&format!(
        "This is the token `{}`. It is shown this once: the control plane keeps its hash only.",
        args.name
    ));
    Ok(())
}

async fn list(args: ListTokensArgs) -> Result<(), Failure> {
    let mut client = args.server.tokens()?;
    let mut request = pb::ListTokensRequest {
        parent: parent(args.tenant.as_ref()),
        page_size: 1000,
        page_token: String::new(),
    };
    let mut records = Vec::new();
    loop {
        let page = client.list_tokens(request.clone()).await;
        let page = page.map_err(|status| failure(&status))?.into_inner();
        records.extend(page.tokens.into_iter().map(record));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let columns = [
        "name", "tenants", "role", "created", "author", "expires", "state",
    ];
    args.output.print(&columns, &records)?;
    Ok(())
}

async fn revoke(args: RevokeTokenArgs) -> Result<(), Failure> {
    let name = match &args.tenant {
        Some(tenant) => format!("tenants/{tenant}/tokens/{}", args.name),
        None => format!("tokens/{}", args.name),
    };
    let request = pb::RevokeTokenRequest {
        name,
        reason: args.reason,
    };
    let revoked = args.server.tokens()?.revoke_token(request).await;
    revoked.map_err(|status| failure(&status))?;
    say(&format!("the token `{}` is revoked", args.name))?;
    Ok(())
}

fn parent(tenant: Option<&TenantId>) -> String {
    tenant.map(resource_name).unwrap_or_default()
}

fn resource_name(tenant: &TenantId) -> String {
    format!("tenants/{tenant}")
}

fn record(token: pb::Token) -> Value {
    let role = match token.role() {
        pb::Role::Administrator => "administrator",
        pb::Role::TenantAdministrator => "tenant-administrator",
        pb::Role::TenantViewer => "tenant-viewer",
        pb::Role::Join => "join",
        // Of a later version.
        pb::Role::Unspecified => "unknown",
    };
    let (tenant, name) = match token.name.split_once("/tokens/") {
        Some((tenant, name)) => (Some(tenant.trim_start_matches("tenants/")), name),
        None => (None, token.name.trim_start_matches("tokens/")),
    };
    let limited_to = token.tenants.iter();
    let limited_to = limited_to.map(|name| name.trim_start_matches("tenants/"));
    let tenants: Vec<_> = tenant.into_iter().chain(limited_to).collect();
    let expires = time(token.expire_time);
    let state = if token.revoke_time.is_some() {
        "revoked"
    } else if expires.is_some_and(|end| end <= Timestamp::now()) {
        "expired"
    } else {
        "valid"
    };
    json!({
        "name": name,
        "tenant": tenant,
        "tenants": tenants,
        "role": role,
        "created": time(token.create_time).map(shown),
        "author": token.author,
        "expires": expires.map(shown),
        "revoked": time(token.revoke_time).map(shown),
        "state": state,
    })
}

pub(super) fn time(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    let at = at?;
    Timestamp::new(at.seconds, at.nanos).ok()
}

/// To the second, as people read it.
pub(super) fn shown(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).map_or_else(|_| at.to_string(), |at| at.to_string())
}
