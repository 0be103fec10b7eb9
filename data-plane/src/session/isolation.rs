//! What several tenants do at one replica, in whatever order, each of them sees as if it were there alone: sessions and what
//! is kept of them, the places for requests, and what is in force.

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;
use crate::limits::Limits;
use crate::live::LiveSessions;
use crate::load::{Load, Slot};
use crate::snapshot::{Tenants, testing};

/// Each the beginning of the next one, with users of the same names.
const TENANTS: [&str; 3] = ["acme", "acme-a", "acme-a-1"];
const USERS: [&str; 2] = ["ada", "acme"];
const LEVELS: [&str; 2] = ["\"debug\"", "\"error\""];

/// Something that a tenant does, and sees something by.
#[derive(Debug, Clone)]
enum Act {
    Open {
        user: usize,
    },
    /// With the id of a session, which may be another tenant's.
    Find(Named),
    End(Named),
    SetLevel(Named, usize),
    Level(Named),
    Enter,
    Leave,
    Put {
        revision: u64,
    },
    Remove,
    Revision,
}

/// The session that a tenant has opened as its `number`-th.
#[derive(Debug, Clone)]
struct Named {
    whose: usize,
    number: usize,
}

struct Replica {
    sessions: Sessions,
    live: LiveSessions,
    tenants: Tenants,
    load: Load,
    loads: [Load; TENANTS.len()],
    ids: [Vec<String>; TENANTS.len()],
    under_way: [Vec<Slot>; TENANTS.len()],
}

impl Replica {
    fn start() -> Self {
        let limits = Limits {
            max_tenant_requests: 2,
            ..Limits::default()
        };
        Self {
            sessions: Sessions::new(SessionKeys::random().unwrap(), "one"),
            live: LiveSessions::default(),
            tenants: Tenants::default(),
            load: Load::of_all(&limits),
            loads: TENANTS.map(|_| Load::of_tenant(&limits)),
            ids: Default::default(),
            under_way: Default::default(),
        }
    }

    fn find(&self, tenant: &TenantId, Named { whose, number }: &Named) -> Option<Session> {
        let id = self.ids[*whose].get(*number)?;
        self.sessions.find(tenant, id)
    }

    /// What the tenant sees of what it does.
    fn act(&mut self, who: usize, act: &Act) -> String {
        let tenant: TenantId = TENANTS[who].parse().unwrap();
        match act {
            Act::Open { user } => {
                let user = USERS[*user].parse().unwrap();
                let version = Version::V2025_11_25;
                let opened = self
                    .sessions
                    .begin(&tenant, user, version, Callbacks::default());
                self.ids[who].push(opened.unwrap().1);
                String::new()
            }
            Act::Find(named) => {
                let found = self.find(&tenant, named);
                format!("{:?}", found.map(|session| session.user))
            }
            Act::End(named) => {
                let found = self.find(&tenant, named);
                let ended = found.map(|session| {
                    self.sessions.end(session.id);
                    self.live.end(session.id);
                });
                format!("{ended:?}")
            }
            Act::SetLevel(named, level) => {
                let found = self.find(&tenant, named);
                let set = found.map(|session| {
                    self.live.of(&tenant, session.id).set_level(LEVELS[*level]);
                });
                format!("{set:?}")
            }
            Act::Level(named) => {
                let found = self.find(&tenant, named);
                let level = found.map(|session| self.live.of(&tenant, session.id).level());
                format!("{level:?}")
            }
            Act::Enter => match self.load.request(&self.loads[who]) {
                Ok(slot) => {
                    self.under_way[who].push(slot);
                    "entered".to_owned()
                }
                Err(refused) => refused.to_string(),
            },
            Act::Leave => format!("{}", self.under_way[who].pop().is_some()),
            Act::Put { revision } => {
                let yaml = format!("tenant: {tenant}");
                self.tenants.put(testing::snapshot(&yaml, *revision));
                String::new()
            }
            Act::Remove => {
                self.tenants.remove(&tenant);
                String::new()
            }
            Act::Revision => {
                let snapshot = self.tenants.get(&tenant);
                let seen =
                    snapshot.map(|snapshot| (snapshot.tenant.clone(), snapshot.origin.revision));
                format!("{seen:?}")
            }
        }
    }
}

/// What each act let its tenant see.
fn seen(acts: &[(usize, Act)]) -> Vec<(usize, String)> {
    let mut replica = Replica::start();
    let acts = acts.iter();
    acts.map(|(who, act)| (*who, replica.act(*who, act)))
        .collect()
}

fn act() -> impl Strategy<Value = Act> {
    let named =
        || (0..TENANTS.len(), 0_usize..3).prop_map(|(whose, number)| Named { whose, number });
    prop_oneof![
        (0..USERS.len()).prop_map(|user| Act::Open { user }),
        named().prop_map(Act::Find),
        named().prop_map(Act::End),
        (named(), 0..LEVELS.len()).prop_map(|(named, level)| Act::SetLevel(named, level)),
        named().prop_map(Act::Level),
        Just(Act::Enter),
        Just(Act::Leave),
        (1_u64..5).prop_map(|revision| Act::Put { revision }),
        Just(Act::Remove),
        Just(Act::Revision),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_tenant_sees_what_it_would_see_if_it_were_alone(
        acts in proptest::collection::vec((0..TENANTS.len(), act()), 1..80)
    ) {
        let runtime = Runtime::new().unwrap();
        let _inside = runtime.enter();
        let together = seen(&acts);
        for tenant in 0..TENANTS.len() {
            let own: Vec<_> = acts.iter().filter(|(who, _)| *who == tenant).cloned().collect();
            let of_it = together.iter().filter(|(who, _)| *who == tenant);
            let alone = seen(&own);
            prop_assert!(of_it.clone().eq(&alone), "{:?}\n{:?}", of_it.collect::<Vec<_>>(), alone);
        }
    }
}
