//! The control plane: keeps every tenant's configuration as immutable revisions and pushes it to
//! the replicas of the data plane.

pub mod pipe;

mod apply;
mod grpc;
mod plane;
mod push;
mod store;

#[cfg(test)]
mod tests;

pub use apply::{Applied, ApplyError, Change, PluginCheck, Removal};
pub use grpc::ServeError;
pub use plane::{ControlPlane, Options};
pub use push::{Position, ReplicaStatus, TenantStatus, Verdict, VerdictError};
pub use store::{OpenError, RevisionRecord, StoreError};
