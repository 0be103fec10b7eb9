//! MCP as bytes: messages and their edits, framers, header rules, and the client of MCP servers.
//!
//! Messages between a client and a server are not parsed into types and written again: that would
//! lose what this version of the gateway does not know. They stay the bytes they came as; the
//! places of the few fields that matter are found, and edits replace just those.

pub mod author;
pub mod batch;
pub mod bridge;
pub mod client;
pub mod code;
pub mod header;
pub mod json;
pub mod lines;
pub mod list;
pub mod message;
pub mod meta;
pub mod params;
pub mod place;
pub mod splice;
pub mod sse;
pub mod version;

pub use message::{Kind, Message, ScanError};
pub use params::Params;
pub use splice::Splice;
pub use version::{Era, Version};
