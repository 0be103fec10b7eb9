//! How a client opens: `initialize`, `server/discover`, `ping`. The gateway answers these itself.

use gateway_mcp::author;
use gateway_mcp::json::Fields;
use gateway_mcp::version::Version;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::Reply;
use super::authenticate::Authenticated;
use crate::Gateway;
use crate::error::{Failure, Reason};
use crate::request::ClientRequest;
use crate::session::Callbacks;

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
}

/// Opens a session for the caller.
pub(super) fn initialize(
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
    let callbacks = callbacks_of(params.capabilities.get());
    let (tenant, user) = (&request.endpoint.tenant, caller.principal.user_id.clone());
    let begun = gateway.sessions.begin(tenant, user, version, callbacks);
    let Some((_, session_id)) = begun else {
        return Err(Failure::new(Reason::Internal, "no session could be opened"));
    };
    let own = introduce(caller, request);
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
pub(super) fn discover(caller: &Authenticated, request: &ClientRequest) -> Reply {
    let own = introduce(caller, request);
    let versions: Vec<_> = Version::SERVED
        .iter()
        .map(|version| version.as_str())
        .collect();
    let mut result = json!({
        "resultType": "complete",
        "supportedVersions": versions,
        "capabilities": own.capabilities,
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": { "io.modelcontextprotocol/serverInfo": own.server_info },
    });
    if let (Some(text), Some(fields)) = (own.instructions, result.as_object_mut()) {
        fields.insert("instructions".to_owned(), text.into());
    }
    let id = request.message.id().unwrap_or("null");
    Reply::Whole(author::result(id, &result.to_string()).into_bytes())
}

/// The answer to `ping`.
pub(super) fn pong(request: &ClientRequest) -> Reply {
    let id = request.message.id().unwrap_or("null");
    Reply::Whole(author::result(id, "{}").into_bytes())
}

/// An endpoint that shows one server speaks as that server does, as far as it is known; one that
/// shows several speaks for itself.
fn introduce(caller: &Authenticated, request: &ClientRequest) -> Introduction {
    let view = &request.endpoint.view;
    let servers = caller.snapshot.servers_of(view).unwrap_or_default();
    let alone = match servers.as_slice() {
        [server] if !caller.snapshot.is_prefixed(view) => server.hello(),
        _ => None,
    };
    let info = alone
        .as_ref()
        .and_then(|hello| hello.server_info.as_deref());
    let own = || json!({ "name": "mcp-gateway", "version": env!("CARGO_PKG_VERSION") });
    Introduction {
        server_info: info
            .and_then(|info| serde_json::from_str(info.get()).ok())
            .unwrap_or_else(own),
        capabilities: json!({ "tools": {} }),
        instructions: alone.and_then(|hello| hello.instructions),
    }
}

fn callbacks_of(capabilities: &str) -> Callbacks {
    let bytes = capabilities.as_bytes();
    let Ok(fields) = Fields::scan(bytes, 0..bytes.len()) else {
        return Callbacks::default();
    };
    let declares = |key| fields.get(key).is_some();
    Callbacks {
        sampling: declares("sampling"),
        elicitation: declares("elicitation"),
        roots: declares("roots"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_client_can_be_asked_for() {
        let callbacks = callbacks_of(r#"{"roots":{"listChanged":true},"x":{"sampling":{}}}"#);
        assert_eq!(
            callbacks,
            Callbacks {
                roots: true,
                ..Callbacks::default()
            }
        );
        assert_eq!(callbacks_of("7"), Callbacks::default());
    }

    #[test]
    fn the_meta_of_results_is_json() {
        let meta: serde_json::Value = serde_json::from_str(SERVER_META).unwrap();
        assert_eq!(
            meta["io.modelcontextprotocol/serverInfo"]["name"],
            "mcp-gateway"
        );
    }
}
