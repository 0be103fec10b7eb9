//! `mcp-gateway api-key`: the keys by which `api-key` lets users in, of gateway.yaml or of a tenant
//! of a control plane.

use clap::{Args, Subcommand};
use gateway_core::config::PluginConfig;
use gateway_core::{ExposeSecret as _, TenantId, UserId};
use gateway_plugins::new_key;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use crate::admin::{ServerArgs, TenantEdit};
use crate::config_edit::{ConfigArgs, Edited, EditedFile};
use crate::exit::{Failure, note};
use crate::output::{OutputArgs, say};

const IMPLEMENTATION: &str = "api-key";

/// What a desktop has that asks nobody who they are.
const ASKS_NOBODY: &str = "desktop-implicit";

#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeyCommand {
    /// Makes a key and prints it, this once. The configuration keeps its hash.
    Create(CreateArgs),
    /// Shows the keys, without what makes them keys.
    List(ListArgs),
    /// Takes a key out of the configuration; a running gateway refuses it within a second.
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The key's own name: lower-case letters, digits, hyphens.
    id: String,

    /// Whose it is.
    #[arg(long, value_name = "USER", default_value = "desktop-user")]
    user: UserId,

    /// A role for the policy; may be given several times.
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,

    /// A group for the policy; may be given several times.
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,

    /// When it ends: after a time such as 90d or 12h, or on a date such as 2027-01-31.
    #[arg(long, value_name = "WHEN", value_parser = end)]
    expires: Option<Timestamp>,

    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The key's name.
    id: String,

    #[command(flatten)]
    place: PlaceArgs,
}

/// Whose keys.
#[derive(Debug, Args)]
struct PlaceArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// A tenant of a control plane, of which a change makes a revision. Left out: gateway.yaml.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,

    #[command(flatten)]
    server: ServerArgs,
}

/// A configuration with keys.
enum Place {
    File(EditedFile),
    Tenant(TenantEdit),
}

impl PlaceArgs {
    fn open(self) -> Result<Place, Failure> {
        Ok(match self.tenant {
            None => Place::File(EditedFile::open(self.config.path())?),
            Some(tenant) => Place::Tenant(TenantEdit::open(self.server, &tenant)?),
        })
    }
}

impl Place {
    fn edited(&mut self) -> &mut Edited {
        match self {
            Self::File(file) => file,
            Self::Tenant(tenant) => tenant.edited(),
        }
    }

    /// Keeps the edits, for a reason that a tenant's history shows.
    fn save(&mut self, reason: &str) -> Result<(), Failure> {
        match self {
            Self::File(file) => file.save(),
            Self::Tenant(tenant) => tenant.save(reason),
        }
    }
}

/// A key as the settings of `api-key` have it.
#[derive(Debug, Serialize)]
struct KeyEntry<'a> {
    id: &'a str,
    hash: String,
    user_id: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    roles: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
}

pub(crate) fn run(command: ApiKeyCommand) -> Result<(), Failure> {
    match command {
        ApiKeyCommand::Create(args) => create(args),
        ApiKeyCommand::List(args) => list(args),
        ApiKeyCommand::Revoke(args) => revoke(&args.id, args.place),
    }
}

fn create(args: CreateArgs) -> Result<(), Failure> {
    let key = new_key(&args.id).map_err(|error| Failure::invalid(error.to_string()))?;
    let entry = KeyEntry {
        id: &args.id,
        hash: key.hash,
        user_id: args.user.as_str(),
        roles: &args.role,
        groups: &args.group,
        expires_at: args.expires,
    };
    let mut place = args.place.open()?;
    let edited = place.edited();
    if keys_of(edited)?
        .iter()
        .any(|key| key["id"] == args.id.as_str())
    {
        return Err(Failure::invalid(format!(
            "{} has a key `{}` already: revoke it first, or choose another name",
            edited.shown(),
            args.id
        )));
    }
    let has_list = provider(edited).is_some_and(|p| p.settings.as_map().contains_key("keys"));
    if has_list {
        edited.push_setting("auth_provider", "keys", &entry)?;
    } else {
        let plugin = json!({
            "provider": "in-memory",
            "implementation": IMPLEMENTATION,
            "settings": { "keys": [entry] },
        });
        edited.set("plugins", "auth_provider", &plugin)?;
        note("From now on clients need a key, in the header X-API-Key or as a bearer token.");
    }
    let shown = edited.shown().to_owned();
    place.save(&format!("api-key create {}", args.id))?;
    say(key.text.expose_secret())?;
    note(&format!(
        "This is the key `{}` of {}. It is shown this once: {shown} keeps its hash only.",
        args.id, args.user,
    ));
    Ok(())
}

fn list(args: ListArgs) -> Result<(), Failure> {
    let mut keys = keys_of(args.place.open()?.edited())?;
    for key in &mut keys {
        let key = key.as_object_mut();
        key.and_then(|key| key.remove("hash"));
    }
    let columns = ["id", "user_id", "roles", "groups", "expires_at"];
    args.output.print(&columns, &keys)?;
    Ok(())
}

fn revoke(id: &str, place: PlaceArgs) -> Result<(), Failure> {
    let mut place = place.open()?;
    let edited = place.edited();
    let keys = keys_of(edited)?;
    let Some(index) = keys.iter().position(|key| key["id"] == id) else {
        let shown = edited.shown();
        return Err(Failure::invalid(format!("{shown} has no key `{id}`")));
    };
    edited.remove_setting("auth_provider", "keys", index)?;
    place.save(&format!("api-key revoke {id}"))?;
    say(&format!("the key `{id}` is revoked"))?;
    Ok(())
}

/// The provider, if it is the one that has keys.
fn provider(edited: &Edited) -> Option<&PluginConfig> {
    let provider = edited.config.plugins.auth_provider.as_ref()?;
    (provider.implementation.as_deref() == Some(IMPLEMENTATION)).then_some(provider)
}

/// The keys that are there. Where another provider lets users in, keys would not be looked at.
fn keys_of(edited: &Edited) -> Result<Vec<Value>, Failure> {
    if let Some(provider) = provider(edited) {
        let keys = provider.settings.as_map().get("keys");
        return Ok(keys.and_then(Value::as_array).cloned().unwrap_or_default());
    }
    match &edited.config.plugins.auth_provider {
        Some(other) if other.implementation.as_deref() != Some(ASKS_NOBODY) => {
            Err(Failure::invalid(format!(
                "{}: plugins.auth_provider is `{}`, which has no keys",
                edited.shown(),
                other.implementation.as_deref().unwrap_or("mcp")
            )))
        }
        _ => Ok(Vec::new()),
    }
}

/// When something ends: after a time from now, or on a date.
pub(crate) fn end(text: &str) -> Result<Timestamp, String> {
    let form =
        |_| format!("`{text}` is neither a time such as 90d or 12h nor a date such as 2027-01-31");
    let end = if let Ok(date) = text.parse::<Date>() {
        date.to_zoned(TimeZone::UTC).map_err(form)?.timestamp()
    } else {
        let span: Span = text.parse().map_err(form)?;
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        now.checked_add(span).map_err(form)?.timestamp()
    };
    if end <= Timestamp::now() {
        return Err(format!("`{text}` is past already"));
    }
    // Whole seconds are enough, and easier to read.
    Timestamp::from_second(end.as_second()).map_err(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_from_now_or_a_date() {
        let days = |text: &str| {
            let left = end(text).unwrap().as_second() - Timestamp::now().as_second();
            (left + 43_200) / 86_400
        };
        assert_eq!(days("90d"), 90);
        assert_eq!(days("2w"), 14);
        assert_eq!(
            end("2100-01-31").unwrap().to_string(),
            "2100-01-31T00:00:00Z"
        );
        for text in ["", "soon", "90", "-1d", "2020-01-01"] {
            assert!(end(text).is_err(), "{text}");
        }
    }
}
