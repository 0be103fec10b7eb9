//! Where the configuration comes from: the stream from the control plane, compiled and swapped in.

pub(crate) mod cache;
mod compile;
mod follow;
mod in_force;
mod join;
mod outage;
mod report;

pub use cache::{Cache, CacheError};
pub(crate) use compile::Compiler;
pub(crate) use compile::Outbound;
pub use compile::Permits;
pub(crate) use follow::Follower;
pub(crate) use in_force::InForce;
pub(crate) use join::Authorization;
pub use join::{ClientTls, ControlPlane, JoinError, JoinToken, channel, is_loopback};
