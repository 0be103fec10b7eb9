//! Conversions between the protobuf messages and the types of `gateway_core`.

mod plugins;
mod push;
mod server;
mod tenant;
mod values;

use bytes::Bytes;
use gateway_core::config::{TenantConfig, Violation};
use prost::Message as _;

use crate::config::v1 as pb;

pub use push::Refusal;

/// Encodes a configuration. The same configuration gives the same bytes.
pub fn encode(config: &TenantConfig) -> Bytes {
    pb::TenantConfig::from(config).encode_to_vec().into()
}

/// Decodes what [`encode`] made; nothing is believed about the bytes.
///
/// # Errors
/// The bytes are no message, or a field of the message cannot be what it is.
pub fn decode(bytes: &[u8]) -> Result<TenantConfig, DecodeError> {
    let message = pb::TenantConfig::decode(bytes).map_err(DecodeError::Malformed)?;
    Ok(TenantConfig::try_from(message)?)
}

/// Bytes that are no configuration.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They are no protobuf message, or one that is nested too deeply.
    #[error("the bytes are not an encoded configuration")]
    Malformed(#[source] prost::DecodeError),
    /// They are a message that no configuration has.
    #[error(transparent)]
    Invalid(#[from] InvalidField),
}

/// A field of a message that cannot be what it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct InvalidField {
    path: String,
    reason: String,
}

impl InvalidField {
    /// Names the field, spelt as in [`Violation`], and what is wrong with it.
    pub fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            reason: reason.into(),
        }
    }

    /// The same error seen from the message that has this one in its field `parent`.
    fn within(mut self, parent: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path = format!("{parent}{dot}{}", self.path);
        self
    }
}

impl From<InvalidField> for Violation {
    fn from(field: InvalidField) -> Self {
        Self::new(field.path, field.reason)
    }
}

#[cfg(test)]
mod tests;
