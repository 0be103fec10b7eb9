//! A request sees one revision, whole, and what a revision leaves unchanged goes on.

use std::sync::atomic::{AtomicBool, Ordering};

use gateway_core::config::load_yaml;
use proptest::prelude::*;

use super::testing::{compiler, origin};
use super::*;

/// Servers by name, each with the port that it is reached at: no two configurations of a name
/// with different ports are the same server.
type Servers = BTreeMap<String, u16>;

fn config(servers: &Servers) -> TenantConfig {
    let lines = servers.iter().map(|(name, port)| {
        format!("{name}: {{ type: remote, endpoint: \"http://127.0.0.1:{port}/mcp\" }},")
    });
    load_yaml(&format!("servers: {{ {} }}", lines.collect::<String>())).unwrap()
}

/// Some servers whose names say the revision that they are of.
fn servers_of_revision(revision: u64) -> Servers {
    let count = revision % 3 + 1;
    let name = |number| (format!("s{number}-{revision}"), 1);
    (0..count).map(name).collect()
}

/// Reads what is in force until `done`, and says which revision came last.
fn read_until(done: &AtomicBool, tenants: &Tenants) -> u64 {
    let mut last = 0;
    while !done.load(Ordering::Relaxed) {
        let Some(snapshot) = tenants.get(&TenantId::default()) else {
            continue;
        };
        let revision = snapshot.origin.revision.0;
        assert!(revision >= last, "{revision} came after {last}");
        last = revision;
        let expected = servers_of_revision(revision);
        let served = snapshot.servers.keys().map(ServerName::as_str);
        assert!(served.eq(expected.keys()), "{revision}");
        assert_eq!(snapshot.config, config(&expected));
        assert_eq!(
            snapshot.exposure(&View::All).unwrap().is_prefixed(),
            expected.len() > 1
        );
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_while_revisions_change_sees_one_of_them() {
    let (tenants, compiler) = (Arc::new(Tenants::default()), compiler());
    let tenant = TenantId::default();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (tenants, done) = (Arc::clone(&tenants), Arc::clone(&done));
            tokio::task::spawn_blocking(move || read_until(&done, &tenants))
        })
        .collect();
    const LAST: u64 = 200;
    for revision in 1..=LAST {
        let previous = tenants.get(&tenant);
        let document = config(&servers_of_revision(revision));
        let compiled = compiler.compile(document, origin(revision), previous.as_deref());
        tenants.put(compiled.unwrap());
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() <= LAST);
    }
    assert_eq!(tenants.get(&tenant).unwrap().origin.revision.0, LAST);
}

#[tokio::test]
async fn a_snapshot_that_is_held_outlives_its_tenant() {
    let tenants = Tenants::default();
    tenants.put(super::testing::snapshot("servers: {}", 1));
    let held = tenants.get(&TenantId::default()).unwrap();
    tenants.remove(&held.tenant);
    assert!(tenants.get(&held.tenant).is_none() && tenants.is_empty());
    assert_eq!(held.origin.revision, Revision(1));
}

fn any_servers() -> impl Strategy<Value = Servers> {
    proptest::collection::btree_map("[a-d]", 1u16..4, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_server_goes_on_exactly_while_it_is_configured_the_same(
        edits in proptest::collection::vec(any_servers(), 1..8)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let compiler = compiler();
        let mut before: Option<(Servers, Snapshot)> = None;
        for (edit, revision) in edits.into_iter().zip(1..) {
            let previous = before.as_ref().map(|(_, snapshot)| snapshot);
            let now = compiler.compile(config(&edit), origin(revision), previous).unwrap();
            prop_assert!(now.servers.keys().map(ServerName::as_str).eq(edit.keys()));
            for (name, server) in &now.servers {
                let running = previous.and_then(|previous| previous.servers.get(name));
                let kept = running.is_some_and(|running| Arc::ptr_eq(running, server));
                let same = before.as_ref().is_some_and(|(servers, _)| {
                    servers.get(name.as_str()) == edit.get(name.as_str())
                });
                prop_assert_eq!(kept, same, "{} in revision {}", name, revision);
            }
            before = Some((edit, now));
        }
    }
}
