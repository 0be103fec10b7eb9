//! Where the configuration comes from: the stream from the control plane, compiled and swapped in.

mod compile;
mod follow;
mod join;
mod outage;
mod report;

pub(crate) use compile::Compiler;
pub use compile::Permits;
pub(crate) use follow::Follower;
pub(crate) use join::authorization;
pub use join::{ClientTls, JoinError, channel, is_loopback};
