//! An MCP server on rmcp with every tool, prompt and resource that the official conformance suite asks for.

mod callbacks;
mod cancellation;
mod catalog;
mod changes;
mod content;
mod http;
mod mrtr;
mod notices;
mod prompts;
mod questions;
mod reconnection;
mod resources;
mod server;
mod stdio;
mod tasks;

pub use http::ConformanceServer;
pub use stdio::serve_stdio;
