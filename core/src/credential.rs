//! Credentials: what a client presents, and what is stored for use towards servers.

use jiff::Timestamp;
use secrecy::SecretString;

use crate::UserId;

/// What a client presented. Its value does not print.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The type, as the contract names it: `api_key`, `jwt`, or `none` for a client that
    /// presented nothing.
    pub credential_type: String,
    /// The presented value; empty for type `none`.
    pub value: SecretString,
}

impl Credential {
    /// The type of a client that presented nothing.
    pub const NONE: &'static str = "none";

    /// What a client that presented nothing has.
    pub fn none() -> Self {
        Self {
            credential_type: Self::NONE.to_owned(),
            value: SecretString::from(""),
        }
    }

    /// Whether the client presented nothing.
    pub fn is_none(&self) -> bool {
        self.credential_type == Self::NONE
    }
}

/// Where a stored credential belongs within a tenant (the tenant is in the call context).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialKey {
    /// Whose credential it is. `_tenant` holds what the tenant itself uses.
    pub user_id: UserId,
    /// The server it is for; `_gateway` for what the gateway's own configuration refers to.
    pub server: String,
    /// The type, such as `bearer`.
    pub credential_type: String,
}

/// One stored credential, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialEntry {
    /// The server it is for.
    pub server: String,
    /// The type, such as `bearer`.
    pub credential_type: String,
    /// When it was stored, where the storage knows.
    pub created_at: Option<Timestamp>,
    /// When it stops being valid, where the storage knows.
    pub expires_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_does_not_print_its_value() {
        let credential = Credential {
            credential_type: "api_key".into(),
            value: SecretString::from("hunter2"),
        };
        assert!(!format!("{credential:?}").contains("hunter2"));
    }
}
