//! Which replicas are connected to which of the control planes that share a store.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;

/// A control plane that has not been seen for so long is not there, and its replicas are not counted.
pub(crate) const GONE_AFTER: Duration = Duration::from_secs(15);

/// A store of what control planes tell each other of their replicas. What is in it is true at the
/// moment, and may be lost at any time.
#[async_trait]
pub(crate) trait ReplicaStore: fmt::Debug + Send + Sync {
    /// Says that a control plane is there, and what has changed among its replicas. `false`: the
    /// store does not know it, and has taken nothing.
    async fn announce(&self, announcement: &Announcement) -> Result<bool, StoreError>;

    /// The other control planes that are there, and of each what has changed since a version of it.
    async fn others(&self, own: &str, known: &[(String, u64)]) -> Result<Vec<Other>, StoreError>;

    /// Takes a control plane away, and its replicas.
    async fn leave(&self, id: &str) -> Result<(), StoreError>;
}

/// What a control plane says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Announcement {
    /// Tells this process from every other, and from itself before it began anew.
    pub(crate) id: String,
    pub(crate) name: String,
    /// Up to where it knows the store.
    pub(crate) sequence: u64,
    /// Raised with every change; 1 is the first, which may be of an id that the store does not know.
    pub(crate) version: u64,
    /// The replicas of which there is something new, and what that is; `None`: it has gone.
    pub(crate) replicas: Vec<(String, Option<String>)>,
    /// What it was before it began anew.
    pub(crate) replaces: Vec<String>,
}

/// Another control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) sequence: u64,
    pub(crate) version: u64,
    /// As in its announcements.
    pub(crate) replicas: Vec<(String, Option<String>)>,
}
