//! Which replicas there are and where others of them reach each, as all of them are told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::token::Scope;

/// For how long a replica that has lost its stream is still told of. Sessions that are at home at it
/// would move to others at once, and back when it has a new stream; it can serve them without one.
/// One that has died is noticed by the others, who cannot reach it, before that.
const GRACE: Duration = Duration::from_secs(10);

/// How long a host name may be.
const MAX_HOST_BYTES: usize = 253;

/// A replica that says where others reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) replica: String,
    /// As HOST:PORT.
    pub(crate) advertise: String,
    /// The tenants whose sessions it can serve.
    pub(crate) scope: Scope,
}

/// All of them, in the order of their names. Shared by all streams.
pub(crate) type Table = Arc<[Peer]>;

/// Who is in the table, and for how long.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    members: BTreeMap<String, Member>,
    /// Those that are connected to other control planes, who see to it themselves for how long.
    elsewhere: BTreeMap<String, Peer>,
    table: Table,
}

#[derive(Debug)]
struct Member {
    peer: Peer,
    /// Tells its stream from an earlier one of the same name.
    stream: u64,
    /// When it lost its stream, unless it has one.
    left: Option<Instant>,
}

/// Follows the table.
#[derive(Debug)]
pub(crate) struct Following(watch::Receiver<State>);

impl Following {
    /// What the table is, which counts as seen.
    pub(crate) fn look(&mut self) -> Table {
        Arc::clone(&self.0.borrow_and_update().table)
    }

    /// Waits until it is another one; `false`: it will be none any more. Loses nothing when it is
    /// dropped before.
    pub(crate) async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

impl Fleet {
    pub(crate) fn follow(&self) -> Following {
        Following(self.state.subscribe())
    }

    /// Takes in a replica; one that says nowhere is in no table. An earlier one of that name is gone.
    pub(super) fn join(&self, replica: &str, peer: Option<Peer>, stream: u64) {
        self.change(|State { members, .. }| match peer {
            Some(peer) => {
                let left = None;
                let member = Member { peer, stream, left };
                members.insert(replica.to_owned(), member);
            }
            None => drop(members.remove(replica)),
        });
    }

    /// Takes in all that are connected to other control planes, in the place of those of before.
    pub(super) fn know_elsewhere(&self, peers: Vec<Peer>) {
        let peers = peers.into_iter();
        let elsewhere: BTreeMap<_, _> = peers.map(|peer| (peer.replica.clone(), peer)).collect();
        if self.state.borrow().elsewhere != elsewhere {
            self.change(|state| state.elsewhere = elsewhere);
        }
    }

    /// Notes that a replica has lost its stream.
    pub(super) fn leave(&self, replica: &str, stream: u64) {
        self.change(|State { members, .. }| {
            let member = members.get_mut(replica);
            if let Some(member) = member.filter(|member| member.stream == stream) {
                member.left = Some(Instant::now());
            }
        });
    }

    /// Waits for as long as one that leaves now is told of, and then forgets those who have not come back.
    pub(crate) async fn forget_departed(&self) {
        tokio::time::sleep(GRACE).await;
        self.change(|State { members, .. }| {
            members.retain(|_, member| member.left.is_none_or(|left| left.elapsed() < GRACE));
        });
    }

    /// Wakes those who follow only if the table is another one.
    fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            change(state);
            let members = state.members.iter();
            let mut all: BTreeMap<_, _> = members.map(|(name, one)| (name, &one.peer)).collect();
            // Of one that is at both, only what is newer is known as connected elsewhere.
            all.extend(state.elsewhere.iter());
            let table = all.into_values().cloned().collect::<Table>();
            let is_another = table != state.table;
            state.table = table;
            is_another
        });
    }
}

/// Whether others can be told to go there.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0);
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match inner {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(is_known)
        }
    };
    is_port && is_host && host.len() <= MAX_HOST_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(fleet: &Fleet) -> Vec<String> {
        let table = fleet.follow().look();
        let names = table.iter().map(|peer| peer.replica.clone());
        names.collect()
    }

    fn at(name: &str, port: u16) -> Option<Peer> {
        Some(Peer {
            replica: name.to_owned(),
            advertise: format!("127.0.0.1:{port}"),
            scope: Scope::all(),
        })
    }

    #[test]
    fn those_of_other_control_planes_are_in_it_while_they_are_there() {
        let fleet = Fleet::default();
        fleet.join("a", at("a", 1), 1);
        fleet.know_elsewhere(vec![at("b", 2).unwrap()]);
        assert_eq!(names(&fleet), ["a", "b"]);
        // One that went there is where it was last.
        fleet.leave("a", 1);
        fleet.know_elsewhere(vec![at("a", 7).unwrap()]);
        assert_eq!(names(&fleet), ["a"]);
        let table = fleet.follow().look();
        assert_eq!(table.first().unwrap().advertise, "127.0.0.1:7");
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_comes_back_in_time_is_never_out_of_the_table() {
        let fleet = Fleet::default();
        fleet.join("b", at("b", 2), 1);
        fleet.join("a", at("a", 1), 2);
        fleet.join("c", None, 3);
        let mut following = fleet.follow();
        assert_eq!(names(&fleet), ["a", "b"]);
        following.look();
        fleet.leave("a", 2);
        tokio::time::advance(GRACE / 2).await;
        fleet.join("a", at("a", 1), 4);
        // The earlier stream ends only now.
        fleet.leave("a", 2);
        fleet.forget_departed().await;
        assert_eq!(names(&fleet), ["a", "b"]);
        assert!(!following.0.has_changed().unwrap(), "nothing has changed");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stays_away_is_forgotten() {
        let fleet = Fleet::default();
        fleet.join("a", at("a", 1), 1);
        fleet.leave("a", 1);
        assert_eq!(names(&fleet), ["a"]);
        fleet.forget_departed().await;
        assert!(names(&fleet).is_empty());
    }

    #[tokio::test]
    async fn one_that_moves_or_hides_is_told_of_at_once() {
        let fleet = Fleet::default();
        fleet.join("a", at("a", 1), 1);
        let mut following = fleet.follow();
        fleet.join("a", at("a", 7), 2);
        assert!(following.changed().await);
        assert_eq!(following.look().first().unwrap().advertise, "127.0.0.1:7");
        fleet.join("a", None, 3);
        assert!(following.look().is_empty());
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["10.0.0.7:8815", "gateway-0.gateway:8815", "[fd00::7]:1"] {
            assert!(is_address(good), "{good}");
        }
        let long = format!("{}:8815", "x".repeat(254));
        for bad in [
            "",
            "host",
            "host:",
            ":8815",
            "host:0",
            "host:70000",
            "host:+1",
            "a b:1",
            "user@host:1",
            "http://host:1",
            "fd00::7:1",
            "[x]:1",
            &long,
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
