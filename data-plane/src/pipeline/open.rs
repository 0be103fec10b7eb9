//! How a client opens: `initialize`, `server/discover`, `ping`. The gateway answers these itself.

use futures_util::future::join_all;
use gateway_core::ServerName;
use gateway_mcp::author;
use gateway_mcp::client::ServerHello;
use gateway_mcp::json::{Fields, Text};
use gateway_mcp::place::Step::Field;
use gateway_mcp::place::find;
use gateway_mcp::version::{Era, Version};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::Reply;
use super::authenticate::Authenticated;
use super::inject::context_for;
use crate::Gateway;
use crate::error::{Failure, Reason};
use crate::request::ClientRequest;
use crate::session::Callbacks;
use crate::upstream::CacheHints;

/// What results to modern clients carry in `_meta`.
pub(super) const SERVER_META: &str = concat!(
    r#"{"io.modelcontextprotocol/serverInfo":{"name":"mcp-gateway","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}}"#
);

/// The parameters of `initialize` that the gateway reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InitializeParams<'a> {
    protocol_version: String,
    #[serde(borrow)]
    capabilities: &'a RawValue,
}

/// What an endpoint says of itself.
struct Introduction {
    server_info: serde_json::Value,
    capabilities: serde_json::Value,
    instructions: Option<String>,
    hints: CacheHints,
}

/// Opens a session for the caller.
pub(super) async fn initialize(
    gateway: &Gateway,
    caller: &Authenticated,
    request: &ClientRequest,
) -> Result<Reply, Failure> {
    let params = request.message.params().unwrap_or("{}");
    let params: InitializeParams<'_> = serde_json::from_str(params).map_err(|error| {
        Failure::new(
            Reason::InvalidParams,
            format!("params of initialize: {error}"),
        )
    })?;
    let version = Version::negotiate_legacy(&params.protocol_version);
    let callbacks = Callbacks::of(params.capabilities.get(), version);
    let (tenant, user) = (&request.endpoint.tenant, caller.principal.user_id.clone());
    let begun = gateway.sessions.begin(tenant, user, version, callbacks);
    let Some((_, session_id)) = begun else {
        return Err(Failure::new(Reason::Internal, "no session could be opened"));
    };
    let own = introduce(caller, request).await;
    let mut result = json!({
        "protocolVersion": version.as_str(),
        "capabilities": own.capabilities,
        "serverInfo": own.server_info,
    });
    if let (Some(text), Some(fields)) = (own.instructions, result.as_object_mut()) {
        fields.insert("instructions".to_owned(), text.into());
    }
    let id = request.message.id().unwrap_or("null");
    let body = author::result(id, &result.to_string()).into_bytes();
    Ok(Reply::Opened { body, session_id })
}

/// Says which versions are served and what the endpoint offers.
pub(super) async fn discover(caller: &Authenticated, request: &ClientRequest) -> Reply {
    let own = introduce(caller, request).await;
    let versions: Vec<_> = Version::SERVED
        .iter()
        .map(|version| version.as_str())
        .collect();
    let mut result = json!({
        "resultType": "complete",
        "supportedVersions": versions,
        "capabilities": own.capabilities,
        "ttlMs": own.hints.ttl_ms(),
        "cacheScope": own.hints.scope(),
        "_meta": { "io.modelcontextprotocol/serverInfo": own.server_info },
    });
    if let (Some(text), Some(fields)) = (own.instructions, result.as_object_mut()) {
        fields.insert("instructions".to_owned(), text.into());
    }
    let id = request.message.id().unwrap_or("null");
    Reply::Whole(author::result(id, &result.to_string()).into_bytes())
}

/// The level that a client sets, as raw JSON.
pub(super) fn level_of(request: &ClientRequest) -> Result<String, Failure> {
    const LEVELS: [&str; 8] = [
        "debug",
        "info",
        "notice",
        "warning",
        "error",
        "critical",
        "alert",
        "emergency",
    ];
    let bytes = request.message.bytes();
    let place = find(bytes, 0..bytes.len(), &[Field("params"), Field("level")]).pop();
    let level = place.and_then(|range| Text::read(bytes, range));
    let level = level.as_ref().map_or("", |level| level.as_str(bytes));
    if LEVELS.contains(&level) {
        return Ok(format!("\"{level}\""));
    }
    let message = format!("params.level must be one of {}", LEVELS.join(", "));
    Err(Failure::new(Reason::InvalidParams, message))
}

/// The empty answer, to `ping` and what else only has to be acknowledged.
pub(super) fn pong(request: &ClientRequest) -> Reply {
    let id = request.message.id().unwrap_or("null");
    Reply::Whole(author::result(id, "{}").into_bytes())
}

/// An endpoint that shows one server speaks as that server does; one that shows several speaks
/// for itself, with what its servers have in common with what the gateway carries.
async fn introduce(caller: &Authenticated, request: &ClientRequest) -> Introduction {
    let era = request.dialect.era();
    let patience = caller.limits.list_patience;
    let asked = caller.view.servers().iter().map(|server| async move {
        let said = match context_for(caller, server, request).await {
            Ok(context) => server.introduction(&context, patience).await,
            Err(_) => None,
        };
        (server, said)
    });
    let said = join_all(asked).await;
    let hints = said.iter().map(|(server, said)| match said {
        Some((_, hints)) => *hints,
        None => server.hints_while_missing(),
    });
    let hints = hints.reduce(CacheHints::and).unwrap_or(CacheHints::UNSAID);
    let known: Vec<_> = said
        .into_iter()
        .map(|(server, said)| (server.name(), said.map(|(hello, _)| hello)))
        .collect();
    let own = json!({ "name": "mcp-gateway", "version": env!("CARGO_PKG_VERSION") });
    if let [(_, Some(hello))] = known.as_slice() {
        let info = hello.server_info.as_deref();
        return Introduction {
            server_info: info
                .and_then(|info| serde_json::from_str(info.get()).ok())
                .unwrap_or(own),
            capabilities: capabilities(&known, era),
            instructions: hello.instructions.clone(),
            hints,
        };
    }
    Introduction {
        server_info: own,
        capabilities: capabilities(&known, era),
        instructions: instructions(&known),
        hints,
    }
}

type Introduced<'a> = (&'a ServerName, Option<ServerHello>);

/// What clients may ask this endpoint for. While a server is not there, what it can do is not
/// known, so nothing is ruled out.
fn capabilities(known: &[Introduced<'_>], era: Era) -> serde_json::Value {
    let has = |key: &str| {
        known.iter().any(|(_, hello)| match hello {
            Some(hello) => declares(hello.capabilities.get(), key),
            None => true,
        })
    };
    let mut own = serde_json::Map::new();
    for key in ["tools", "prompts", "resources"]
        .into_iter()
        .filter(|key| has(key))
    {
        own.insert(key.to_owned(), json!({ "listChanged": true }));
    }
    if has("completions") {
        own.insert("completions".to_owned(), json!({}));
    }
    if let Some(resources) = own.get_mut("resources").and_then(|r| r.as_object_mut()) {
        resources.insert("subscribe".to_owned(), true.into());
    }
    if era == Era::Legacy && has("logging") {
        own.insert("logging".to_owned(), json!({}));
    }
    let extensions = extensions(known, era);
    if !extensions.is_empty() {
        own.insert("extensions".to_owned(), extensions.into());
    }
    own.into()
}

/// The extensions of servers of the client's own era. Of one server all of them; of several those
/// whose names and ids the gateway knows how to tell apart.
fn extensions(known: &[Introduced<'_>], era: Era) -> serde_json::Map<String, serde_json::Value> {
    const CARRIED: [&str; 2] = [
        "io.modelcontextprotocol/tasks",
        "io.modelcontextprotocol/ui",
    ];
    let mut all = serde_json::Map::new();
    for hello in known
        .iter()
        .filter_map(|(_, hello)| hello.as_ref())
        .filter(|h| h.era == era)
    {
        let Ok(declared) = serde_json::from_str::<serde_json::Value>(hello.capabilities.get())
        else {
            continue;
        };
        let extensions = declared
            .get("extensions")
            .and_then(|value| value.as_object());
        for (name, settings) in extensions.into_iter().flatten() {
            if known.len() == 1 || CARRIED.contains(&name.as_str()) {
                all.entry(name).or_insert_with(|| settings.clone());
            }
        }
    }
    all
}

fn declares(capabilities: &str, key: &str) -> bool {
    let bytes = capabilities.as_bytes();
    Fields::scan(bytes, 0..bytes.len()).is_ok_and(|fields| fields.get(key).is_some())
}

/// The servers' instructions, each under its server's name.
fn instructions(known: &[Introduced<'_>]) -> Option<String> {
    let sections = known.iter().filter_map(|(name, hello)| {
        let text = hello.as_ref()?.instructions.as_deref()?.trim();
        (!text.is_empty()).then(|| format!("## {name}\n\n{text}"))
    });
    let text = sections.collect::<Vec<_>>().join("\n\n");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meta_of_results_is_json() {
        let meta: serde_json::Value = serde_json::from_str(SERVER_META).unwrap();
        assert_eq!(
            meta["io.modelcontextprotocol/serverInfo"]["name"],
            "mcp-gateway"
        );
    }
}
