//! The only writer: checks a change, pins its references, keeps it, and has it pushed.

use std::fmt;
use std::sync::Arc;

use gateway_core::config::{PluginsConfig, TenantConfig, Violation, check};
use gateway_core::{Revision, TenantId};
use jiff::Timestamp;
use tokio::task::JoinError;

use crate::push::Hub;
use crate::store::{Document, NewRemoval, NewRevision, Store, StoreError, WriteError};

mod resolve;
mod summary;

/// Says what is wrong with the `plugins:` part of a configuration, without building it.
pub type PluginCheck = Arc<dyn Fn(&PluginsConfig) -> Vec<Violation> + Send + Sync>;

/// A configuration that somebody wants in force.
#[derive(Debug, Clone)]
pub struct Change {
    /// The whole configuration of its tenant.
    pub config: TenantConfig,
    /// The text that it was read from.
    pub submitted: String,
    /// Who wants it.
    pub author: String,
    /// Why.
    pub reason: String,
}

/// A tenant that somebody wants out of service.
#[derive(Debug, Clone)]
pub struct Removal {
    /// Which.
    pub tenant: TenantId,
    /// Who wants it.
    pub author: String,
    /// Why.
    pub reason: String,
}

/// A configuration that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The revision that it is.
    pub revision: Revision,
    /// Whether that revision is new. If not, the configuration was current already.
    pub changed: bool,
}

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
    /// The store failed. Nothing was changed.
    #[error("the change could not be kept")]
    Store(#[source] StoreError),
    /// The change is kept, and the replicas could not be told. Applying again tells them.
    #[error("the change is kept but could not be pushed: apply it again")]
    Unpublished(#[source] StoreError),
    /// The program is stopping, or failed. Whether the change was made is not known.
    #[error("the change was interrupted: look at whether it was made, and apply it again if not")]
    Interrupted {
        /// What ended it.
        source: JoinError,
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

/// Makes changes. What it accepts is sound, so that whoever reads the store need not check again.
pub(crate) struct Writer {
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    check_plugins: PluginCheck,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn new(store: Arc<dyn Store>, hub: Arc<Hub>, check_plugins: PluginCheck) -> Self {
        Self {
            store,
            hub,
            check_plugins,
        }
    }

    pub(crate) async fn apply(&self, change: Change) -> Result<Applied, ApplyError> {
        let Change {
            config,
            submitted,
            author,
            reason,
        } = change;
        self.check(&config)?;
        let tenant = config.tenant.clone();
        let resolved =
            resolve::encode(&config).map_err(|found| ApplyError::Invalid(vec![found]))?;

        let current = self.store.document(&tenant).await;
        let current = current.map_err(ApplyError::Store)?;
        let before = current
            .as_ref()
            .and_then(|document| read(&tenant, document));
        if let (Some(current), Some(before)) = (&current, &before)
            && *before == config
        {
            // Heals a push that failed when this revision was made.
            self.publish().await?;
            return Ok(Applied {
                revision: current.revision,
                changed: false,
            });
        }

        let new = NewRevision {
            expected: current.map(|document| document.revision),
            created_at: Timestamp::now(),
            author,
            reason,
            summary: summary::summarize(&before.unwrap_or_default(), &config),
            submitted,
            resolved,
            tenant: tenant.clone(),
        };
        let written = self.store.write(new).await;
        let revision = written.map_err(|error| refused(tenant.clone(), error))?;
        tracing::info!(tenant.id = %tenant, %revision, "kept a new revision");
        self.publish().await?;
        Ok(Applied {
            revision,
            changed: true,
        })
    }

    pub(crate) async fn remove(&self, removal: Removal) -> Result<bool, ApplyError> {
        let Removal {
            tenant,
            author,
            reason,
        } = removal;
        let current = self.store.document(&tenant).await;
        let Some(current) = current.map_err(ApplyError::Store)? else {
            self.publish().await?;
            return Ok(false);
        };
        let new = NewRemoval {
            tenant: tenant.clone(),
            expected: current.revision,
            created_at: Timestamp::now(),
            author,
            reason,
        };
        let removed = self.store.remove(new).await;
        removed.map_err(|error| refused(tenant.clone(), error))?;
        tracing::info!(tenant.id = %tenant, "removed the tenant");
        self.publish().await?;
        Ok(true)
    }

    fn check(&self, config: &TenantConfig) -> Result<(), ApplyError> {
        let mut violations = check(config);
        // The plugins' own check builds on this one, and would say the same in other words.
        if !violations
            .iter()
            .any(|found| found.path.starts_with("plugins"))
        {
            violations.extend((self.check_plugins)(&config.plugins));
        }
        resolve::check(config, &mut violations);
        if violations.is_empty() {
            Ok(())
        } else {
            Err(ApplyError::Invalid(violations))
        }
    }

    async fn publish(&self) -> Result<(), ApplyError> {
        let refreshed = self.hub.refresh(self.store.as_ref()).await;
        refreshed.map_err(ApplyError::Unpublished)
    }
}

/// `None` if it cannot be read, which must not keep anybody from replacing it.
fn read(tenant: &TenantId, document: &Document) -> Option<TenantConfig> {
    match gateway_proto::decode(&document.resolved) {
        Ok(config) => Some(config),
        Err(error) => {
            let revision = document.revision;
            tracing::error!(tenant.id = %tenant, %revision, %error, "cannot read the current revision");
            None
        }
    }
}

fn refused(tenant: TenantId, error: WriteError) -> ApplyError {
    match error {
        WriteError::Conflict { current } => ApplyError::Conflict { tenant, current },
        WriteError::Store(source) => ApplyError::Store(source),
    }
}
