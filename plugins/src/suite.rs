//! What every implementation of a plugin trait must do, as one suite of cases for each trait.
//!
//! A suite runs against any implementation, in memory or over MCP. It is told what the
//! implementation was set up with, because a suite cannot know which credential is good or which
//! action is allowed. It reports what it finds as data, and removes what it has made.
//! `protocol` is about a plugin's server, whatever its trait.

mod audit_sink;
mod auth_provider;
mod auth_proxy;
mod credential_storage;
mod mcp_provisioner;
mod policy_evaluator;
mod probe;
mod protocol;
mod report;
mod telemetry;
mod tidy;

pub use audit_sink::{ReadBack, audit_sink};
pub use auth_provider::{Accounts, auth_provider};
pub use auth_proxy::{Injections, ProxyCall, auth_proxy};
pub use credential_storage::{Keeping, credential_storage};
pub use mcp_provisioner::{Running, mcp_provisioner};
pub use policy_evaluator::{Access, Rules, policy_evaluator};
pub use probe::unique;
pub use protocol::{Latency, Protocol, tools_of};
pub use report::{Finding, Report, Verdict};
pub use telemetry::telemetry;

#[cfg(test)]
pub(crate) use audit_sink::audit_event;

#[cfg(test)]
mod tests;
