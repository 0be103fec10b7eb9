//! Test harness: the gateway as a process, official clients and servers, a raw client, and a fixture server.

#![expect(
    clippy::indexing_slicing,
    reason = "an index into a JSON value gives null where there is nothing, and only tests use this crate"
)]

pub mod balancer;
pub mod bare_names;
pub mod batches;
pub mod bench;
pub mod bystander;
pub mod clients;
pub mod collector;
pub mod conformance;
pub mod conformance_client;
pub mod crossing;
pub mod doctor;
pub mod examples;
pub mod faults;
pub mod faulty_way;
pub mod fixture;
pub mod fleet;
pub mod gateway;
pub mod home;
pub mod hostile;
pub mod log;
pub mod matrix;
pub mod planes;
pub mod plugin_server;
pub mod postgres;
pub mod principals;
pub mod processes;
pub mod raw;
pub mod round_robin;
pub mod secrets;
pub mod servers;
pub mod session;
pub mod setup;
pub mod soak;
pub mod stdio;
pub mod tenants;
pub mod tls;
pub mod victim;
pub mod wait;
pub mod workspace;

pub use gateway::{Exit, Gateway};
pub use plugin_server::PluginServer;
pub use session::{Era, Session};
pub use setup::Setup;
pub use workspace::Workspace;
