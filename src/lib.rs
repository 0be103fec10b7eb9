//! The command line of `mcp-gateway`, and the wiring of the planes behind each command.

pub mod cli;

#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod config_file;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod data_dir;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod desktop;
mod exit;
mod logging;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod signals;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
mod validate;
