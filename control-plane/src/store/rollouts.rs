//! What a store keeps of rollouts: of each tenant the last one.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_core::{Revision, TenantId};

use super::{StoreError, WriteError};
use crate::rollout::{Plan, Rollout, RolloutStep, Stage};

/// A store of rollouts. One begins with the revision that it rolls out, in the same transaction.
#[async_trait]
pub(crate) trait RolloutStore: fmt::Debug + Send + Sync {
    /// A tenant's last rollout, whether or not it is over.
    async fn rollout(&self, tenant: &TenantId) -> Result<Option<Rollout>, StoreError>;

    /// The rollouts that are not over, in the order of their tenants.
    async fn active_rollouts(&self) -> Result<Vec<Rollout>, StoreError>;

    /// Makes a step, all or nothing, with its row in the audit trail; a conflict where another one
    /// came first. It is a change of the tenant, which replicas are told of.
    async fn step_rollout(&self, step: RolloutStep) -> Result<(), WriteError>;

    /// Whether this process, of all that use the store, is to make the steps that nobody asks for. It
    /// is to be asked each time; two that are told so at once only get into each other's way.
    async fn lead(&self) -> Result<bool, StoreError>;
}

/// What a new revision is to a tenant's rollouts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rolled {
    /// Every replica gets it. A rollout that is not over ends, as this.
    AtOnce(Stage),
    /// It begins a rollout of its own. One that is not over is superseded, and what the replicas
    /// kept by it they keep by this one.
    By(Plan),
}

/// What canaries are to have, and who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Canary {
    pub(crate) revision: Revision,
    /// The encoded configuration.
    pub(crate) config: Bytes,
    /// The names of the replicas.
    pub(crate) replicas: Arc<BTreeSet<String>>,
}
