//! Snapshots for tests, compiled as those in force are.

use gateway_core::Revision;
use gateway_core::config::load_yaml;
use gateway_mcp::client::{Connector, NetworkPolicy};
use gateway_plugins::{Registry, Role, SecretResolver};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Origin, Snapshot};
use crate::config::{Compiler, Permits};
use crate::limits::Limits;
use crate::upstream::Commands;

/// A compiler that permits what a desktop does.
pub(crate) fn compiler() -> Compiler {
    let permits = Permits {
        registry: Registry::new(Role::Desktop {
            loopback_only: true,
        }),
        secrets: SecretResolver::desktop(),
        connector: Connector::new(NetworkPolicy::desktop()).unwrap(),
        commands: Commands::Any,
        max_message_bytes: 1024,
        connects_at_once: true,
    };
    Compiler {
        permits,
        limits: Limits::default(),
        tasks: TaskTracker::new(),
        stopping: CancellationToken::new(),
    }
}

/// Where a document of this revision comes from.
pub(crate) fn origin(revision: u64) -> Origin {
    Origin {
        store: "test".into(),
        revision: Revision(revision),
    }
}

/// The snapshot of a document.
pub(crate) fn snapshot(yaml: &str, revision: u64) -> Snapshot {
    let config = load_yaml(yaml).unwrap();
    compiler().compile(config, origin(revision), None).unwrap()
}
