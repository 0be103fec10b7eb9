//! The only writer: checks a change, pins its references, keeps it, and has it pushed.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use gateway_core::config::{PluginsConfig, TenantConfig, Violation, check};
use gateway_core::{Revision, TenantId};
use jiff::Timestamp;

use crate::push::Hub;
use crate::rollout::{Plan, Stage};
use crate::store::{
    Answered, Document, NewRemoval, NewRevision, RequestRecord, Rolled, Store, StoreError,
    StoredRevision, WriteAction, WriteError,
};

mod asked;
mod difference;
mod error;
mod resolve;
mod rollout;
mod summary;

pub use asked::{Applied, Change, Removal, Rollback};
pub use difference::{Difference, DifferenceKind};
pub use error::ApplyError;
pub use rollout::Decision;

/// Says what is wrong with the `plugins:` part of a configuration, without building it.
pub type PluginCheck = Arc<dyn Fn(&PluginsConfig) -> Vec<Violation> + Send + Sync>;

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

    pub(crate) async fn apply(
        &self,
        change: Change,
        request: Option<RequestRecord>,
    ) -> Result<Applied, ApplyError> {
        let Change {
            config,
            submitted,
            author,
            reason,
            expected,
            validate_only,
            must_exist,
            canary,
        } = change;
        self.check(&config)?;
        let resolved =
            resolve::encode(&config).map_err(|found| ApplyError::Invalid(vec![found]))?;
        let wanted = Wanted {
            config,
            submitted,
            resolved,
            author,
            reason,
            again: None,
            request,
            must_exist,
            rolled: rolled(canary)?,
        };
        self.keep(wanted, expected, validate_only).await
    }

    /// Makes an earlier document current again, as it was submitted and as it was resolved then.
    pub(crate) async fn roll_back(
        &self,
        rollback: Rollback,
        request: Option<RequestRecord>,
    ) -> Result<Applied, ApplyError> {
        let Rollback {
            tenant,
            to,
            author,
            reason,
            expected,
            validate_only,
            must_exist,
            canary,
        } = rollback;
        let stored = self.store.revision(&tenant, to).await;
        let not_found = || ApplyError::NotFound {
            tenant: tenant.clone(),
            revision: to,
        };
        let StoredRevision { record, resolved } =
            stored.map_err(ApplyError::Store)?.ok_or_else(not_found)?;
        let config = gateway_proto::decode(&resolved).map_err(|error| {
            let reason = format!("revision {to} cannot be read by this version: {error}");
            ApplyError::Invalid(vec![Violation::new("revision", reason)])
        })?;
        // What was sound for an earlier version need not be for this one.
        self.check(&config)?;
        let wanted = Wanted {
            config,
            submitted: record.submitted,
            resolved,
            author,
            reason,
            again: Some(to),
            request,
            must_exist,
            rolled: rolled(canary)?,
        };
        self.keep(wanted, expected, validate_only).await
    }

    /// Keeps a checked configuration as the next revision, unless it is current already.
    async fn keep(
        &self,
        wanted: Wanted,
        expected: Option<Revision>,
        validate_only: bool,
    ) -> Result<Applied, ApplyError> {
        let tenant = wanted.config.tenant.clone();
        let current = self.store.document(&tenant).await;
        let current = current.map_err(ApplyError::Store)?;
        let revision = current.as_ref().map(|document| document.revision);
        if revision.is_none() && wanted.must_exist {
            return Err(ApplyError::NoTenant { tenant });
        }
        expect(&tenant, expected, revision)?;
        let before = current
            .as_ref()
            .and_then(|document| read(&tenant, document));
        let is_current = before.as_ref() == Some(&wanted.config)
            && !self.is_on_its_way_otherwise(&tenant, wanted.rolled).await?;
        let before = before.unwrap_or_default();
        let differences = difference::between(&before, &wanted.config);
        if is_current || validate_only {
            if !validate_only {
                // Heals a push that failed when this revision was made.
                self.publish().await?;
                if let Some(request) = &wanted.request {
                    let answered = Answered {
                        revision: revision.unwrap_or_default(),
                        based_on: revision,
                        changed: false,
                    };
                    let remembered = self.store.remember(request, &answered).await;
                    remembered.map_err(|error| refused(tenant, error))?;
                }
            }
            return Ok(Applied {
                revision: revision.unwrap_or_default(),
                changed: !is_current,
                differences,
            });
        }

        let summary = summary::summarize(&before, &wanted.config);
        let (action, summary) = match wanted.again {
            None => (WriteAction::Apply, summary),
            Some(to) => (
                WriteAction::Rollback,
                format!("rolled back to revision {to}: {summary}"),
            ),
        };
        let new = NewRevision {
            expected: revision,
            created_at: Timestamp::now(),
            author: wanted.author,
            reason: wanted.reason,
            summary,
            action,
            submitted: wanted.submitted,
            resolved: wanted.resolved,
            rolled: wanted.rolled,
            request: wanted.request,
            tenant: tenant.clone(),
        };
        let written = self.store.write(new).await;
        let revision = written.map_err(|error| refused(tenant.clone(), error))?;
        tracing::info!(tenant.id = %tenant, %revision, "kept a new revision");
        self.publish().await?;
        Ok(Applied {
            revision,
            changed: true,
            differences,
        })
    }

    pub(crate) async fn remove(
        &self,
        removal: Removal,
        request: Option<RequestRecord>,
    ) -> Result<bool, ApplyError> {
        let Removal {
            tenant,
            author,
            reason,
            expected,
        } = removal;
        let current = self.store.document(&tenant).await;
        let Some(current) = current.map_err(ApplyError::Store)? else {
            self.publish().await?;
            return Ok(false);
        };
        expect(&tenant, expected, Some(current.revision))?;
        let new = NewRemoval {
            tenant: tenant.clone(),
            expected: current.revision,
            created_at: Timestamp::now(),
            author,
            reason,
            request,
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

    /// What an earlier request led to, as it was answered then.
    pub(crate) async fn applied_before(
        &self,
        tenant: &TenantId,
        answered: &Answered,
    ) -> Result<Applied, StoreError> {
        let mut differences = Vec::new();
        if answered.changed {
            let before = self.config_of(tenant, answered.based_on).await?;
            let after = self.config_of(tenant, Some(answered.revision)).await?;
            differences = difference::between(&before, &after);
        }
        Ok(Applied {
            revision: answered.revision,
            changed: answered.changed,
            differences,
        })
    }

    async fn config_of(
        &self,
        tenant: &TenantId,
        revision: Option<Revision>,
    ) -> Result<TenantConfig, StoreError> {
        let Some(revision) = revision else {
            return Ok(TenantConfig::default());
        };
        let stored = self.store.revision(tenant, revision).await?;
        let config = stored.and_then(|stored| {
            let resolved = stored.resolved;
            read(tenant, &Document { revision, resolved })
        });
        Ok(config.unwrap_or_default())
    }

    async fn publish(&self) -> Result<(), ApplyError> {
        let refreshed = self.hub.refresh(self.store.as_ref()).await;
        refreshed.map_err(ApplyError::Unpublished)
    }
}

/// A checked configuration that is to be current.
struct Wanted {
    config: TenantConfig,
    submitted: String,
    resolved: Bytes,
    author: String,
    reason: String,
    /// The revision that had it before, if that is where it comes from.
    again: Option<Revision>,
    /// The request that it came by, if that may come again.
    request: Option<RequestRecord>,
    must_exist: bool,
    rolled: Rolled,
}

fn rolled(canary: Option<Plan>) -> Result<Rolled, ApplyError> {
    let Some(plan) = canary else {
        return Ok(Rolled::AtOnce(Stage::Superseded));
    };
    match plan.problem() {
        None => Ok(Rolled::By(plan)),
        Some((field, reason)) => {
            let violation = Violation::new(format!("canary.{field}"), reason);
            Err(ApplyError::Invalid(vec![violation]))
        }
    }
}

/// Refuses a change whose author has seen another revision than the current one.
fn expect(
    tenant: &TenantId,
    expected: Option<Revision>,
    current: Option<Revision>,
) -> Result<(), ApplyError> {
    if expected.is_none() || expected == current {
        return Ok(());
    }
    Err(ApplyError::Conflict {
        tenant: tenant.clone(),
        current,
    })
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
        WriteError::Repeated => ApplyError::Repeated,
        WriteError::Store(error @ StoreError::Uncertain { .. }) => ApplyError::Interrupted {
            source: error.into(),
        },
        WriteError::Store(source) => ApplyError::Store(source),
    }
}
