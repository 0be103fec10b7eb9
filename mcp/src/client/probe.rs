//! Finds out of which era a server is, and opens the conversation accordingly.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::Deadline;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::ClientError;
use super::exchange::{Exchange, Reply};
use super::http::{HttpLink, Terms};
use super::http_sse::SseLink;
use super::initialize::initialize;
use super::stdio::StdioLink;
use super::{ClientHello, ServerHello};
use crate::json::encode_str;
use crate::message::Message;
use crate::meta::{CLIENT_CAPABILITIES, CLIENT_INFO, PROTOCOL_VERSION};
use crate::version::{Era, Version};
use crate::{author, code};

const DISCOVER: &str = "server/discover";

/// A server that has not been spoken to yet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Channel<'a> {
    Http(&'a HttpLink),
    /// The transport itself says that it is a legacy one.
    Sse(&'a Arc<SseLink>),
    Child {
        link: &'a Arc<StdioLink>,
        probe_timeout: Duration,
    },
}

impl Channel<'_> {
    pub(super) fn server(&self) -> &Arc<str> {
        match self {
            Self::Http(link) => link.endpoint().name(),
            Self::Sse(link) => link.name(),
            Self::Child { link, .. } => link.label(),
        }
    }

    /// By when a server that stays silent is taken for a legacy one; time for its handshake has
    /// to be left.
    fn probe_deadline(&self, deadline: Deadline) -> Deadline {
        match self {
            Self::Http(_) | Self::Sse(_) => deadline.within(deadline.remaining() / 2),
            Self::Child { probe_timeout, .. } => deadline.within(*probe_timeout),
        }
    }

    /// Sends a request of the handshake and waits for its response.
    pub(super) async fn ask(
        &self,
        terms: Terms,
        message: &Message,
        deadline: Deadline,
    ) -> Result<Reply, ClientError> {
        let exchange: Exchange = match self {
            Self::Http(link) => {
                link.request(&terms, message, HeaderMap::new(), deadline)
                    .await?
            }
            Self::Sse(link) => link.request(message, HeaderMap::new(), deadline).await?,
            Self::Child { link, .. } => link.request(message, deadline).await?,
        };
        exchange.reply().await
    }
}

/// How a conversation was opened.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) hello: ServerHello,
    /// The version as the server wrote it, and as it wants to see it again.
    pub(super) version: HeaderValue,
    pub(super) session_id: Option<HeaderValue>,
}

/// Opens the conversation: in the given era, or in the one that the server turns out to be of.
///
/// Of a legacy server's handshake, `notifications/initialized` is left to the caller.
pub(super) async fn greet(
    channel: Channel<'_>,
    hello: &ClientHello,
    era: Option<Era>,
    deadline: Deadline,
) -> Result<Greeting, ClientError> {
    match era {
        Some(Era::Legacy) => initialize(channel, hello, deadline).await,
        Some(Era::Modern) => match discover(channel, hello, deadline).await? {
            Finding::Modern(greeting) => Ok(greeting),
            Finding::Legacy { reason } => Err(ClientError::NotModern {
                server: channel.server().clone(),
                expected: Version::LATEST_MODERN.as_str(),
                reason,
            }),
            Finding::Silent => {
                let server = channel.server().clone();
                Err(ClientError::DeadlineExceeded { server, sent: true })
            }
        },
        None => probe(channel, hello, deadline).await,
    }
}

async fn probe(
    channel: Channel<'_>,
    hello: &ClientHello,
    deadline: Deadline,
) -> Result<Greeting, ClientError> {
    match discover(channel, hello, channel.probe_deadline(deadline)).await? {
        Finding::Modern(greeting) => Ok(greeting),
        Finding::Legacy { reason } => {
            tracing::debug!(server = %channel.server(), reason, "this is a legacy server");
            initialize(channel, hello, deadline).await
        }
        Finding::Silent => match initialize(channel, hello, deadline).await {
            // A modern server that took long to start: it is up now, and knows no `initialize`.
            Err(refusal @ ClientError::Refused { .. }) => {
                match discover(channel, hello, channel.probe_deadline(deadline)).await {
                    Ok(Finding::Modern(greeting)) => Ok(greeting),
                    _ => Err(refusal),
                }
            }
            outcome => outcome,
        },
    }
}

/// What `server/discover` brought to light.
#[derive(Debug)]
enum Finding {
    Modern(Greeting),
    Legacy { reason: String },
    Silent,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DiscoverResult<'a> {
    supported_versions: Vec<String>,
    #[serde(borrow)]
    capabilities: &'a RawValue,
    instructions: Option<String>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<DiscoverMeta<'a>>,
    // Read as they are: a hint that makes no sense is no reason to turn a server away.
    #[serde(borrow)]
    ttl_ms: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_scope: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct DiscoverMeta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/serverInfo")]
    server_info: Option<&'a RawValue>,
}

/// A server that refuses the version and yet names it among those that it serves is asked once more.
async fn discover(
    channel: Channel<'_>,
    hello: &ClientHello,
    deadline: Deadline,
) -> Result<Finding, ClientError> {
    match discover_once(channel, hello, deadline).await {
        Err(ClientError::Refused {
            code: code::UNSUPPORTED_PROTOCOL_VERSION,
            ..
        }) => discover_once(channel, hello, deadline).await,
        outcome => outcome,
    }
}

async fn discover_once(
    channel: Channel<'_>,
    hello: &ClientHello,
    deadline: Deadline,
) -> Result<Finding, ClientError> {
    let version = Version::LATEST_MODERN;
    let params = format!(r#"{{"_meta":{}}}"#, request_meta(hello));
    let message = author::request("0", DISCOVER, Some(&params));
    let reply = match channel
        .ask(Terms::Modern(version), &message, deadline)
        .await
    {
        Ok(reply) => reply,
        Err(error) => return finding_of(error),
    };
    // A proxy or an overloaded server says nothing about the era.
    if let Some(status) = reply.status.filter(|status| is_failure(*status)) {
        return Err(ClientError::Status {
            endpoint: channel.server().clone(),
            status,
            text: reply
                .message
                .rpc_error()
                .map(|error| error.message)
                .unwrap_or_default(),
        });
    }
    match reply.message.result() {
        Some(result) => judge_result(channel.server(), result),
        None => judge_error(channel.server(), &reply.message),
    }
}

/// What it means for the era that `server/discover` was not answered.
fn finding_of(error: ClientError) -> Result<Finding, ClientError> {
    match error {
        ClientError::DeadlineExceeded { .. } => Ok(Finding::Silent),
        ClientError::Status { status, .. } if is_failure(status) => Err(error),
        ClientError::Status { .. }
        | ClientError::Unreadable { .. }
        | ClientError::StreamLost { .. } => Ok(Finding::Legacy {
            reason: error.to_string(),
        }),
        _ => Err(error),
    }
}

/// Whether a status is about the connection, the server's health or the caller, not the protocol.
fn is_failure(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::TOO_MANY_REQUESTS
        )
}

fn judge_result(server: &Arc<str>, result: &str) -> Result<Finding, ClientError> {
    let Ok(result) = serde_json::from_str::<DiscoverResult<'_>>(result) else {
        // Some legacy servers answer whatever they are asked.
        return Ok(Finding::Legacy {
            reason: "its answer describes no server".to_owned(),
        });
    };
    let Some(version) = common_modern_version(&result.supported_versions) else {
        return without_common_version(server, result.supported_versions);
    };
    let server_info = result.meta.and_then(|meta| meta.server_info);
    Ok(Finding::Modern(Greeting {
        hello: ServerHello {
            era: Era::Modern,
            version,
            server_info: server_info.map(ToOwned::to_owned),
            capabilities: result.capabilities.to_owned(),
            instructions: result.instructions,
            session_id: None,
            ttl_ms: result.ttl_ms.and_then(|ttl| ttl.get().parse().ok()),
            is_public: result
                .cache_scope
                .is_some_and(|scope| scope.get() == "\"public\""),
        },
        version: HeaderValue::from_static(version.as_str()),
        session_id: None,
    }))
}

#[derive(Deserialize)]
struct DiscoverError<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct UnsupportedVersion {
    supported: Vec<String>,
}

/// Tells the errors that only modern servers know from all others. Which others there are depends
/// on the legacy server, so that they are all the same here.
fn judge_error(server: &Arc<str>, reply: &Message) -> Result<Finding, ClientError> {
    let Some(error) = reply.rpc_error() else {
        return Ok(Finding::Legacy {
            reason: "its error cannot be read".to_owned(),
        });
    };
    let refused = ClientError::Refused {
        server: server.clone(),
        method: DISCOVER,
        code: error.code,
        message: error.message.clone(),
    };
    match error.code {
        code::HEADER_MISMATCH | code::MISSING_CLIENT_CAPABILITY => Err(refused),
        code::UNSUPPORTED_PROTOCOL_VERSION => {
            let data = reply
                .error()
                .and_then(|error| serde_json::from_str(error).ok());
            let data = data.and_then(|error: DiscoverError<'_>| error.data);
            match data.and_then(|data| serde_json::from_str(data.get()).ok()) {
                // There is one modern version yet, the one that it has just refused.
                Some(UnsupportedVersion { supported }) => match common_modern_version(&supported) {
                    Some(_) => Err(refused),
                    None => without_common_version(server, supported),
                },
                None => Ok(Finding::Legacy {
                    reason: refused.to_string(),
                }),
            }
        }
        _ => Ok(Finding::Legacy {
            reason: refused.to_string(),
        }),
    }
}

fn common_modern_version(supported: &[String]) -> Option<Version> {
    let known = supported.iter().filter_map(|text| Version::parse(text));
    known.filter(|version| version.era() == Era::Modern).max()
}

/// A server may speak of its versions in the modern way and still offer legacy ones only.
fn without_common_version(server: &Arc<str>, offered: Vec<String>) -> Result<Finding, ClientError> {
    if offered.iter().any(|text| Version::parse(text).is_some()) {
        return Ok(Finding::Legacy {
            reason: "it offers legacy versions only".to_owned(),
        });
    }
    Err(ClientError::NoCommonVersion {
        server: server.clone(),
        offered,
    })
}

/// The `_meta` of a modern request that the gateway makes on its own account.
pub(super) fn request_meta(hello: &ClientHello) -> String {
    format!(
        r#"{{"{PROTOCOL_VERSION}":"{}","{CLIENT_INFO}":{},"{CLIENT_CAPABILITIES}":{}}}"#,
        Version::LATEST_MODERN,
        client_info(hello),
        hello.capabilities,
    )
}

/// The gateway's `clientInfo`.
pub(super) fn client_info(hello: &ClientHello) -> String {
    format!(
        r#"{{"name":{},"version":{}}}"#,
        encode_str(&hello.name),
        encode_str(&hello.version)
    )
}

#[cfg(test)]
mod tests;
