//! What is kept is found again; what somebody has touched is not.

use gateway_core::Revision;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::snapshot::Origin;

const AGE: Duration = Duration::from_hours(24);

fn keys() -> SessionKeys {
    SessionKeys::random().unwrap()
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn document(revision: u64, config: &str) -> StoredDocument {
    StoredDocument {
        origin: Origin {
            store: "store".into(),
            revision: Revision(revision),
        },
        config: config.to_owned().into(),
    }
}

fn position(sequence: u64) -> Position {
    let store = "store".into();
    Position { store, sequence }
}

/// A folder that is opened as often as a test wants.
struct Folder {
    dir: TempDir,
    keys: SessionKeys,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, keys: keys() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn open(&self) -> Cache {
        Cache::open(&self.path(), AGE, &self.keys).unwrap()
    }

    /// Writes what `change` tells, on top of what is there.
    fn change(&self, change: impl FnOnce(&Keeper)) {
        let cache = self.open();
        let (keeper, pending) = (cache.keeper(), Arc::clone(&cache.pending));
        let (_, mut writer) = cache.read();
        change(&keeper);
        let mut taken = writer.take(&pending).expect("there is something to write");
        writer.write(&mut taken).unwrap();
    }

    fn read(&self) -> Result<Option<Found>, Unusable> {
        self.open().read().0
    }

    fn held(&self) -> Vec<(String, u64, String)> {
        let found = self.read().unwrap().unwrap();
        let documents = found.documents.into_iter().map(|(tenant, document)| {
            let config = String::from_utf8(document.config.to_vec()).unwrap();
            (tenant.to_string(), document.origin.revision.0, config)
        });
        documents.collect()
    }

    fn unusable(&self) -> String {
        match self.read() {
            Err(unusable) => unusable.to_string(),
            found => panic!("it was used: {found:?}"),
        }
    }

    fn documents_file(&self) -> PathBuf {
        let files = fs::read_dir(self.path()).unwrap();
        let files = files.map(|entry| entry.unwrap().path());
        let is_documents = |path: &PathBuf| path.to_str().unwrap().contains("documents-");
        let found: Vec<_> = files.filter(is_documents).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }
}

/// One that keeps two tenants.
fn filled() -> Folder {
    let folder = Folder::new();
    folder.change(|keeper| {
        keeper.put(tenant("acme"), document(7, "what acme has"));
        keeper.put(tenant("zoo"), document(2, ""));
        keeper.reach(position(9));
    });
    folder
}

#[test]
fn what_came_into_force_last_is_found_again() {
    let folder = Folder::new();
    assert!(folder.read().unwrap().is_none(), "nothing was kept yet");
    let folder = filled();
    folder.change(|keeper| {
        keeper.put(tenant("acme"), document(8, "more"));
        keeper.remove(tenant("zoo"));
        keeper.put(tenant("new"), document(1, "x"));
        keeper.reach(position(12));
    });
    let expected = [("acme", 8, "more"), ("new", 1, "x")];
    let expected = expected.map(|(tenant, at, config)| (tenant.to_owned(), at, config.to_owned()));
    assert_eq!(folder.held(), expected);
    let found = folder.read().unwrap().unwrap();
    assert_eq!(&*found.position.store, "store");
    assert_eq!(found.position.sequence, 12);
    folder.change(Keeper::confirm);
    assert_eq!(folder.held(), expected);
    assert!(folder.read().unwrap().unwrap().confirmed > found.confirmed);
}

#[test]
fn a_first_state_that_is_not_whole_is_not_written() {
    let cache = Folder::new().open();
    let (keeper, pending) = (cache.keeper(), Arc::clone(&cache.pending));
    let (_, writer) = cache.read();
    keeper.put(tenant("acme"), document(1, "x"));
    assert!(writer.take(&pending).is_none());
    keeper.reach(position(1));
    assert!(writer.take(&pending).is_some());
}

#[test]
fn no_byte_can_be_changed_or_left_out() {
    let folder = filled();
    for file in [folder.path().join(state::FILE), folder.documents_file()] {
        let good = fs::read(&file).unwrap();
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            for text in [&changed[..], &good[..at]] {
                fs::write(&file, text).unwrap();
                let said = folder.unusable();
                assert!(said.starts_with(file.to_str().unwrap()), "{at}: {said}");
            }
        }
        fs::remove_file(&file).unwrap();
        assert!(!matches!(folder.read(), Ok(Some(_))));
        fs::write(&file, good).unwrap();
        assert_eq!(folder.held().len(), 2);
    }
}

#[test]
fn what_was_being_written_at_the_end_is_passed_over() {
    let folder = filled();
    let file = folder.documents_file();
    let mut text = fs::read(&file).unwrap();
    text.extend_from_slice(b"half a frame, much longer than the next one");
    fs::write(&file, text).unwrap();
    assert_eq!(folder.held().len(), 2);
    folder.change(|keeper| keeper.remove(tenant("zoo")));
    assert_eq!(folder.held().len(), 1);
}

#[test]
fn an_earlier_state_does_not_go_with_later_documents_alone() {
    let folder = filled();
    let state = folder.path().join(state::FILE);
    let earlier = fs::read(&state).unwrap();
    folder.change(|keeper| keeper.put(tenant("acme"), document(8, "more")));
    let documents = fs::read(folder.documents_file()).unwrap();
    // Whoever goes back goes back with everything, age included.
    fs::write(&state, earlier).unwrap();
    assert_eq!(folder.held()[0].1, 7);
    fs::write(folder.documents_file(), documents.split_at(40).0).unwrap();
    assert!(folder.unusable().ends_with("is cut short"));
}

#[test]
fn another_key_opens_nothing_and_a_new_first_key_takes_over() {
    let mut folder = filled();
    let old = folder.keys.clone();
    folder.keys = keys();
    let said = folder.unusable();
    assert!(said.contains("not in the session key file"), "{said}");
    folder.keys = keys().and_older(&old);
    assert_eq!(folder.held().len(), 2, "all keys open");
    folder.change(Keeper::confirm);
    let newer = folder.keys.clone();
    folder.keys = old;
    folder.unusable();
    folder.keys = newer;
    assert_eq!(folder.held().len(), 2, "the first signs");
}

#[test]
fn keys_are_replaced_while_it_is_open() {
    let mut folder = filled();
    let newer = keys();
    folder.change(|keeper| keeper.replace_keys(&newer));
    folder.unusable();
    folder.keys = newer;
    assert_eq!(folder.held().len(), 2);
}

#[test]
fn what_is_too_old_or_of_another_format_counts_for_nothing() {
    let folder = filled();
    let after = |age: Duration| {
        let cache = folder.open();
        let now = Timestamp::now() + age;
        let found = cache.find(now).map(|found| found.is_some());
        found.map_err(|unusable| unusable.to_string())
    };
    assert_eq!(after(AGE - Duration::from_mins(1)), Ok(true));
    let said = after(AGE + Duration::from_mins(1)).unwrap_err();
    assert!(said.contains("is too old"), "{said}");
    let earlier = Timestamp::now() - Duration::from_mins(10);
    let said = folder.open().find(earlier).unwrap_err().to_string();
    assert!(said.contains("yet to come"), "{said}");

    let path = folder.path().join(state::FILE);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(r#"{"format":1,"#, r#"{"format":2,"#)).unwrap();
    assert!(folder.unusable().contains("is of format 2"));
}

#[test]
fn the_documents_are_written_anew_when_most_of_them_do_not_count() {
    let folder = filled();
    let large = "x".repeat(100_000);
    let first = folder.documents_file();
    for revision in 8..30 {
        folder.change(|keeper| keeper.put(tenant("acme"), document(revision, &large)));
    }
    let file = folder.documents_file();
    assert_ne!(file, first);
    assert!(fs::metadata(&file).unwrap().len() < 2 * MOST_BYTES);
    let held = folder.held();
    assert_eq!((held[0].1, held[1].1), (29, 2));
}

/// So many bytes that do not count are let be.
const MOST_BYTES: u64 = 1024 * 1024;

#[cfg(unix)]
#[test]
fn a_folder_is_for_one_process_and_its_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = filled();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path()), 0o700);
    assert_eq!(mode(&folder.documents_file()), 0o600);
    assert_eq!(mode(&folder.path().join(state::FILE)), 0o600);
    let held = folder.open();
    let second = Cache::open(&folder.path(), AGE, &folder.keys);
    assert!(
        matches!(second, Err(CacheError::InUse { .. })),
        "{second:?}"
    );
    drop(held);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
    let open = Cache::open(&folder.path(), AGE, &folder.keys);
    assert!(matches!(open, Err(CacheError::Open { .. })), "{open:?}");
}

#[test]
fn a_folder_is_free_whoever_else_has_inherited_the_lock() {
    let folder = Folder::new();
    let cache = folder.open();
    let inherited = cache._lock.0.try_clone().unwrap();
    drop(cache);
    folder.open();
    drop(inherited);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_happens_the_last_of_each_tenant_is_found(
        rounds in prop::collection::vec(
            prop::collection::vec((0_u8..5, prop::option::of((any::<u64>(), ".{0,8}"))), 1..5),
            1..5,
        ),
    ) {
        let (folder, mut expected) = (Folder::new(), BTreeMap::new());
        for round in rounds {
            folder.change(|keeper| {
                for (name, change) in &round {
                    let name = format!("t{name}");
                    match change {
                        Some((revision, config)) => {
                            keeper.put(tenant(&name), document(*revision, config));
                            expected.insert(name, (*revision, config.clone()));
                        }
                        None => {
                            keeper.remove(tenant(&name));
                            expected.remove(&name);
                        }
                    }
                }
                keeper.reach(position(1));
            });
        }
        let expected = expected.into_iter().map(|(name, (at, config))| (name, at, config));
        prop_assert_eq!(folder.held(), expected.collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_confuse_the_reader(bytes: Vec<u8>) {
        let keys = CacheKeys::of(&keys()).unwrap();
        prop_assert!(State::read(&bytes, &keys).is_err());
        let file = [log::HEADING, &bytes].concat();
        for file in [file, bytes] {
            if let Some(again) = log::reread(&file) {
                prop_assert_eq!(log::reread(&again), Some(again));
            }
        }
    }
}
