//! Why bytes are not a message, and the error that a response carries.

use serde::Deserialize;

use crate::code;

/// Why bytes are not a message that can be acted on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    #[error("the message is not valid UTF-8 from byte {offset} on")]
    NotUtf8 { offset: usize },
    #[error("the message is not valid JSON: {reason}")]
    NotJson { reason: String },
    #[error("the message nests objects and arrays more than {max} deep")]
    TooDeep { max: usize },
    #[error("the message is a batch; every message has to be sent on its own")]
    Batch,
    #[error("this is not a JSON-RPC 2.0 message: {reason}")]
    NotMessage { reason: String },
    #[error("invalid params: {reason}")]
    InvalidParams { reason: String },
    #[error("the server's result cannot be used: {reason}")]
    InvalidResult { reason: String },
}

impl ScanError {
    /// The JSON-RPC error code that says this to the client.
    pub fn code(&self) -> i64 {
        match self {
            ScanError::NotUtf8 { .. } | ScanError::NotJson { .. } => code::PARSE_ERROR,
            ScanError::TooDeep { .. } | ScanError::Batch | ScanError::NotMessage { .. } => {
                code::INVALID_REQUEST
            }
            ScanError::InvalidParams { .. } => code::INVALID_PARAMS,
            ScanError::InvalidResult { .. } => code::ANSWER_UNUSABLE,
        }
    }

    pub(crate) fn params(reason: impl Into<String>) -> ScanError {
        ScanError::InvalidParams {
            reason: reason.into(),
        }
    }

    pub(crate) fn result(reason: impl Into<String>) -> ScanError {
        ScanError::InvalidResult {
            reason: reason.into(),
        }
    }

    pub(crate) fn not_message(reason: impl Into<String>) -> ScanError {
        ScanError::NotMessage {
            reason: reason.into(),
        }
    }
}

/// The `error` member of a response.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RpcError {
    pub code: i64,
    #[serde(default)]
    pub message: String,
}
