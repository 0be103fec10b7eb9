//! Step 5: the credential that the server wants.

use gateway_core::config::CredentialsMode;
use gateway_core::plugin::{Injection, ProxyRequest};
use gateway_core::{ErrorKind, ExposeSecret as _};
use gateway_mcp::header::MCP_PARAM_PREFIX;
use gateway_mcp::message::Message;
use gateway_mcp::params::Params;
use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

use super::authenticate::within;
use super::authorize::Authorized;
use crate::error::{Failure, Reason};
use crate::request::ClientRequest;

/// What no plugin may set: framing, routing, and what MCP itself says.
const OWN_HEADERS: [HeaderName; 9] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
];

/// Headers of a client that go on to the server: what the call's own arguments say, and the trace.
/// Nothing else does; the client's credentials least of all.
const PASSED_ON: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// A request with everything that the server wants to see.
pub(crate) struct Equipped {
    pub(super) authorized: Authorized,
    /// The message under the item's original name.
    pub(super) message: Message,
    pub(super) headers: HeaderMap,
}

/// Puts what goes along, and the user's credential, into the headers.
pub(super) async fn inject(
    authorized: Authorized,
    request: &ClientRequest,
) -> Result<Equipped, Failure> {
    let routed = &authorized.routed;
    let message = routed.message.clone();
    let headers = passed_on(&request.headers);
    let equipped = Equipped {
        authorized,
        message,
        headers,
    };
    match equipped.authorized.routed.server.credentials() {
        CredentialsMode::None => Ok(equipped),
        CredentialsMode::Optional => with_credential(equipped, false).await,
        CredentialsMode::Required => with_credential(equipped, true).await,
    }
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let passes = |name: &HeaderName| {
        PASSED_ON.contains(&name.as_str()) || name.as_str().starts_with(MCP_PARAM_PREFIX)
    };
    let kept = headers.iter().filter(|(name, _)| passes(name));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

async fn with_credential(equipped: Equipped, required: bool) -> Result<Equipped, Failure> {
    let routed = &equipped.authorized.routed;
    let caller = &routed.caller;
    let shown: Vec<_> = equipped
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    let proxied = ProxyRequest {
        user_id: &caller.principal.user_id,
        server: routed.server.name(),
        target_url: routed.server.target_url(),
        method: "POST",
        headers: &shown,
        body: std::str::from_utf8(equipped.message.bytes()).unwrap_or_default(),
    };
    let context = caller.context_for(caller.snapshot.config.plugins.auth_proxy.as_ref());
    let asked = caller
        .snapshot
        .plugins
        .auth_proxy
        .inject_credentials(&context, proxied);
    match within(context.deadline, "the credential plugin", asked).await? {
        Ok(injection) => apply(equipped, injection),
        Err(error) if error.kind() == ErrorKind::NotFound && !required => Ok(equipped),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let (server, user) = (routed.server.name(), &caller.principal.user_id);
            let message = format!(
                "server `{server}` needs a credential of yours: mcp-gateway credential set {server} --user {user}"
            );
            Err(Failure::new(Reason::CredentialsRequired, message).caused_by(error))
        }
        Err(error) => Err(error.into()),
    }
}

fn apply(mut equipped: Equipped, injection: Injection) -> Result<Equipped, Failure> {
    let refused = |what: String| Failure::new(Reason::Unavailable, what);
    for (name, value) in injection.headers {
        let parsed = HeaderName::try_from(name.as_str());
        let name = parsed.map_err(|_| {
            refused(format!(
                "the credential plugin set `{name}`, which is no header"
            ))
        })?;
        if OWN_HEADERS.contains(&name) || name.as_str().starts_with("mcp-") {
            return Err(refused(format!(
                "the credential plugin may not set `{name}`"
            )));
        }
        let value = HeaderValue::try_from(value.expose_secret());
        let mut value = value.map_err(|_| {
            refused(format!(
                "the credential plugin set `{name}` to what no header can hold"
            ))
        })?;
        value.set_sensitive(true);
        equipped.headers.insert(name, value);
    }
    if let Some(body) = injection.body {
        equipped.message = replace_body(&equipped.message, body)?;
    }
    Ok(equipped)
}

/// A plugin may change a message's arguments, and nothing by which it was authorized.
fn replace_body(original: &Message, body: String) -> Result<Message, Failure> {
    let refused = |what: &str| {
        Failure::new(
            Reason::Unavailable,
            format!("the credential plugin changed {what} of the message"),
        )
    };
    let changed = Message::scan(body.into()).map_err(|_| refused("the form"))?;
    let (before, after) = (
        Params::of(original)?,
        Params::of(&changed).map_err(|_| refused("the form"))?,
    );
    let meta = |message: &Message, params: &Params| {
        params
            .meta_range()
            .and_then(|range| message.bytes().get(range).map(<[u8]>::to_vec))
    };
    if changed.id() != original.id() || changed.method() != original.method() {
        Err(refused("`id` or `method`"))
    } else if before.name() != after.name() || before.uri() != after.uri() {
        Err(refused("the name or URI"))
    } else if meta(original, &before) != meta(&changed, &after) {
        Err(refused("`params._meta`"))
    } else {
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message::scan(text.to_owned().into()).unwrap()
    }

    #[test]
    fn a_plugin_may_change_arguments_only() {
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{},"_meta":{"x":1}}}"#;
        let original = message(call);
        assert!(replace_body(&original, call.replace("{}", r#"{"k":"v"}"#)).is_ok());
        for (from, to) in [
            ("\"id\":1", "\"id\":2"),
            ("tools/call", "tools/list"),
            ("\"name\":\"a\"", "\"name\":\"b\""),
            ("\"x\":1", "\"x\":2"),
            ("{\"jsonrpc\"", "{{"),
        ] {
            assert!(
                replace_body(&original, call.replace(from, to)).is_err(),
                "{to}"
            );
        }
    }

    #[test]
    fn of_a_clients_headers_only_arguments_and_trace_go_on() {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "x-api-key",
            "cookie",
            "mcp-session-id",
            "mcp-param-region",
            "traceparent",
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        }
        let passed = passed_on(&headers);
        let mut names: Vec<_> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["mcp-param-region", "traceparent"]);
    }
}
