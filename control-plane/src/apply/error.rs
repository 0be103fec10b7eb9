//! Why a change was not made.

use std::error::Error;
use std::fmt;

use crate::store::StoreError;
use gateway_core::config::Violation;
use gateway_core::{Revision, TenantId};

/// A change was not made, or not known to be made.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The configuration cannot be accepted.
    #[error("the configuration cannot be accepted: {}", Listed(.0))]
    Invalid(Vec<Violation>),
    /// Another change of the same tenant came first. Nothing was changed.
    #[error("another change of tenant {tenant} came first: look at it, and apply again")]
    Conflict {
        /// Whose configuration.
        tenant: TenantId,
        /// The revision that is current now.
        current: Option<Revision>,
    },
    /// The request that it came by has been answered already. Nothing was changed.
    #[error("the request was answered already: send it again to see how")]
    Repeated,
    /// There is no such tenant, and the change may not make it.
    #[error("there is no tenant `{tenant}`")]
    NoTenant {
        /// Which.
        tenant: TenantId,
    },
    /// Nothing is being rolled out.
    #[error("no rollout of tenant {tenant} is under way")]
    NoRollout {
        /// Whose.
        tenant: TenantId,
    },
    /// A rollout is under way and needs nobody.
    #[error("the rollout of tenant {tenant} is not halted")]
    NotHalted {
        /// Whose.
        tenant: TenantId,
    },
    /// There is nothing to go back to.
    #[error("tenant {tenant} has no revision {revision}")]
    NotFound {
        /// Whose.
        tenant: TenantId,
        /// Its number.
        revision: Revision,
    },
    /// The store failed. Nothing was changed.
    #[error("the change could not be kept")]
    Store(#[source] StoreError),
    /// The change is kept, and the replicas could not be told. Applying again tells them.
    #[error("the change is kept but could not be pushed: apply it again")]
    Unpublished(#[source] StoreError),
    /// The program is stopping, or it or the store failed. Whether the change was made is not known.
    #[error("the change was interrupted: look at whether it was made, and apply it again if not")]
    Interrupted {
        /// What ended it.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Prints violations on one line.
struct Listed<'a>(&'a [Violation]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Violation { path, reason }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{path}: {reason}")?;
        }
        Ok(())
    }
}
