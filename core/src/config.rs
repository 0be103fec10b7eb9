//! The one configuration model: what YAML spells, the store keeps and the push carries.

mod check;
mod document;
mod duration;
pub mod edit;
mod locate;
mod plugins;
mod profile;
mod secret_ref;
mod server;
mod server_fields;
mod settings;
mod yaml;

pub use check::{Violation, check, check_header_name};
pub use document::TenantConfig;
pub use duration::{InvalidTimeSpan, TimeSpan};
pub use plugins::{
    AuditDurability, AuditOverflow, CacheConfig, PluginConfig, PluginsConfig, Provider,
};
pub use profile::{ProfileConfig, ToolFilter};
pub use secret_ref::{SecretRef, Setting};
pub use server::{
    CredentialsMode, Isolation, RemoteAuth, ServerConfig, ServerSpec, ServerTls, SidecarAddress,
};
pub use settings::{InvalidSettings, Settings};
pub use yaml::{ConfigError, Problem, load_yaml, to_yaml};
