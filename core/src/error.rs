//! What can go wrong in a plugin call, sorted by what the caller can do about it.

use std::fmt;

/// The kinds of failure that both planes tell apart. Each plane maps a kind to its own wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request cannot succeed as it is; sending it again will not help.
    InvalidArgument,
    /// The thing asked for does not exist, or belongs to somebody else.
    NotFound,
    /// Nobody knows who the caller is.
    Unauthenticated,
    /// The caller is known and may not do this.
    PermissionDenied,
    /// Something else changed first.
    Conflict,
    /// A quota, a queue or a limit is used up.
    ResourceExhausted,
    /// The deadline passed.
    DeadlineExceeded,
    /// A dependency cannot be reached, or answered with something unreadable.
    Unavailable,
    /// The configured implementation does not do this.
    Unsupported,
    /// A defect.
    Internal,
}

impl ErrorKind {
    /// Every kind, for exhaustive tables.
    pub const ALL: [Self; 10] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::Conflict,
        Self::ResourceExhausted,
        Self::DeadlineExceeded,
        Self::Unavailable,
        Self::Unsupported,
        Self::Internal,
    ];

    /// The kind as a metric label or log field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::Conflict => "conflict",
            Self::ResourceExhausted => "resource_exhausted",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A plugin call that did not come to an answer. A refusal is not an error: it is an outcome
/// with a type of its own, so that *denied* and *broken* cannot be confused.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PluginError {
    kind: ErrorKind,
    message: String,
    #[source]
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl PluginError {
    /// An error whose message may be shown to a client: it holds no secret and no internals.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            cause: None,
        }
    }

    /// The same with the cause kept for the log.
    pub fn with_cause(
        kind: ErrorKind,
        message: impl Into<String>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            cause: Some(cause.into()),
        }
    }

    /// The kind, by which the caller decides what to do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
