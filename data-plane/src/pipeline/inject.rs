//! Step 5: with whose rights the server is asked: the credential that it wants.

use std::fmt;
use std::sync::Arc;

use gateway_core::config::CredentialsMode;
use gateway_core::plugin::{Injection, ProxyRequest};
use gateway_core::{ErrorKind, PluginError, ServerName, UserId};
use gateway_mcp::header::MCP_PARAM_PREFIX;
use gateway_mcp::message::Message;
use gateway_mcp::params::Params;
use http::HeaderMap;
use http::header::HeaderName;

use super::authenticate::{Authenticated, within};
use super::authorize::Authorized;
use crate::error::{Failure, Reason};
use crate::request::ClientRequest;
use crate::upstream::{AuthorizationContext, InvalidCredential, Upstream};

/// Headers of a client that go on to the server: what the call's own arguments say, and the trace.
/// Nothing else does; the client's credentials least of all.
const PASSED_ON: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// A request with everything that the server wants to see.
pub(crate) struct Equipped {
    pub(super) authorized: Authorized,
    /// With whose rights the server is asked.
    pub(super) context: AuthorizationContext,
    /// What goes along with this request alone.
    pub(super) headers: HeaderMap,
    /// Whether the client's headers are about other arguments than the message has now.
    pub(super) is_rewritten: bool,
}

/// Finds out with whose rights the server is asked, and what goes along.
pub(super) async fn inject(
    mut authorized: Authorized,
    request: &ClientRequest,
) -> Result<Equipped, Failure> {
    let routed = &mut authorized.routed;
    let headers = passed_on(&request.headers);
    let (context, body) =
        authority(&routed.caller, &routed.server, &headers, &routed.message).await?;
    let is_rewritten = body.is_some();
    if let Some(body) = body {
        routed.message = Arc::new(replace_body(&routed.message, body)?);
    }
    Ok(Equipped {
        authorized,
        context,
        headers,
        is_rewritten,
    })
}

/// With whose rights a server is asked what belongs to no call, such as its lists.
pub(super) async fn context_for(
    caller: &Authenticated,
    server: &Upstream,
    request: &ClientRequest,
) -> Result<AuthorizationContext, Failure> {
    let headers = passed_on(&request.headers);
    let asked = authority(caller, server, &headers, &request.message).await;
    asked.map(|(context, _)| context)
}

/// With whose rights a server is asked what belongs to no request of the client's at hand.
pub(super) async fn standing_context(
    caller: &Authenticated,
    server: &Upstream,
    message: &Message,
) -> Result<AuthorizationContext, Failure> {
    let asked = authority(caller, server, &HeaderMap::new(), message).await;
    asked.map(|(context, _)| context)
}

/// What to do about a credential that is missing or not accepted. Put into words only when it is.
#[derive(Debug, Clone)]
pub(super) struct Advice {
    server: ServerName,
    user: UserId,
    credential_type: Option<String>,
}

impl Advice {
    fn new(caller: &Authenticated, server: &Upstream) -> Self {
        let proxy = caller.snapshot.config.plugins.auth_proxy.as_ref();
        // Where the proxy says which type it takes.
        let named =
            proxy.and_then(|proxy| proxy.settings.as_map().get("credential_type")?.as_str());
        Self {
            server: server.name().clone(),
            user: caller.principal.user_id.clone(),
            credential_type: named.map(str::to_owned),
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, user, .. } = self;
        write!(f, "store one with `mcp-gateway credential set {server}")?;
        // A name that needs quotes is left to the user.
        let plain = |name: &&String| {
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        if let Some(name) = self.credential_type.as_ref().filter(plain) {
            write!(f, " --type {name}")?;
        }
        write!(f, " --user {user}`")
    }
}

/// The advice about a server's credential; `None` for a server that is given none.
pub(super) fn advice(caller: &Authenticated, server: &Upstream) -> Option<Advice> {
    (server.credentials() != CredentialsMode::None).then(|| Advice::new(caller, server))
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let passes = |name: &HeaderName| {
        PASSED_ON.contains(&name.as_str()) || name.as_str().starts_with(MCP_PARAM_PREFIX)
    };
    let kept = headers.iter().filter(|(name, _)| passes(name));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The rights, and what the plugin wants to be sent in the message's place.
async fn authority(
    caller: &Authenticated,
    server: &Upstream,
    headers: &HeaderMap,
    message: &Message,
) -> Result<(AuthorizationContext, Option<String>), Failure> {
    let user = &caller.principal.user_id;
    let invalid = |error: InvalidCredential| {
        Failure::new(Reason::Unavailable, error.to_string()).caused_by(error)
    };
    if server.credentials() == CredentialsMode::None {
        return Ok((server.context(user, None).map_err(invalid)?, None));
    }
    match ask_proxy(caller, server, headers, message).await? {
        Ok(Injection { headers, body }) => {
            let context = server.context(user, Some(headers)).map_err(invalid)?;
            Ok((context, body))
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        Err(_) if server.credentials() == CredentialsMode::Optional => {
            Ok((server.context(user, None).map_err(invalid)?, None))
        }
        Err(error) => {
            let (server, advice) = (server.name(), Advice::new(caller, server));
            let message = format!("server `{server}` needs a credential of `{user}`: {advice}");
            Err(Failure::new(Reason::CredentialsRequired, message).caused_by(error))
        }
    }
}

async fn ask_proxy(
    caller: &Authenticated,
    server: &Upstream,
    headers: &HeaderMap,
    message: &Message,
) -> Result<Result<Injection, PluginError>, Failure> {
    let shown: Vec<_> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    let proxied = ProxyRequest {
        user_id: &caller.principal.user_id,
        server: server.name(),
        target_url: server.target_url(),
        method: "POST",
        headers: &shown,
        body: std::str::from_utf8(message.bytes()).unwrap_or_default(),
    };
    let context = caller.context_for(caller.snapshot.config.plugins.auth_proxy.as_ref());
    let proxy = &caller.snapshot.plugins.auth_proxy;
    let asked = proxy.inject_credentials(&context, proxied);
    within(context.deadline, "the credential plugin", asked).await
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
    use http::HeaderValue;

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
