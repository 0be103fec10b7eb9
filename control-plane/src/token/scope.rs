//! The tenants of which a replica may be told.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use gateway_core::{InvalidName, TenantId};

/// Between tenants. A comma is between roles already, where several are given in one variable.
const SIGN: char = '+';

/// All tenants, or some of them. Shared, not copied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope(Option<Arc<BTreeSet<TenantId>>>);

impl Scope {
    /// Every tenant, whether or not it is there yet.
    pub const fn all() -> Self {
        Self(None)
    }

    /// These tenants only. `None` where there are none: that is no scope, and not that of all.
    pub fn only(tenants: BTreeSet<TenantId>) -> Option<Self> {
        (!tenants.is_empty()).then(|| Self(Some(Arc::new(tenants))))
    }

    /// Whether a tenant is in it.
    pub fn includes(&self, tenant: &TenantId) -> bool {
        self.tenants().is_none_or(|some| some.contains(tenant))
    }

    /// Whether every tenant of `other` is in it.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self.tenants(), other.tenants()) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(others)) => others.is_subset(own),
        }
    }

    /// The tenants; `None`: all.
    pub fn tenants(&self) -> Option<&BTreeSet<TenantId>> {
        self.0.as_deref()
    }
}

impl FromStr for Scope {
    type Err = InvalidName;

    /// Reads what [`Display`](fmt::Display) writes for some tenants.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let tenants: BTreeSet<_> = text.split(SIGN).map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self(Some(Arc::new(tenants))))
    }
}

/// The tenants, with a sign between them; nothing for all.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, tenant) in self.tenants().into_iter().flatten().enumerate() {
            if index > 0 {
                write!(f, "{SIGN}")?;
            }
            tenant.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    #[test]
    fn a_scope_has_its_tenants_and_no_other() {
        let some = scope("beta+acme+beta");
        assert_eq!(some.to_string(), "acme+beta");
        let includes = |name: &str| some.includes(&name.parse().unwrap());
        assert!(includes("acme") && includes("beta") && !includes("zoo"));
        assert!(Scope::all().includes(&"zoo".parse().unwrap()));
        assert_eq!(Scope::all().to_string(), "");
        for text in ["", "+", "acme+", "ACME", "acme,beta"] {
            assert!(text.parse::<Scope>().is_err(), "{text:?}");
        }
        assert_eq!(Scope::only(BTreeSet::new()), None);
    }

    #[test]
    fn a_scope_covers_what_is_within_it() {
        let (all, acme, both) = (Scope::all(), scope("acme"), scope("acme+beta"));
        for (one, other, covers) in [
            (&all, &all, true),
            (&all, &acme, true),
            (&acme, &all, false),
            (&both, &acme, true),
            (&acme, &both, false),
            (&acme, &acme, true),
            (&acme, &scope("beta"), false),
        ] {
            assert_eq!(one.covers(other), covers, "{one} {other}");
        }
    }
}
