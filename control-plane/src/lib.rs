//! The control plane: keeps every tenant's configuration as immutable revisions and pushes it to
//! the replicas of the data plane.

pub mod pipe;

mod apply;
mod grpc;
mod metrics;
mod operations;
mod plane;
mod push;
mod rollout;
mod store;
mod token;

#[cfg(test)]
mod tests;

pub use apply::{
    Applied, ApplyError, Change, Decision, Difference, DifferenceKind, PluginCheck, Removal,
    Rollback,
};
pub use grpc::{CertificateRole, InvalidCertificateRole, ServeError, ServerTls};
pub use plane::{ControlPlane, Network, Options};
pub use push::{ReplicaStatus, TenantStatus, Verdict, VerdictError};
pub use rollout::{Plan, Rollout, Stage, Tally};
pub use store::{Database, InvalidAddress, OpenError, PostgresAddress, RevisionRecord, StoreError};
pub use token::{
    InvalidRole, InvalidToken, NoRandomness, Role, Scope, TokenHash, TokenUse, Tokens, new_token,
};
