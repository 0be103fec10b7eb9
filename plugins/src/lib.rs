//! Plugin implementations, the registry that builds a tenant's plugins, and the suites that every
//! implementation must pass.

pub mod suite;

mod cached;
mod files;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod in_memory;
mod metrics;
mod over_mcp;
mod registry;
mod secrets;
mod settings;
mod spool;
mod tools;

pub use in_memory::{NewKey, NewKeyError, new_key};
pub use metrics::{Metrics, Reading};
pub use over_mcp::{Adapter, Dial, PluginCondition, PluginServers, required_tools};
pub use registry::{PluginConditions, Registry, Role, implementations_of};
pub use secrets::SecretResolver;
pub use spool::{SpoolOptions, SpoolState, Spools};
pub use tools::{Answer, Object, PluginTools, Tool};
