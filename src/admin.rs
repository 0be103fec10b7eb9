//! The commands of administrators: what they apply to a control plane, and what they see of it.

mod apply;
mod changes;
mod client;
mod documents;
mod in_force;
mod tenants;
mod token;

pub(crate) use apply::{ApplyArgs, RollbackArgs, apply, rollback};
pub(crate) use tenants::{
    DeleteArgs, GetArgs, HistoryArgs, StatusArgs, delete, get, history, status,
};
pub(crate) use token::{TokenCommand, token};
