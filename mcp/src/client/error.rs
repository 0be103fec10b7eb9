//! What can go wrong between the gateway and an MCP server.

use std::error::Error;
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;

use http::StatusCode;

use super::answer;
use crate::message::ScanError;

/// The cause of an error, of whatever type the layer below has.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a server could not be reached, or gave no usable answer.
///
/// `server` is the endpoint without its query, or the label of the command: no secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{url:?} is not a usable endpoint: {reason}")]
    InvalidEndpoint { url: String, reason: &'static str },

    /// Nobody has tried: what it takes is not there.
    #[error("{server} cannot be reached: {reason}")]
    NotReached { server: Arc<str>, reason: String },

    #[error("cannot connect to {endpoint}: check its address and that the server is running")]
    Unreachable {
        endpoint: Arc<str>,
        source: BoxError,
    },

    #[error("{endpoint} answered with status {status}{}", quoted(.text))]
    Status {
        endpoint: Arc<str>,
        status: StatusCode,
        text: String,
    },

    #[error(
        "{endpoint} answered with status {status} and redirects to {location}: redirects are not followed, configure the address it names"
    )]
    Redirect {
        endpoint: Arc<str>,
        status: StatusCode,
        location: String,
    },

    #[error("{endpoint} no longer knows the session; the request was not processed")]
    SessionLost { endpoint: Arc<str> },

    #[error(
        "{server} closed the connection before it answered; the request may have been processed"
    )]
    StreamLost {
        server: Arc<str>,
        source: Option<BoxError>,
    },

    #[error("{server} answered with more than the permitted {limit} bytes")]
    TooLarge { server: Arc<str>, limit: usize },

    #[error("{server} gave an answer that cannot be read: {reason}")]
    Unreadable {
        server: Arc<str>,
        reason: String,
        source: Option<ScanError>,
    },

    #[error("{server} did not {} in time", if *.sent { "answer" } else { "take the request" })]
    DeadlineExceeded { server: Arc<str>, sent: bool },

    #[error("{server} refused {method}: {message} (code {code})")]
    Refused {
        server: Arc<str>,
        method: &'static str,
        code: i64,
        message: String,
    },

    #[error("{server} speaks none of this gateway's protocol versions; it offers {}", listed(.offered))]
    NoCommonVersion {
        server: Arc<str>,
        offered: Vec<String>,
    },

    #[error("{server} does not speak protocol version {expected}: {reason}")]
    NotModern {
        server: Arc<str>,
        expected: &'static str,
        reason: String,
    },

    #[error(
        "the command {program:?} was not found {searched}: install it, or configure its full path"
    )]
    CommandNotFound { program: String, searched: String },

    #[error("the command {program:?} cannot be started: {reason}")]
    NotStarted {
        program: String,
        reason: String,
        source: Option<io::Error>,
    },

    #[error("the command of {server} ended{}; what it wrote to stderr is in the log", ended(*.status))]
    ServerExited {
        server: Arc<str>,
        status: Option<ExitStatus>,
    },

    #[error("the message for {server} is not one that can be sent")]
    Unsendable { server: Arc<str>, source: ScanError },
}

impl ClientError {
    /// Whether the server has certainly not processed the request, so that it may be sent again.
    pub fn is_before_send(&self) -> bool {
        match self {
            Self::InvalidEndpoint { .. }
            | Self::NotReached { .. }
            | Self::Unreachable { .. }
            | Self::SessionLost { .. }
            | Self::CommandNotFound { .. }
            | Self::NotStarted { .. }
            | Self::Unsendable { .. } => true,
            Self::DeadlineExceeded { sent, .. } => !sent,
            Self::Status { .. }
            | Self::Redirect { .. }
            | Self::StreamLost { .. }
            | Self::TooLarge { .. }
            | Self::Unreadable { .. }
            | Self::Refused { .. }
            | Self::NoCommonVersion { .. }
            | Self::NotModern { .. }
            | Self::ServerExited { .. } => false,
        }
    }

    /// Whether the session has to be opened anew, after which the request may be sent again.
    pub fn is_session_lost(&self) -> bool {
        matches!(self, Self::SessionLost { .. })
    }

    /// Whether the peer is of no more use: a new one has to be connected or spawned.
    pub fn is_peer_lost(&self) -> bool {
        matches!(self, Self::SessionLost { .. } | Self::ServerExited { .. })
    }

    /// Whether the server wants a credential, or another one than it got.
    pub fn is_about_credentials(&self) -> bool {
        matches!(self, Self::Status { status, .. } if answer::is_about_credentials(*status))
    }

    pub fn is_deadline(&self) -> bool {
        matches!(self, Self::DeadlineExceeded { .. })
    }
}

fn quoted(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text:?}")
    }
}

fn listed(versions: &[String]) -> String {
    if versions.is_empty() {
        "no version".to_owned()
    } else {
        versions.join(", ")
    }
}

fn ended(status: Option<ExitStatus>) -> String {
    status
        .map(|status| format!(" ({status})"))
        .unwrap_or_default()
}

/// The beginning of a text from outside on one line, fit for a log or an error.
pub(super) fn excerpt(text: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    let mut excerpt = String::with_capacity(text.len().min(limit));
    for (count, character) in text.chars().enumerate() {
        if count == limit {
            excerpt.push('…');
            break;
        }
        if character.is_control() {
            excerpt.extend(character.escape_default());
        } else {
            excerpt.push(character);
        }
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_happened_and_keeps_the_cause_apart() {
        let error = ClientError::Unreachable {
            endpoint: "http://localhost:1/mcp".into(),
            source: io::Error::from(io::ErrorKind::ConnectionRefused).into(),
        };
        assert!(error.to_string().contains("http://localhost:1/mcp"));
        assert!(!error.to_string().contains("refused"));
        assert!(error.source().unwrap().to_string().contains("refused"));
        assert!(error.is_before_send());
    }

    #[test]
    fn an_excerpt_is_short_and_has_no_control_characters() {
        assert_eq!(excerpt(b" a\x1b[31mb\nc ", 100), "a\\u{1b}[31mb\\nc");
        assert_eq!(excerpt("äöüß".as_bytes(), 2), "äö…");
        assert_eq!(excerpt(b"\xff", 9), "\u{fffd}");
    }
}
