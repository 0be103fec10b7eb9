//! Keeps every replica at the current configuration: what is current, who has what, and who
//! refused what.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gateway_core::{Revision, TenantId};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::store::{HostTable, Store, StoreError};
use crate::token::Scope;

mod count;
mod elsewhere;
mod exchange;
mod feed;
mod fleet;
mod follow;
mod index;
mod recipient;
mod replicas;
mod rollouts;
mod settling;
mod shared_map;
mod status;
mod told;
mod verdict;

use elsewhere::Elsewhere;
pub(crate) use feed::{Batch, Feed, Step};
use fleet::{Fleet, Peer};
pub(crate) use fleet::{Following, Table, is_address};
pub(crate) use follow::Follower;
pub(crate) use index::Index;
use index::Position;
pub(crate) use recipient::Recipient;
use replicas::Replica;
pub(crate) use replicas::Seat;
pub use status::{ReplicaStatus, TenantStatus};
pub use verdict::{Verdict, VerdictError};

/// What a replica says when it connects.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    pub(crate) replica: String,
    pub(crate) version: String,
    /// Where other replicas reach it, as HOST:PORT; `None`: nowhere.
    pub(crate) advertise: Option<String>,
    /// The store that `cursor` and `held` were counted in.
    pub(crate) store: String,
    /// The highest sequence that it has acknowledged.
    pub(crate) cursor: u64,
    /// What it has in force.
    pub(crate) held: BTreeMap<TenantId, Revision>,
}

/// A replica of this name is connected that may have tenants which the one that comes may not.
#[derive(Debug, thiserror::Error)]
#[error(
    "a replica {0} is connected whose join token is for other tenants: every replica needs a name of its own"
)]
pub(crate) struct NameTaken(String);

/// Where writers publish, streams follow, and whoever asks looks up what came of it. Reads the
/// store once for all streams; nothing here waits for a replica.
#[derive(Debug)]
pub(crate) struct Hub {
    /// How this control plane is called.
    name: Arc<str>,
    store_id: Arc<str>,
    index: watch::Sender<Arc<Index>>,
    /// The host names that stand for tenants, and the sequence at which they were read.
    hosts: watch::Sender<(u64, HostTable)>,
    /// Those that are connected here.
    replicas: watch::Sender<BTreeMap<String, Replica>>,
    pub(crate) fleet: Fleet,
    /// Those that are connected to other control planes.
    elsewhere: watch::Sender<Elsewhere>,
    streams: AtomicU64,
    pub(crate) metrics: Metrics,
}

/// Whether anything has changed since it was looked at.
#[derive(Debug)]
pub(crate) struct Changes {
    index: watch::Receiver<Arc<Index>>,
    replicas: watch::Receiver<BTreeMap<String, Replica>>,
    elsewhere: watch::Receiver<Elsewhere>,
}

impl Changes {
    /// To be called before looking, so that no change is missed.
    pub(crate) fn mark_seen(&mut self) {
        self.index.mark_unchanged();
        self.replicas.mark_unchanged();
        self.elsewhere.mark_unchanged();
    }

    /// Waits for the next change. Loses nothing when it is dropped before.
    pub(crate) async fn next(&mut self) {
        // The senders are the hub's, which is there for as long as its control plane is.
        tokio::select! {
            _ = self.index.changed() => {}
            _ = self.replicas.changed() => {}
            _ = self.elsewhere.changed() => {}
        }
    }
}

impl Hub {
    /// A hub at the store's current state.
    pub(crate) async fn open(store: &dyn Store, name: &str) -> Result<Self, StoreError> {
        let hub = Self {
            name: name.into(),
            store_id: store.id().into(),
            index: watch::Sender::default(),
            hosts: watch::Sender::default(),
            replicas: watch::Sender::default(),
            fleet: Fleet::default(),
            elsewhere: watch::Sender::default(),
            streams: AtomicU64::new(0),
            metrics: Metrics::default(),
        };
        hub.refresh(store).await?;
        Ok(hub)
    }

    /// Reads what changed in the store and wakes every stream. Safe to be called at any time and
    /// by several at once: what is older than what is known is not taken.
    pub(crate) async fn refresh(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut heads = store.heads_since(self.sequence()).await?;
        if let Some(hosts) = heads.hosts.take() {
            self.hosts.send_if_modified(|known| {
                let is_newer = heads.sequence > known.0;
                if is_newer {
                    *known = (heads.sequence, hosts);
                }
                is_newer
            });
        }
        self.index.send_if_modified(|index| {
            let newer = index.with(heads);
            let changed = newer.is_some();
            if let Some(newer) = newer {
                *index = Arc::new(newer);
            }
            changed
        });
        Ok(())
    }

    /// Up to where the store is known.
    pub(crate) fn sequence(&self) -> u64 {
        self.index.borrow().position().sequence
    }

    /// Which store the numbers count in.
    pub(crate) fn store_id(&self) -> &str {
        &self.store_id
    }

    /// The tenants that have a configuration, in the order of their names.
    pub(crate) fn tenants(&self) -> Vec<TenantId> {
        self.index.borrow().tenants().cloned().collect()
    }

    /// Which revision of a tenant is current; `None`: it has none.
    pub(crate) fn current(&self, tenant: &TenantId) -> Option<Revision> {
        self.index.borrow().tenant(tenant)?.1
    }

    /// The host names that stand for tenants.
    pub(crate) fn hosts(&self) -> HostTable {
        Arc::clone(&self.hosts.borrow().1)
    }

    /// Follows them.
    pub(crate) fn follow_hosts(&self) -> watch::Receiver<(u64, HostTable)> {
        self.hosts.subscribe()
    }

    /// Follows what is current.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<Index>> {
        self.index.subscribe()
    }

    /// Tells of every change of what is current, and of every answer of a replica, wherever that is.
    pub(crate) fn changes(&self) -> Changes {
        Changes {
            index: self.index.subscribe(),
            replicas: self.replicas.subscribe(),
            elsewhere: self.elsewhere.subscribe(),
        }
    }

    /// Whether nearly all of what a replica may have is still to be sent to it.
    pub(crate) fn lacks_most(&self, hello: &Hello, scope: &Scope) -> bool {
        let all = self.index.borrow().position().revisions.len();
        let wanted = scope.tenants().map_or(all, |some| some.len().min(all));
        let is_of_another = hello.store != *self.store_id;
        is_of_another || hello.held.len() < wanted / 2
    }

    /// Takes a replica in: its seat, which it has for as long as the seat is held, and what it is
    /// to be sent. An earlier stream of the same replica loses its seat, unless it may have what this
    /// one may not: no token is of use against the replicas of tenants that it is not for.
    pub(crate) fn join(
        self: &Arc<Self>,
        hello: Hello,
        scope: Scope,
    ) -> Result<(Seat, Feed), NameTaken> {
        let Hello {
            replica,
            version,
            advertise,
            store,
            cursor,
            held,
        } = hello;
        let index = Arc::clone(&self.index.borrow());
        // A replica that is ahead has seen what a restored backup has not: the same numbers may
        // since have been given to other content.
        let comparable = store == *self.store_id && cursor <= index.position().sequence;
        let recipient = Recipient {
            replica: replica.clone(),
            scope: scope.clone(),
        };
        let feed = Feed::new(recipient, Arc::clone(&index), &held, comparable);

        let superseded = CancellationToken::new();
        let stream = self.streams.fetch_add(1, Ordering::Relaxed);
        let mut held = held;
        held.retain(|tenant, _| scope.includes(tenant));
        // Nothing is taken as answered before the replica's first answer on this stream.
        let held = Position::held(&held, index.position());
        let entry = Replica {
            stream,
            superseded: superseded.clone(),
            scope: scope.clone(),
            version,
            advertise: advertise.clone(),
            connected_at: Timestamp::now(),
            delivered: held.clone(),
            in_force: held,
            exceptions: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        };
        let seated = self.replicas.send_if_modified(|replicas| {
            let earlier = replicas.get(&replica);
            if earlier.is_some_and(|earlier| !entry.scope.covers(&earlier.scope)) {
                return false;
            }
            if let Some(earlier) = replicas.insert(replica.clone(), entry) {
                earlier.superseded.cancel();
            }
            true
        });
        if !seated {
            return Err(NameTaken(replica));
        }
        let peer = advertise.map(|advertise| Peer {
            replica: replica.clone(),
            advertise,
            scope,
        });
        self.fleet.join(&replica, peer, stream);
        self.look_elsewhere();
        let seat = Seat::new(Arc::clone(self), replica, stream, superseded);
        Ok((seat, feed))
    }

    /// Takes into the table of replicas those that are connected to other control planes.
    fn look_elsewhere(&self) {
        let none_is_elsewhere = self.elsewhere.borrow().is_empty();
        if none_is_elsewhere {
            return self.fleet.know_elsewhere(Vec::new());
        }
        let elsewhere = self
            .replicas()
            .into_iter()
            .filter(ReplicaStatus::is_elsewhere);
        let peers = elsewhere.filter_map(|status| {
            Some(Peer {
                replica: status.replica,
                advertise: status.advertise?,
                scope: status.scope,
            })
        });
        self.fleet.know_elsewhere(peers.collect());
    }

    /// The connected replicas, of the other control planes too, in the order of their names. One that
    /// has gone from one to another is where it connected last.
    pub(crate) fn replicas(&self) -> Vec<ReplicaStatus> {
        let desired = Arc::clone(&self.index.borrow());
        let mut all: BTreeMap<String, Vec<ReplicaStatus>> = BTreeMap::new();
        for (name, replica) in self.replicas.borrow().iter() {
            let status = replica.status(name, &self.name, &desired);
            all.insert(name.clone(), vec![status]);
        }
        for status in self.elsewhere.borrow().statuses(&desired) {
            let same = all.entry(status.replica.clone()).or_default();
            if !same.iter().any(|other| status.is_superseded_by(other)) {
                same.retain(|other| !other.is_superseded_by(&status));
                same.push(status);
            }
        }
        all.into_values().flatten().collect()
    }
}
