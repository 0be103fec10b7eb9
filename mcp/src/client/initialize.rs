//! The handshake with a legacy server.

use gateway_core::Deadline;
use http::HeaderValue;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::ClientError;
use super::http::Terms;
use super::probe::{Channel, Greeting, client_info};
use super::{ClientHello, ServerHello};
use crate::author;
use crate::version::{Era, Version};

const INITIALIZE: &str = "initialize";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InitializeResult<'a> {
    protocol_version: String,
    #[serde(borrow)]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow)]
    server_info: Option<&'a RawValue>,
    instructions: Option<String>,
}

/// Asks a server for a session in the version that the gateway prefers.
///
/// `notifications/initialized` is left to the caller.
pub(super) async fn initialize(
    channel: Channel<'_>,
    hello: &ClientHello,
    deadline: Deadline,
) -> Result<Greeting, ClientError> {
    let server = channel.server();
    let params = format!(
        r#"{{"protocolVersion":"{}","capabilities":{},"clientInfo":{}}}"#,
        hello.legacy_version,
        hello.capabilities,
        client_info(hello),
    );
    let message = author::request("0", INITIALIZE, Some(&params));
    let reply = channel.ask(Terms::Opening, &message, deadline).await?;
    let Some(result) = reply.message.result() else {
        let error = reply.message.rpc_error();
        return Err(ClientError::Refused {
            server: server.clone(),
            method: INITIALIZE,
            code: error.as_ref().map_or(0, |error| error.code),
            message: error.map(|error| error.message).unwrap_or_default(),
        });
    };
    let unreadable = |reason: String| ClientError::Unreadable {
        server: server.clone(),
        reason: format!("the result of {INITIALIZE}: {reason}"),
        source: None,
    };
    let result: InitializeResult<'_> =
        serde_json::from_str(result).map_err(|error| unreadable(error.to_string()))?;
    let Some(version) = legacy_version(&result.protocol_version) else {
        let offered = vec![result.protocol_version];
        return Err(ClientError::NoCommonVersion {
            server: server.clone(),
            offered,
        });
    };
    let header = HeaderValue::from_str(&result.protocol_version)
        .map_err(|_| unreadable("its version is no plain text".to_owned()))?;
    let capabilities = result.capabilities.map(ToOwned::to_owned);
    let session_id = reply.session_id.as_ref();
    let shown_id = session_id.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    Ok(Greeting {
        hello: ServerHello {
            era: Era::Legacy,
            version,
            server_info: result.server_info.map(ToOwned::to_owned),
            capabilities: capabilities.unwrap_or_else(no_capabilities),
            instructions: result.instructions,
            session_id: shown_id,
            ttl_ms: None,
            is_public: false,
        },
        version: header,
        session_id: reply.session_id,
    })
}

/// The known legacy version that comes closest to the one a server names: versions are dates, and
/// what a server of an unlisted one does is what the released one before it says.
fn legacy_version(text: &str) -> Option<Version> {
    if text >= Version::LATEST_MODERN.as_str() {
        return None;
    }
    let legacy = Version::KNOWN
        .iter()
        .copied()
        .filter(|version| version.era() == Era::Legacy);
    let before = legacy
        .clone()
        .filter(|version| version.as_str() <= text)
        .max();
    before.or_else(|| legacy.min())
}

fn no_capabilities() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_an_unlisted_legacy_version_for_the_one_before_it() {
        for (text, version) in [
            ("2025-11-25", Some(Version::V2025_11_25)),
            ("2026-01-01", Some(Version::V2025_11_25)),
            ("2025-04-01", Some(Version::V2025_03_26)),
            ("2024-10-07", Some(Version::V2024_11_05)),
            ("0.1", Some(Version::V2024_11_05)),
            ("2026-07-28", None),
            ("2027-01-01", None),
        ] {
            assert_eq!(legacy_version(text), version, "{text}");
        }
    }
}
