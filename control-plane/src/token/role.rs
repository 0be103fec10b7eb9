//! What somebody may do, and the name by which a token is known.

use std::fmt;
use std::str::FromStr;

use gateway_core::{InvalidName, TenantId, TokenName};

use super::{Scope, TokenUse};

/// What the holder of a token or a certificate may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Everything that administrators do.
    Administrator,
    /// To see and to change one tenant and its tokens.
    TenantAdministrator(TenantId),
    /// To see one tenant and its tokens.
    TenantViewer(TenantId),
    /// To be a replica of the data plane, and to be told of these tenants.
    Join(Scope),
}

/// A text that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no role: write administrator, tenant-administrator:TENANT, tenant-viewer:TENANT, join or join:TENANT+TENANT"
)]
pub struct InvalidRole(String);

impl Role {
    /// The role that `kind` and `tenant` were; `None` if none is.
    pub(crate) fn of_kind(kind: &str, tenant: Option<TenantId>) -> Option<Self> {
        match (kind, tenant) {
            ("administrator", None) => Some(Self::Administrator),
            ("tenant-administrator", Some(tenant)) => Some(Self::TenantAdministrator(tenant)),
            ("tenant-viewer", Some(tenant)) => Some(Self::TenantViewer(tenant)),
            ("join", None) => Some(Self::Join(Scope::all())),
            (kind, None) => {
                let scope = kind.strip_prefix("join:")?.parse().ok()?;
                Some(Self::Join(scope))
            }
            _ => None,
        }
    }

    /// What it is, apart from the tenant that it is bound to. The tenants to which a replica is
    /// limited are part of it: a control plane of an earlier version, which does not know of limits,
    /// does not know the kind either, and lets nobody in by it.
    pub(crate) fn stored_kind(&self) -> String {
        match self {
            Self::Join(scope) if scope.tenants().is_some() => format!("join:{scope}"),
            role => role.kind().to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::TenantAdministrator(_) => "tenant-administrator",
            Self::TenantViewer(_) => "tenant-viewer",
            Self::Join(_) => "join",
        }
    }

    /// The tenant that it is bound to.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::TenantAdministrator(tenant) | Self::TenantViewer(tenant) => Some(tenant),
            Self::Administrator | Self::Join(_) => None,
        }
    }

    pub(crate) fn token_use(&self) -> TokenUse {
        match self {
            Self::Administrator => TokenUse::Administration,
            Self::TenantAdministrator(_) | Self::TenantViewer(_) => TokenUse::Tenant,
            Self::Join(_) => TokenUse::Join,
        }
    }
}

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        let role = match text.split_once(':') {
            Some((kind, tenant)) if kind != "join" => {
                let tenant = tenant.parse().ok();
                tenant.and_then(|tenant| Self::of_kind(kind, Some(tenant)))
            }
            _ => Self::of_kind(text, None),
        };
        role.ok_or_else(|| InvalidRole(text.to_owned()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stored_kind())?;
        match self.tenant() {
            Some(tenant) => write!(f, ":{tenant}"),
            None => Ok(()),
        }
    }
}

/// The name of a token. Those of a tenant have names of their own, so that nobody learns from a name
/// that is taken what another tenant has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenId {
    pub(crate) tenant: Option<TenantId>,
    pub(crate) name: TokenName,
}

impl TokenId {
    /// As requests and the audit trail have it.
    pub(crate) fn resource_name(&self) -> String {
        match &self.tenant {
            Some(tenant) => format!("tenants/{tenant}/tokens/{}", self.name),
            None => format!("tokens/{}", self.name),
        }
    }
}

impl FromStr for TokenId {
    type Err = InvalidName;

    /// Reads what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (tenant, name) = match text.split_once('/') {
            Some((tenant, name)) => (Some(tenant.parse()?), name),
            None => (None, text),
        };
        let name = name.parse()?;
        Ok(Self { tenant, name })
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tenant {
            Some(tenant) => write!(f, "{tenant}/{}", self.name),
            None => self.name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_as_it_is_written() {
        for text in [
            "administrator",
            "tenant-administrator:acme",
            "tenant-viewer:a-1",
            "join",
            "join:acme",
            "join:acme+beta",
        ] {
            assert_eq!(text.parse::<Role>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "admin",
            "administrator:acme",
            "administrator:",
            "administrator:A",
            "join:",
            "join:ACME",
            "join:acme+",
            "tenant-viewer",
            "tenant-viewer:",
            "tenant-viewer:a:b",
            "tenant-administrator:ACME",
        ] {
            let error = text.parse::<Role>().unwrap_err();
            assert!(error.to_string().contains("tenant-viewer:TENANT"));
        }
    }
}
