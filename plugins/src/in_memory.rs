//! The implementations that run in the gateway's own process.

mod all_must_allow;
mod always_allow;
mod api_key;
mod audit_file;
mod deny_all;
mod desktop_implicit;
mod dropping;
mod encrypted_file;
mod every_sink;
mod json_lines;
mod keychain;
mod line_writer;
mod memory;
mod none;
mod noop;
mod pace;
mod prometheus;
mod rules;
mod stored_credential;

pub(crate) use all_must_allow::AllMustAllow;
pub(crate) use always_allow::AlwaysAllow;
pub(crate) use api_key::ApiKeys;
pub use api_key::{NewKey, NewKeyError, new_key};
pub(crate) use audit_file::Limits;
pub(crate) use deny_all::DenyAll;
pub(crate) use desktop_implicit::DesktopImplicit;
pub(crate) use dropping::Dropping;
pub(crate) use encrypted_file::EncryptedFile;
pub(crate) use every_sink::EverySink;
pub(crate) use json_lines::JsonLines;
pub(crate) use keychain::Keychain;
pub(crate) use line_writer::{LineWriter, Outputs};
pub(crate) use memory::Memory;
pub(crate) use none::NotConfigured;
pub(crate) use noop::Noop;
pub(crate) use pace::Pace;
pub(crate) use prometheus::Prometheus;
pub(crate) use rules::Rules;
pub(crate) use stored_credential::{Injecting, StoredCredential};

/// Reads everything in an audit file and in those that were set aside, the oldest first.
#[cfg(test)]
pub(crate) fn audit_files(path: std::path::PathBuf) -> impl Fn() -> String {
    move || audit_file::everything(&path)
}
