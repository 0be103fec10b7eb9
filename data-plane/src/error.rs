//! Why a request is not answered as asked, and how that reads on the wire.

use gateway_core::plugin::AuditOutcome;
use gateway_core::{ErrorKind, PluginError};
use gateway_mcp::batch::BatchError;
use gateway_mcp::message::ScanError;
use gateway_mcp::version::{Era, Version};
use gateway_mcp::{author, code};
use http::StatusCode;
use serde::Serialize;

/// The reasons that clients are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// The body is no JSON, or no message of the protocol.
    Malformed,
    /// The method exists, but not with these parameters: an unknown tool, a bad cursor.
    InvalidParams,
    /// A modern request lacks what every request must carry.
    IncompleteMeta,
    /// Headers and body disagree.
    HeaderMismatch,
    /// The protocol version is not served.
    UnsupportedVersion,
    /// The method is not served.
    UnknownMethod,
    /// A legacy request names no session.
    SessionMissing,
    /// The session is unknown, ended, expired or somebody else's.
    SessionUnknown,
    /// Nothing answers at this path, or not for this caller.
    NotFound,
    /// No configuration is in force yet.
    NotReady,
    /// Nobody knows who the caller is.
    Unauthenticated,
    /// The policy says no.
    Denied,
    /// The server needs a credential that the user does not have.
    CredentialsRequired,
    /// The audit log takes no more.
    AuditUnavailable,
    /// The server, or a plugin that must be asked, cannot be reached.
    Unavailable,
    /// As much is under way as may be.
    Overloaded,
    /// Nobody answered in time.
    DeadlineExceeded,
    /// The client wants no answer any more.
    Cancelled,
    /// Client and server speak versions between which this cannot be carried.
    NotBridgeable,
    /// The server's answer cannot be used.
    AnswerUnusable,
    /// The body is larger than allowed.
    TooLarge,
    /// A defect of the gateway.
    Internal,
}

impl Reason {
    /// The JSON-RPC error code.
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Malformed | Self::SessionMissing | Self::SessionUnknown | Self::NotFound => {
                code::INVALID_REQUEST
            }
            Self::TooLarge => code::INVALID_REQUEST,
            Self::InvalidParams | Self::IncompleteMeta => code::INVALID_PARAMS,
            Self::HeaderMismatch => code::HEADER_MISMATCH,
            Self::UnsupportedVersion => code::UNSUPPORTED_PROTOCOL_VERSION,
            Self::UnknownMethod => code::METHOD_NOT_FOUND,
            Self::Unauthenticated => code::UNAUTHENTICATED,
            Self::Denied => code::DENIED_BY_POLICY,
            Self::CredentialsRequired => code::CREDENTIALS_REQUIRED,
            Self::AuditUnavailable => code::AUDIT_UNAVAILABLE,
            Self::Unavailable | Self::NotReady => code::SERVER_UNAVAILABLE,
            Self::Overloaded => code::OVERLOADED,
            Self::DeadlineExceeded => code::DEADLINE_EXCEEDED,
            Self::Cancelled => code::CANCELLED,
            Self::NotBridgeable => code::NOT_BRIDGEABLE,
            Self::AnswerUnusable => code::ANSWER_UNUSABLE,
            Self::Internal => code::INTERNAL_ERROR,
        }
    }

    /// The HTTP status. A request that reached the protocol is answered 200 with an error in the
    /// body, unless the client's version says otherwise.
    pub(crate) fn status(self, era: Era) -> StatusCode {
        match self {
            Self::Malformed
            | Self::IncompleteMeta
            | Self::HeaderMismatch
            | Self::UnsupportedVersion
            | Self::SessionMissing => StatusCode::BAD_REQUEST,
            Self::SessionUnknown | Self::NotFound => StatusCode::NOT_FOUND,
            Self::UnknownMethod if era == Era::Modern => StatusCode::NOT_FOUND,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::NotReady | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownMethod
            | Self::InvalidParams
            | Self::Denied
            | Self::CredentialsRequired
            | Self::AuditUnavailable
            | Self::Unavailable
            | Self::DeadlineExceeded
            | Self::Cancelled
            | Self::NotBridgeable
            | Self::AnswerUnusable
            | Self::Internal => StatusCode::OK,
        }
    }

    /// How the audit log sorts it.
    pub(crate) fn outcome(self) -> AuditOutcome {
        match self {
            Self::Unavailable
            | Self::NotReady
            | Self::DeadlineExceeded
            | Self::AuditUnavailable
            | Self::Cancelled
            | Self::NotBridgeable
            | Self::AnswerUnusable
            | Self::Internal => AuditOutcome::Error,
            _ => AuditOutcome::Denied,
        }
    }
}

/// A request that ends in an error. The message is for the client: no secrets, no internals.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    reason: Reason,
    code: i64,
    message: String,
    data: Option<String>,
    #[source]
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            code: reason.code(),
            message: message.into(),
            data: None,
            cause: None,
        }
    }

    pub(crate) fn caused_by(
        mut self,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// With further facts for the client, as raw JSON.
    pub(crate) fn with_data(mut self, data: &str) -> Self {
        self.data = Some(data.to_owned());
        self
    }

    pub(crate) fn unknown_method(method: &str) -> Self {
        Self::new(Reason::UnknownMethod, format!("method not found: {method}"))
    }

    /// What every version but one says of a batch.
    pub(crate) fn no_batches() -> Self {
        Self::new(
            Reason::Malformed,
            "only sessions of protocol version 2025-03-26 have batches: send every message on its own",
        )
    }

    /// With the versions that are served, as the specification demands.
    pub(crate) fn unsupported_version(requested: &str) -> Self {
        let supported: Vec<_> = Version::SERVED
            .iter()
            .map(|version| version.as_str())
            .collect();
        let data = serde_json::json!({ "supported": supported, "requested": requested });
        let mut failure = Self::new(Reason::UnsupportedVersion, "unsupported protocol version");
        failure.data = Some(data.to_string());
        failure
    }

    /// What versions up to 2025-11-25 say of a resource that is not there.
    pub(crate) fn legacy_resource_not_found(message: String) -> Self {
        let mut failure = Self::new(Reason::InvalidParams, message);
        failure.code = code::RESOURCE_NOT_FOUND;
        failure
    }

    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    /// The JSON-RPC error response.
    pub(crate) fn to_message(&self, id: Option<&str>) -> bytes::Bytes {
        author::error(id, self.code, &self.message, self.data.as_deref()).into_bytes()
    }
}

/// An error with its causes, on one line. What an error repeats of its cause is said once.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let further = error.to_string();
        if !text.contains(&further) {
            text.push_str(": ");
            text.push_str(&further);
        }
        cause = error.source();
    }
    text
}

impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Self {
        let reason = if error.code() == code::INVALID_PARAMS {
            Reason::InvalidParams
        } else {
            Reason::Malformed
        };
        let mut failure = Self::new(reason, error.to_string());
        failure.code = error.code();
        failure
    }
}

impl From<BatchError> for Failure {
    fn from(error: BatchError) -> Self {
        let mut failure = Self::new(Reason::Malformed, error.to_string());
        failure.code = error.code();
        failure
    }
}

impl From<PluginError> for Failure {
    /// Plugins fail closed: whatever went wrong, the request does not go on.
    fn from(error: PluginError) -> Self {
        let reason = match error.kind() {
            ErrorKind::DeadlineExceeded => Reason::DeadlineExceeded,
            ErrorKind::Unauthenticated => Reason::Unauthenticated,
            ErrorKind::PermissionDenied => Reason::Denied,
            ErrorKind::Internal => Reason::Internal,
            ErrorKind::InvalidArgument
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::ResourceExhausted
            | ErrorKind::Unavailable
            | ErrorKind::Unsupported => Reason::Unavailable,
        };
        Self::new(reason, error.to_string()).caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_codes_stay_outside_the_range_of_the_specification() {
        for reason in [Reason::Denied, Reason::Unavailable, Reason::Unauthenticated] {
            assert!(!(-32768..=-32000).contains(&reason.code()), "{reason:?}");
        }
    }

    #[test]
    fn a_broken_plugin_is_an_error_and_not_a_denial() {
        for kind in ErrorKind::ALL {
            let failure = Failure::from(PluginError::new(kind, "x"));
            let denied = matches!(
                kind,
                ErrorKind::Unauthenticated | ErrorKind::PermissionDenied
            );
            assert_eq!(
                failure.reason().outcome() == AuditOutcome::Denied,
                denied,
                "{kind}"
            );
        }
    }

    #[test]
    fn every_cause_is_said_once() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let inner = PluginError::with_cause(ErrorKind::Unavailable, "cannot connect", refused);
        let outer =
            Failure::new(Reason::Unavailable, "server `x`: cannot connect").caused_by(inner);
        assert_eq!(
            with_causes(&outer),
            "server `x`: cannot connect: connection refused"
        );
    }

    #[test]
    fn an_unsupported_version_names_the_supported_ones() {
        let body = Failure::unsupported_version("1900-01-01").to_message(Some("1"));
        insta::assert_snapshot!(std::str::from_utf8(&body).unwrap(), @r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"unsupported protocol version","data":{"supported":["2025-03-26","2025-06-18","2025-11-25","2026-07-28"],"requested":"1900-01-01"}}}"#);
    }
}
