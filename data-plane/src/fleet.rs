//! The other replicas: where each legacy session is at home, what is handed on to there, and what
//! all replicas tell each other of sessions.

mod answers;
mod connect;
mod handing;
mod listener;
mod signature;
mod table;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use gateway_core::TenantId;
use http::uri::Authority;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use moka::sync::Cache;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::{ClientTls, is_loopback};
use crate::session::{ReplicaTag, Session};
use connect::Connector;
use signature::Nonces;
use table::{Peer, Table};

pub(crate) use answers::asker;
pub(crate) use handing::{Errand, Way, away, hand_on, is_kept_at_home};
pub(crate) use listener::answer;
pub(crate) use told::{Word, learn, tell};

/// For how long a replica that could not be reached is taken for dead.
const SUSPICION: Duration = Duration::from_secs(10);

/// How many replicas may be told something again and again at the same time.
const MAX_RETELLINGS: usize = 1024;

/// How a replica takes part in a fleet; a setting of its process.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// Where other replicas reach this one, as HOST:PORT.
    pub advertise: Authority,
    /// By what the others are reached; `None`: in plain text, on this machine alone.
    pub tls: Option<ClientTls>,
}

/// This replica among the others.
#[derive(Debug)]
pub(crate) struct Fleet {
    own: ReplicaTag,
    advertise: Authority,
    others: ArcSwap<Table>,
    /// Replicas that could not be reached a short time ago.
    suspects: Cache<ReplicaTag, ()>,
    nonces: Nonces,
    is_tls: bool,
    client: Client<Connector, Full<Bytes>>,
    retellings: Arc<Semaphore>,
}

impl Fleet {
    /// Alone, until it is told of others.
    pub(crate) fn new(replica: &str, options: FleetOptions) -> Self {
        let FleetOptions { advertise, tls } = options;
        let suspects = Cache::builder().time_to_live(SUSPICION).max_capacity(1024);
        Self {
            own: ReplicaTag::of(replica),
            advertise,
            others: ArcSwap::default(),
            suspects: suspects.build(),
            nonces: Nonces::default(),
            is_tls: tls.is_some(),
            client: connect::client(tls),
            retellings: Arc::new(Semaphore::new(MAX_RETELLINGS)),
        }
    }

    /// Where it says that others reach it.
    pub(crate) fn advertise(&self) -> &Authority {
        &self.advertise
    }

    /// Takes the table of all replicas; gives back those that are new in it.
    pub(crate) fn update(
        &self,
        told: impl IntoIterator<Item = (String, Authority, BTreeSet<TenantId>)>,
    ) -> Vec<Arc<Peer>> {
        let all = told
            .into_iter()
            .map(|(name, address, tenants)| Peer::new(&name, address, tenants));
        let others = all.filter(|peer| peer.tag != self.own && self.may_reach(peer));
        let (table, new) = self.others.load().followed_by(others, Instant::now());
        for peer in &new {
            info!(replica = peer.name, address = %peer.address, "another replica is there");
            // It may be back at once, at another address.
            self.suspects.invalidate(&peer.tag);
        }
        self.others.store(Arc::new(table));
        new
    }

    /// The others, and where each is, for operators.
    pub(crate) fn named(&self) -> BTreeMap<String, String> {
        let others = self.others.load();
        let named = |peer: &Arc<Peer>| (peer.name.clone(), peer.address.to_string());
        others.live().map(named).collect()
    }

    /// Whether what is said to it passes no network that others can read.
    fn may_reach(&self, peer: &Peer) -> bool {
        let may = self.is_tls || is_loopback(peer.address.host());
        if !may {
            warn!(replica = peer.name, address = %peer.address, "a replica of another machine is not spoken to without TLS: give both --tls-cert");
        }
        may
    }

    /// The replica that a session is at home at; `None`: this one.
    fn home_of(&self, tenant: &TenantId, session: &Session) -> Option<Arc<Peer>> {
        let others = self.others.load();
        others.home_of((tenant, session), self.own, |peer| self.is_suspect(peer))
    }

    /// The replica of this tag; `None`: it is this one, or not there.
    fn other(&self, tag: ReplicaTag) -> Option<Arc<Peer>> {
        let others = self.others.load();
        let mut live = others.live().filter(|peer| !self.is_suspect(peer));
        live.find(|peer| peer.tag == tag).cloned()
    }

    /// The replica of this tag, even if nothing reached it a short time ago; `None`: it is this one, or
    /// not known of here.
    fn known(&self, tag: ReplicaTag) -> Option<Arc<Peer>> {
        let others = self.others.load();
        others.live().find(|peer| peer.tag == tag).cloned()
    }

    fn is_suspect(&self, peer: &Peer) -> bool {
        self.suspects.contains_key(&peer.tag)
    }

    /// Takes a replica for dead, for a while.
    fn suspect(&self, peer: &Peer) {
        self.suspects.insert(peer.tag, ());
    }
}
