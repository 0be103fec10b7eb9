//! Writes behind what comes into force: acknowledgements wait for no disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::mem;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use gateway_core::TenantId;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::key::{CacheKey, CacheKeys};
use super::log::{self, StoredDocument};
use super::state::{self, KeptHosts, State};
use super::{Cache, Kept, private};
use crate::config::follow::Position;
use crate::session::SessionKeys;

/// How long after a failure it is tried again, where nothing changes meanwhile.
const RETRY: Duration = Duration::from_secs(30);

/// The documents are written anew when what does not count any more is more than what does, and than this.
const MIN_GARBAGE: u64 = 1024 * 1024;

/// What is in force and not on disk yet; the last change of each tenant.
#[derive(Debug, Default)]
pub(super) struct Pending {
    changes: Changes,
    reached: Option<Position>,
    confirmed: Option<Timestamp>,
    host_names: Option<KeptHosts>,
    keys: Option<CacheKeys>,
}

/// Tells the cache what came into force. Never waits.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    pending: Arc<watch::Sender<Pending>>,
}

impl Keeper {
    pub(super) fn new(pending: Arc<watch::Sender<Pending>>) -> Self {
        Self { pending }
    }

    /// A document is in force.
    pub(crate) fn put(&self, tenant: TenantId, document: StoredDocument) {
        self.pending.send_modify(|pending| {
            pending.changes.insert(tenant, Some(document));
        });
    }

    /// A tenant is not served any more.
    pub(crate) fn remove(&self, tenant: TenantId) {
        self.pending.send_modify(|pending| {
            pending.changes.insert(tenant, None);
        });
    }

    /// These host names stand for tenants, and no others.
    pub(crate) fn know_hosts(&self, host_names: KeptHosts) {
        self.pending
            .send_modify(|pending| pending.host_names = Some(host_names));
    }

    /// Everything up to here is in force, or was refused.
    pub(crate) fn reach(&self, position: Position) {
        self.pending.send_modify(|pending| {
            pending.reached = Some(position);
            pending.confirmed = Some(Timestamp::now());
        });
    }

    /// The control plane is there, and there is nothing new.
    pub(crate) fn confirm(&self) {
        self.pending
            .send_modify(|pending| pending.confirmed = Some(Timestamp::now()));
    }

    /// Signs with the first of these keys from now on.
    pub(crate) fn replace_keys(&self, keys: &SessionKeys) {
        if let Some(keys) = CacheKeys::of(keys) {
            self.pending
                .send_modify(|pending| pending.keys = Some(keys));
        }
    }
}

/// Keeps the files.
#[derive(Debug)]
pub(crate) struct Writer {
    cache: Cache,
    /// What the last state said, once there is one.
    position: Option<Position>,
    confirmed: Timestamp,
    host_names: KeptHosts,
    open: Option<Open>,
    /// Where in the open file the documents are that count.
    places: BTreeMap<TenantId, Range<u64>>,
}

/// The file that documents are appended to.
#[derive(Debug)]
struct Open {
    generation: u64,
    file: Arc<File>,
    key: CacheKey,
    /// Has seen all that counts.
    signing: hmac::Context,
    length: u64,
}

impl Writer {
    /// One that begins with nothing.
    pub(super) fn new(cache: Cache) -> Self {
        Self {
            cache,
            position: None,
            confirmed: Timestamp::UNIX_EPOCH,
            host_names: KeptHosts::default(),
            open: None,
            places: BTreeMap::new(),
        }
    }

    /// One that goes on with what was found.
    pub(super) fn on(cache: Cache, kept: Kept) -> Self {
        let Kept {
            state,
            documents,
            file,
            key,
            signing,
        } = kept;
        Self {
            cache,
            position: Some(state.position()),
            confirmed: state.confirmed,
            host_names: Arc::clone(&state.host_names),
            open: Some(Open {
                generation: state.generation,
                file: Arc::new(file),
                key,
                signing,
                length: state.length,
            }),
            places: documents.into_places(),
        }
    }

    /// Writes what is pending until told to stop, and the rest of it then.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let pending = Arc::clone(&self.cache.pending);
        let mut changes = pending.subscribe();
        changes.mark_changed();
        let mut is_failing = false;
        loop {
            let stopping = tokio::select! {
                _ = changes.changed() => false,
                () = tokio::time::sleep(RETRY), if is_failing => false,
                () = stop.cancelled() => true,
            };
            if let Some(taken) = self.take(&pending) {
                let (mut writer, mut taken) = (self, taken);
                let written = tokio::task::spawn_blocking(move || {
                    let written = writer.write(&mut taken);
                    (writer, taken, written)
                });
                let Ok((writer, taken, written)) = written.await else {
                    // The process is ending, and its runtime with it.
                    return;
                };
                self = writer;
                self.report(written.as_ref().err(), &mut is_failing);
                if written.is_err() {
                    put_back(&pending, taken);
                }
            }
            if stopping {
                return;
            }
        }
    }

    /// What can be written now: nothing before a first state is whole.
    pub(super) fn take(&self, pending: &watch::Sender<Pending>) -> Option<Pending> {
        let mut taken = None;
        pending.send_if_modified(|pending| {
            let is_whole = self.position.is_some() || pending.reached.is_some();
            if is_whole && !pending.is_empty() {
                taken = Some(mem::take(pending));
            }
            false
        });
        taken
    }

    fn report(&self, error: Option<&io::Error>, is_failing: &mut bool) {
        let folder = self.cache.folder.display();
        match error {
            Some(error) if !*is_failing => warn!(
                %error,
                "the configuration is not kept in {folder}: what was kept there last stays"
            ),
            Some(error) => debug!(%error, "the configuration is still not kept in {folder}"),
            None if *is_failing => info!("the configuration is kept in {folder} again"),
            None => {}
        }
        *is_failing = error.is_some();
    }

    /// All of it, or as good as nothing: what the last state says stays true until there is the next.
    pub(super) fn write(&mut self, pending: &mut Pending) -> io::Result<()> {
        if let Some(keys) = pending.keys.take() {
            self.cache.keys = keys;
        }
        let reached = pending.reached.as_ref().or(self.position.as_ref());
        let Some(position) = reached.cloned() else {
            return Ok(());
        };
        let confirmed = pending.confirmed.unwrap_or(self.confirmed);
        let host_names = pending.host_names.as_ref().unwrap_or(&self.host_names);
        let host_names = Arc::clone(host_names);
        let appendable = self.open.as_ref().filter(|open| !self.is_outworn(open));
        let (open, places) = match appendable {
            Some(open) => append(open, &pending.changes)?,
            None => self.rewrite(&pending.changes)?,
        };
        self.write_state(&open, &position, confirmed, &host_names)?;
        let earlier = self.open.replace(open);
        for (tenant, place) in places {
            match place {
                Some(place) => drop(self.places.insert(tenant, place)),
                None => drop(self.places.remove(&tenant)),
            }
        }
        self.position = Some(position);
        (self.confirmed, self.host_names) = (confirmed, host_names);
        let generation = self.open.as_ref().map(|open| open.generation);
        if earlier.map(|open| open.generation) != generation {
            remove_others(&self.cache.folder, generation)?;
        }
        Ok(())
    }

    /// Whether the documents had better be written anew.
    fn is_outworn(&self, open: &Open) -> bool {
        let counts: u64 = self
            .places
            .values()
            .map(|place| place.end - place.start)
            .sum();
        let garbage = open.length.saturating_sub(counts);
        let is_mostly_garbage = garbage > counts.max(MIN_GARBAGE);
        is_mostly_garbage || open.key.id() != self.cache.keys.first().id()
    }

    /// What counts, in a file of its own.
    fn rewrite(&self, changes: &Changes) -> io::Result<(Open, Vec<Placed>)> {
        let (mut bytes, mut places) = (log::HEADING.to_vec(), Vec::new());
        if let Some(open) = &self.open {
            let kept = self.places.iter();
            for (tenant, place) in kept.filter(|(tenant, _)| !changes.contains_key(*tenant)) {
                let begin = bytes.len() as u64;
                let mut file = &*open.file;
                file.seek(SeekFrom::Start(place.start))?;
                let length = place.end - place.start;
                let read = file.take(length).read_to_end(&mut bytes)?;
                if read as u64 != length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                places.push((tenant.clone(), Some(begin..bytes.len() as u64)));
            }
        }
        frame_all(changes, 0, &mut bytes, &mut places);
        let generation = self.open.as_ref().map_or(1, |open| open.generation + 1);
        let mut options = private();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(self.cache.folder.join(log::file_name(generation)))?;
        (&file).write_all(&bytes)?;
        file.sync_all()?;
        let key = self.cache.keys.first().clone();
        let mut signing = key.sign_documents();
        signing.update(&bytes);
        let open = Open {
            generation,
            file: Arc::new(file),
            key,
            signing,
            length: bytes.len() as u64,
        };
        Ok((open, places))
    }

    fn write_state(
        &self,
        open: &Open,
        position: &Position,
        confirmed: Timestamp,
        host_names: &KeptHosts,
    ) -> io::Result<()> {
        let state = State {
            key: open.key.id().to_vec(),
            store: position.store.to_string(),
            sequence: position.sequence,
            confirmed,
            generation: open.generation,
            length: open.length,
            documents_tag: open.signing.clone().sign().as_ref().to_vec(),
            host_names: Arc::clone(host_names),
        };
        let text = state.write(&open.key).ok_or(io::ErrorKind::InvalidData)?;
        let path = self.cache.folder.join(state::FILE);
        let aside = self.cache.folder.join("state.new");
        let mut options = private();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .open(&aside)?;
        file.write_all(&text)?;
        file.sync_data()?;
        fs::rename(&aside, &path)
    }
}

/// What has changed since the last time, and where it is now; `None`: nowhere.
type Changes = BTreeMap<TenantId, Option<StoredDocument>>;
type Placed = (TenantId, Option<Range<u64>>);

/// The same file with more in it.
fn append(open: &Open, changes: &Changes) -> io::Result<(Open, Vec<Placed>)> {
    let (mut bytes, mut places) = (Vec::new(), Vec::new());
    frame_all(changes, open.length, &mut bytes, &mut places);
    let mut signing = open.signing.clone();
    if !bytes.is_empty() {
        // Over what was being written when it failed, or when the process ended.
        let mut file = &*open.file;
        file.seek(SeekFrom::Start(open.length))?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        signing.update(&bytes);
    }
    let open = Open {
        generation: open.generation,
        file: Arc::clone(&open.file),
        key: open.key.clone(),
        signing,
        length: open.length + bytes.len() as u64,
    };
    Ok((open, places))
}

/// Puts a frame behind what is there for each change; `bytes` begin at `start` of the file.
fn frame_all(changes: &Changes, start: u64, bytes: &mut Vec<u8>, places: &mut Vec<Placed>) {
    for (tenant, document) in changes {
        let begin = start + bytes.len() as u64;
        bytes.extend_from_slice(&log::frame(tenant, document.as_ref()));
        let end = start + bytes.len() as u64;
        places.push((tenant.clone(), document.as_ref().map(|_| begin..end)));
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        let Self {
            changes,
            reached,
            confirmed,
            host_names,
            keys,
        } = self;
        let is_silent = reached.is_none() && confirmed.is_none() && host_names.is_none();
        changes.is_empty() && is_silent && keys.is_none()
    }
}

/// What could not be written is pending again, unless something newer is.
fn put_back(pending: &watch::Sender<Pending>, taken: Pending) {
    pending.send_if_modified(|pending| {
        for (tenant, document) in taken.changes {
            pending.changes.entry(tenant).or_insert(document);
        }
        pending.reached = pending.reached.take().or(taken.reached);
        pending.confirmed = pending.confirmed.or(taken.confirmed);
        pending.host_names = pending.host_names.take().or(taken.host_names);
        false
    });
}

/// Removes the documents that no state speaks of any more.
fn remove_others(folder: &Path, generation: Option<u64>) -> io::Result<()> {
    // Before this is sure to last, the state before it may come back, which speaks of them.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    let own = generation.map(log::file_name);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if log::is_file_name(&name) && Some(&*name) != own.as_deref() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
