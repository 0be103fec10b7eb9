//! Which other replicas there are, and which of them a session is at home at.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::TenantId;
use http::uri::Authority;
use tokio::time::Instant;

use crate::session::{ReplicaTag, Session, SessionId};

/// For how long a replica counts on that is told of no more. A control plane that has just started
/// knows only who has come back to it, and sessions must not move for that; one that is gone in
/// earnest is noticed by the first message that cannot be handed on to it.
const LINGERING: Duration = Duration::from_secs(10);

/// Another replica.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(super) tag: ReplicaTag,
    pub(super) name: String,
    pub(super) address: Authority,
    /// The tenants whose sessions it can serve; empty: all.
    tenants: BTreeSet<TenantId>,
}

impl Peer {
    pub(super) fn new(name: &str, address: Authority, tenants: BTreeSet<TenantId>) -> Self {
        Self {
            tag: ReplicaTag::of(name),
            name: name.to_owned(),
            address,
            tenants,
        }
    }

    fn serves(&self, tenant: &TenantId) -> bool {
        self.tenants.is_empty() || self.tenants.contains(tenant)
    }
}

/// The other replicas. Immutable: a change makes a new one.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    peer: Arc<Peer>,
    /// Set for one that is told of no more.
    until: Option<Instant>,
}

impl Table {
    /// The table after it was told which replicas there are, and those of them that are new.
    pub(super) fn followed_by(
        &self,
        told: impl IntoIterator<Item = Peer>,
        now: Instant,
    ) -> (Self, Vec<Arc<Peer>>) {
        let (mut entries, mut new) = (Vec::<Entry>::new(), Vec::new());
        for peer in told {
            let known = self.entries.iter().find(|entry| *entry.peer == peer);
            let peer = match known {
                Some(entry) => Arc::clone(&entry.peer),
                None => {
                    let peer = Arc::new(peer);
                    new.push(Arc::clone(&peer));
                    peer
                }
            };
            entries.push(Entry { peer, until: None });
        }
        for gone in &self.entries {
            let until = gone.until.unwrap_or(now + LINGERING);
            let is_back = entries.iter().any(|entry| entry.peer.tag == gone.peer.tag);
            if !is_back && now < until {
                let peer = Arc::clone(&gone.peer);
                let until = Some(until);
                entries.push(Entry { peer, until });
            }
        }
        (Self { entries }, new)
    }

    /// Those that are there, or were a moment ago.
    pub(super) fn live(&self) -> impl Iterator<Item = &Arc<Peer>> {
        let is_live = |entry: &&Entry| entry.until.is_none_or(|until| Instant::now() < until);
        self.entries.iter().filter(is_live).map(|entry| &entry.peer)
    }

    /// Where a session is at home: at the replica that opened it while that lives, else at the one that
    /// comes first for this session among all that live and have its tenant (rendezvous hashing), so that every
    /// replica finds the same one and only the sessions of one that leaves move. `None`: at `own`.
    pub(super) fn home_of(
        &self,
        (tenant, session): (&TenantId, &Session),
        own: ReplicaTag,
        is_dead: impl Fn(&Peer) -> bool,
    ) -> Option<Arc<Peer>> {
        if session.home == Some(own) {
            return None;
        }
        let mut first = (rank(session.id, own), None);
        let able = self.live().filter(|peer| peer.serves(tenant));
        for peer in able.filter(|peer| !is_dead(peer)) {
            if session.home == Some(peer.tag) {
                return Some(Arc::clone(peer));
            }
            let rank = rank(session.id, peer.tag);
            if rank > first.0 {
                first = (rank, Some(peer));
            }
        }
        first.1.cloned()
    }
}

/// Session ids are random and the gateway's own, so nobody can choose one to hit a replica.
fn rank(session: SessionId, replica: ReplicaTag) -> u64 {
    let (high, low) = session.as_u64_pair();
    mix(mix(high ^ replica.to_u64()) ^ low)
}

/// The finalizer of SplitMix64: every bit of the result depends on every bit given.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use gateway_mcp::version::Version;

    use super::*;
    use crate::session::Callbacks;

    const SESSIONS: usize = 2_000;

    fn table(names: &[&str]) -> Table {
        let peers = names.iter().map(|name| peer(name));
        Table::default().followed_by(peers, Instant::now()).0
    }

    fn peer(name: &str) -> Peer {
        Peer::new(name, Authority::from_static("127.0.0.1:1"), BTreeSet::new())
    }

    fn acme() -> TenantId {
        "acme".parse().unwrap()
    }

    fn session(home: &str) -> Session {
        Session {
            id: SessionId::new_v4(),
            user: "ada".parse().unwrap(),
            version: Version::V2025_11_25,
            callbacks: Callbacks::default(),
            home: Some(ReplicaTag::of(home)),
        }
    }

    /// Where a session is at home, as a replica says that knows the others.
    fn home(own: &str, others: &[&str], session: &Session) -> String {
        let home = table(others).home_of((&acme(), session), ReplicaTag::of(own), |_| false);
        home.map_or(own.to_owned(), |peer| peer.name.clone())
    }

    #[tokio::test]
    async fn a_session_is_at_home_where_it_was_opened_while_that_lives() {
        let session = session("a");
        assert_eq!(home("a", &["b", "c"], &session), "a");
        assert_eq!(home("b", &["a", "c"], &session), "a");
        assert_ne!(home("b", &["c"], &session), "a");
    }

    #[tokio::test]
    async fn every_replica_says_the_same_of_a_session_whose_home_is_gone() {
        for _ in 0..SESSIONS {
            let session = session("gone");
            let said = home("a", &["b", "c"], &session);
            assert_eq!(home("b", &["c", "a"], &session), said);
            assert_eq!(home("c", &["a", "b"], &session), said);
        }
    }

    #[tokio::test]
    async fn sessions_spread_evenly_and_only_those_of_a_replica_that_leaves_move() {
        let sessions: Vec<_> = (0..SESSIONS).map(|_| session("gone")).collect();
        let mut counts = HashMap::<_, usize>::new();
        for session in &sessions {
            let before = home("a", &["b", "c", "d"], session);
            let after = home("a", &["b", "c"], session);
            assert!(before == "d" || before == after, "{before} {after}");
            *counts.entry(before).or_default() += 1;
        }
        for (name, count) in &counts {
            let fair = SESSIONS / 4;
            assert!(
                (fair * 3 / 4..fair * 5 / 4).contains(count),
                "{name} {count}"
            );
        }
    }

    #[tokio::test]
    async fn a_replica_of_other_tenants_is_nobodys_home() {
        let address = Authority::from_static("127.0.0.1:1");
        let of_others = Peer::new("b", address, ["zoo".parse().unwrap()].into());
        let (table, _) = Table::default().followed_by([of_others], Instant::now());
        let own = ReplicaTag::of("a");
        for _ in 0..SESSIONS {
            let session = session("gone");
            assert_eq!(table.home_of((&acme(), &session), own, |_| false), None);
        }
    }

    #[tokio::test]
    async fn what_is_taken_for_dead_is_nobodys_home() {
        let session = session("b");
        let (table, own) = (table(&["b", "c"]), ReplicaTag::of("a"));
        let home = table.home_of((&acme(), &session), own, |peer| peer.name == "b");
        assert_ne!(home.map(|peer| peer.name.clone()).as_deref(), Some("b"));
        assert_eq!(table.home_of((&acme(), &session), own, |_| true), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_is_told_of_no_more_counts_on_for_a_while() {
        let session = session("b");
        let (table, _) = table(&["b", "c"]).followed_by([peer("c")], Instant::now());
        let own = ReplicaTag::of("a");
        let name = |home: Option<Arc<Peer>>| home.map(|peer| peer.name.clone());
        assert_eq!(
            name(table.home_of((&acme(), &session), own, |_| false)).as_deref(),
            Some("b")
        );
        tokio::time::advance(LINGERING).await;
        assert_ne!(
            name(table.home_of((&acme(), &session), own, |_| false)).as_deref(),
            Some("b")
        );
    }

    #[tokio::test]
    async fn a_replica_is_new_once_and_again_at_another_address() {
        let before = table(&["b"]);
        let moved = Peer::new("b", Authority::from_static("127.0.0.1:2"), BTreeSet::new());
        let (_, new) = before.followed_by([peer("b"), peer("c")], Instant::now());
        assert_eq!(new.len(), 1, "{new:?}");
        let (after, new) = before.followed_by([moved], Instant::now());
        assert_eq!(new.len(), 1, "{new:?}");
        assert_eq!(after.live().count(), 1);
    }
}
