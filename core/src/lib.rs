//! What both planes share: domain types, the configuration model and the seven plugin traits.
//! No I/O and no runtime: everything here can be used, tested and read without a network.

pub mod config;
pub mod plugin;

mod call;
mod credential;
mod deadline;
mod error;
mod host_name;
mod id;
mod name;
mod pattern;
mod principal;
mod uri;

pub use call::{CallContext, RequestId, TraceContext};
pub use credential::{Credential, CredentialEntry, CredentialKey};
pub use deadline::Deadline;
pub use error::{ErrorKind, PluginError};
pub use host_name::{HostName, InvalidHostName};
pub use id::{InvalidName, ProfileName, Revision, ServerName, TenantId, TokenName, UserId};
pub use name::{ExposedName, MAX_EXPOSED_LENGTH, SEPARATOR};
pub use pattern::Pattern;
pub use principal::Principal;
pub use secrecy::{ExposeSecret, SecretString};
pub use uri::ExposedUri;
