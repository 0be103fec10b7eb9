//! The command line of `mcp-gateway`, and the wiring of the planes behind each command.

pub mod cli;

#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod admin;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod api_key;
mod client;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod config_edit;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod config_file;
#[cfg(all(unix, feature = "control-plane", feature = "data-plane"))]
mod control_client;
#[cfg(feature = "control-plane")]
mod control_plane;
#[cfg(all(unix, feature = "control-plane", feature = "data-plane"))]
mod control_socket;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod credential;
#[cfg(feature = "control-plane")]
mod data_dir;
#[cfg(feature = "data-plane")]
mod data_plane;
#[cfg(any(feature = "control-plane", feature = "data-plane"))]
mod descriptors;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod desktop;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod doctor;
mod exit;
mod folders;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod import;
#[cfg(any(feature = "control-plane", feature = "data-plane"))]
mod kept;
#[cfg(feature = "data-plane")]
mod limits;
#[cfg(any(feature = "control-plane", feature = "data-plane"))]
mod listen;
mod logging;
mod manual;
mod output;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod plugin;
#[cfg(any(feature = "control-plane", feature = "data-plane"))]
mod process;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod sample;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod server;
#[cfg(any(feature = "control-plane", feature = "data-plane"))]
mod signals;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod stdio;
mod text_file;
#[cfg(any(feature = "control-plane", feature = "data-plane"))]
mod tls;
#[cfg(all(unix, feature = "control-plane", feature = "data-plane"))]
mod tools;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod validate;
