//! What becomes of a rollout that somebody decides about.

use gateway_core::TenantId;
use jiff::Timestamp;

use super::{Applied, ApplyError, Rolled, StoredRevision, Wanted, Writer, refused};
use crate::apply::Removal;
use crate::rollout::{Rollout, Stage};

/// Who decides about a rollout, and why.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Whose rollout.
    pub tenant: TenantId,
    /// Who decides.
    pub author: String,
    /// Why.
    pub reason: String,
}

impl Writer {
    /// Whether what is current is not what every replica has or gets, unless it is about to be
    /// rolled out in this very way.
    pub(super) async fn is_on_its_way_otherwise(
        &self,
        tenant: &TenantId,
        rolled: Rolled,
    ) -> Result<bool, ApplyError> {
        let last = self
            .store
            .rollout(tenant)
            .await
            .map_err(ApplyError::Store)?;
        let Some(active) = last.filter(|last| last.stage.is_active()) else {
            return Ok(false);
        };
        Ok(active.stage == Stage::Halted || rolled != Rolled::By(active.plan))
    }

    /// Begins a rollout anew that was halted.
    pub(crate) async fn resume(&self, decision: Decision) -> Result<Rollout, ApplyError> {
        let Decision {
            tenant,
            author,
            reason,
        } = decision;
        let active = self.active(&tenant).await?;
        if active.stage != Stage::Halted {
            return Err(ApplyError::NotHalted { tenant });
        }
        let step = active.resumed(Timestamp::now(), &author, reason);
        let stepped = self.store.step_rollout(step).await;
        stepped.map_err(|error| refused(tenant.clone(), error))?;
        tracing::info!(tenant.id = %tenant, revision = %active.revision, "resumed a rollout");
        self.publish().await?;
        self.active(&tenant).await
    }

    /// Gives up a revision that is not rolled out yet: what the replicas kept is current again, as a
    /// new revision. A tenant that was new is removed; the revision is then `None`.
    pub(crate) async fn abort(&self, decision: Decision) -> Result<Option<Applied>, ApplyError> {
        let Decision {
            tenant,
            author,
            reason,
        } = decision;
        let active = self.active(&tenant).await?;
        let Some(stable) = active.stable else {
            let removal = Removal {
                tenant,
                author,
                reason,
                expected: Some(active.revision),
            };
            self.remove(removal, None).await?;
            return Ok(None);
        };
        let stored = self.store.revision(&tenant, stable).await;
        let not_found = || ApplyError::NotFound {
            tenant: tenant.clone(),
            revision: stable,
        };
        let StoredRevision { record, resolved } =
            stored.map_err(ApplyError::Store)?.ok_or_else(not_found)?;
        let wanted = Wanted {
            // Not checked again: it has been in force all along.
            config: self
                .config_of(&tenant, Some(stable))
                .await
                .map_err(ApplyError::Store)?,
            submitted: record.submitted,
            resolved,
            author,
            reason,
            again: Some(stable),
            request: None,
            must_exist: true,
            rolled: Rolled::AtOnce(Stage::Aborted),
        };
        self.keep(wanted, Some(active.revision), false)
            .await
            .map(Some)
    }

    async fn active(&self, tenant: &TenantId) -> Result<Rollout, ApplyError> {
        let last = self
            .store
            .rollout(tenant)
            .await
            .map_err(ApplyError::Store)?;
        let active = last.filter(|last| last.stage.is_active());
        active.ok_or_else(|| ApplyError::NoRollout {
            tenant: tenant.clone(),
        })
    }
}
