//! The commands of administrators: what they apply to a control plane, and what they see of it.

mod apply;
mod changes;
mod client;
mod context;
mod documents;
mod host;
mod in_force;
mod rollout;
mod tenant_edit;
mod tenants;
mod token;

pub(crate) use apply::{ApplyArgs, DiffArgs, RollbackArgs, apply, diff, rollback};
pub(crate) use client::ServerArgs;
pub(crate) use context::{ContextCommand, run as context};
pub(crate) use host::{HostCommand, host};
pub(crate) use rollout::{RolloutCommand, rollout};
pub(crate) use tenant_edit::TenantEdit;
pub(crate) use tenants::{
    DeleteArgs, GetArgs, HistoryArgs, StatusArgs, delete, get, history, status,
};
pub(crate) use token::{TokenCommand, token};
