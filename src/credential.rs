//! `mcp-gateway credential`: what is stored for users to go along to servers.

mod value;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use gateway_core::config::{CredentialsMode, TenantConfig};
use gateway_core::plugin::CredentialStorage;
use gateway_core::{CallContext, CredentialKey, Deadline, RequestId, ServerName, UserId};
use serde_json::{Value, json};

use crate::config_edit::{ConfigArgs, EditedFile};
use crate::data_dir::{self, DataDirArgs};
use crate::desktop;
use crate::exit::{Failure, note, warn};
use crate::output::{OutputArgs, say};

/// How long the storage may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What no auth proxy says otherwise reads.
const USUAL_TYPE: &str = "bearer";

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Stores a value for a server, in an earlier one's place. It is asked for, or read from
    /// standard input; a running gateway uses it from the next request on.
    Set(SetArgs),
    /// Shows what is stored for a user, without the values.
    List(ListArgs),
    /// Deletes a value; a running gateway no longer uses it from the next request on.
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The server's name.
    server: ServerName,

    #[command(flatten)]
    kind: KindArgs,

    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Whose.
    #[arg(long, value_name = "USER", default_value = "desktop-user")]
    user: UserId,

    #[command(flatten)]
    place: PlaceArgs,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The server's name.
    server: ServerName,

    #[command(flatten)]
    kind: KindArgs,

    #[command(flatten)]
    place: PlaceArgs,
}

/// Which of a server's credentials.
#[derive(Debug, Args)]
struct KindArgs {
    /// Its type. Left out: the one that `plugins.auth_proxy` reads.
    #[arg(long = "type", value_name = "TYPE")]
    credential_type: Option<String>,

    /// Whose it is.
    #[arg(long, value_name = "USER", default_value = "desktop-user")]
    user: UserId,
}

/// Where the storage is described, and where its files are.
#[derive(Debug, Args)]
struct PlaceArgs {
    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    data_dir: DataDirArgs,
}

pub(crate) fn run(command: CredentialCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(async {
        match command {
            CredentialCommand::Set(args) => set(args).await,
            CredentialCommand::List(args) => list(args).await,
            CredentialCommand::Delete(args) => delete(args).await,
        }
    })
}

async fn set(args: SetArgs) -> Result<(), Failure> {
    let SetArgs {
        server,
        kind,
        place,
    } = args;
    let store = Store::open(place)?;
    if !store.file.config.servers.contains_key(&server) {
        return Err(Failure::invalid(format!(
            "{} has no server `{server}`: see `mcp-gateway server list`",
            store.file.path().display()
        )));
    }
    let key = kind.key(&server, &store.file.config)?;
    let value = value::read(&format!("{}: ", describe(&key)))?;
    let stored = store.storage.store(&store.context(), &key, value).await;
    stored.map_err(anyhow::Error::from)?;
    say(&format!("{} is stored", describe(&key)))?;
    warn_of_no_use(&store.file, &server);
    Ok(())
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let store = Store::open(args.place)?;
    let listed = store.storage.list(&store.context(), &args.user).await;
    let entries = listed.map_err(anyhow::Error::from)?;
    let rows: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({
                "server": entry.server,
                "type": entry.credential_type,
                "user": args.user.as_str(),
                "created_at": entry.created_at.map(|at| at.to_string()),
                "expires_at": entry.expires_at.map(|at| at.to_string()),
            })
        })
        .collect();
    args.output
        .print(&["server", "type", "user", "created_at"], &rows)?;
    Ok(())
}

async fn delete(args: DeleteArgs) -> Result<(), Failure> {
    let store = Store::open(args.place)?;
    let key = args.kind.key(&args.server, &store.file.config)?;
    let context = store.context();
    let listed = store.storage.list(&context, &key.user_id).await;
    let is_there = listed
        .map_err(anyhow::Error::from)?
        .iter()
        .any(|entry| entry.server == key.server && entry.credential_type == key.credential_type);
    if !is_there {
        return Err(Failure::invalid(format!(
            "{} is not stored: see `mcp-gateway credential list --user {}`",
            describe(&key),
            key.user_id
        )));
    }
    let deleted = store.storage.delete(&context, &key).await;
    deleted.map_err(anyhow::Error::from)?;
    say(&format!("{} is deleted", describe(&key)))?;
    Ok(())
}

impl KindArgs {
    fn key(self, server: &ServerName, config: &TenantConfig) -> Result<CredentialKey, Failure> {
        let credential_type = self.credential_type.unwrap_or_else(|| read_type(config));
        if credential_type.is_empty() {
            return Err(Failure::invalid("--type is empty"));
        }
        Ok(CredentialKey {
            user_id: self.user,
            server: server.to_string(),
            credential_type,
        })
    }
}

/// The configured storage, opened beside a gateway that may be running.
///
/// That needs neither the gateway nor the lock of the data directory. A storage that outlives a
/// process takes its own lock for a change, and a gateway looks at it again for every request. So
/// no endpoint of the gateway has to take or give secrets.
struct Store {
    file: EditedFile,
    storage: Arc<dyn CredentialStorage>,
}

impl Store {
    fn open(place: PlaceArgs) -> Result<Self, Failure> {
        let file = EditedFile::open(place.config.path())?;
        let plugins = &file.config.plugins;
        let configured = plugins.credential_storage.as_ref();
        let name = configured.map_or(Some("none"), |plugin| plugin.implementation.as_deref());
        if let Some(name @ ("none" | "memory")) = name {
            return Err(keeps_nothing(file.path(), name));
        }
        let data_dir = place.data_dir.path()?;
        data_dir::make(&data_dir)?;
        let permits = desktop::permits(true, &data_dir)?;
        let storage = permits
            .registry
            .build_credential_storage(&file.config.tenant, plugins, &permits)
            .map_err(|violations| {
                let shown = file.path().display();
                let lines = violations.iter();
                Failure::Invalid(
                    lines
                        .map(|v| format!("{shown}: {}: {}", v.path, v.reason))
                        .collect(),
                )
            })?;
        Ok(Self { file, storage })
    }

    fn context(&self) -> CallContext {
        let tenant = self.file.config.tenant.clone();
        CallContext::new(tenant, Deadline::after(PATIENCE), RequestId::new("command"))
    }
}

fn describe(key: &CredentialKey) -> String {
    format!(
        "the credential `{}` of {} for server `{}`",
        key.credential_type, key.user_id, key.server
    )
}

/// The type that goes along to servers.
fn read_type(config: &TenantConfig) -> String {
    let proxy = config.plugins.auth_proxy.as_ref();
    let named = proxy.and_then(|proxy| proxy.settings.as_map().get("credential_type")?.as_str());
    named.unwrap_or(USUAL_TYPE).to_owned()
}

fn keeps_nothing(path: &Path, name: &str) -> Failure {
    let why = match name {
        "none" => "which stores nothing",
        _ => "which is in the gateway's memory, where no command reaches it",
    };
    Failure::invalid(format!(
        "{}: plugins.credential_storage is `{name}`, {why}. Put there:\n\n\
         plugins:\n  \
           credential_storage: {{ provider: in-memory, implementation: encrypted-file }}\n  \
           auth_proxy: {{ provider: in-memory, implementation: bearer }}",
        path.display()
    ))
}

/// A credential that is stored and never sent is a riddle to its user.
fn warn_of_no_use(file: &EditedFile, server: &ServerName) {
    let config = &file.config;
    let mode = config.servers.get(server).map(|server| server.credentials);
    if mode == Some(CredentialsMode::None) {
        warn(&format!(
            "server `{server}` has `credentials: none`, so nothing goes along: make it `optional` or `required` in {}",
            file.path().display()
        ));
    }
    let proxy = config.plugins.auth_proxy.as_ref();
    if proxy.is_none_or(|proxy| proxy.implementation.as_deref() == Some("none")) {
        warn("no auth proxy is configured, so nothing goes along: add");
        note("plugins:\n  auth_proxy: { provider: in-memory, implementation: bearer }");
    }
}
