//! The last good configuration on disk, from which a replica starts while no control plane is there.
//!
//! Two files: the documents, one after the other as they came into force, and the state, which says how
//! much of them counts and is put in the place of the last one as a whole. Both are authenticated.
//! Whatever is wrong with either, there is no cache: what is served is what was served once, or nothing.

#[cfg(feature = "fuzzing")]
mod fuzzing;
mod key;
mod log;
mod state;
mod writer;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use gateway_core::TenantId;
use jiff::Timestamp;
use tokio::sync::watch;

use super::follow::Position;
use crate::session::SessionKeys;
use key::{CacheKey, CacheKeys};
use log::Documents;
use state::State;
use writer::Pending;

#[cfg(feature = "fuzzing")]
pub use fuzzing::{KeptState, reread};
pub(crate) use log::StoredDocument;
pub(crate) use state::KeptHosts;
pub(crate) use writer::{Keeper, Writer};

/// How far ahead of this machine's clock the cache may be.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

/// Nothing of what is kept is larger.
const MAX_STATE_BYTES: u64 = 16 * 1024 * 1024;

/// A folder that this process has for itself, with what is kept in it.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    max_age: Duration,
    keys: CacheKeys,
    pending: Arc<watch::Sender<Pending>>,
    /// The system releases it however the process ends.
    _lock: Lock,
}

/// A folder that cannot be the cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system does not let it.
    #[error("the cache folder {} cannot be used", path.display())]
    Folder {
        /// The folder, or a file in it.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// Others can read it or write to it.
    #[error(
        "the cache folder {} is open to others: chmod 700 it, or name a folder in it, which is made",
        path.display()
    )]
    Open {
        /// The folder.
        path: PathBuf,
    },
    /// Another process has it.
    #[error(
        "the cache folder {} is in use by another data plane: name one for each with --cache-dir",
        path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The session keys give no key for it.
    #[error("the cache has no key")]
    Key,
}

/// Why what is kept counts for nothing.
#[derive(Debug, thiserror::Error)]
#[error("{} {reason}", file.display())]
pub(crate) struct Unusable {
    file: PathBuf,
    reason: String,
}

/// What is kept, and holds.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) position: Position,
    pub(super) documents: BTreeMap<TenantId, StoredDocument>,
    pub(super) host_names: KeptHosts,
    /// When a control plane last said that this is what there is.
    pub(super) confirmed: Timestamp,
    /// Where the documents are.
    pub(super) file: PathBuf,
}

/// The same with what it takes to go on writing.
#[derive(Debug)]
struct Kept {
    state: State,
    documents: Documents,
    file: File,
    key: CacheKey,
    /// Has seen the documents.
    signing: hmac::Context,
}

/// Held while somebody has the folder.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough while a child that was just forked still has it.
        self.0.unlock().ok();
    }
}

impl Cache {
    /// Takes a folder, which is made where it is missing. What is older than `max_age` counts for
    /// nothing.
    ///
    /// # Errors
    /// Names the folder and what is wrong with it.
    pub fn open(folder: &Path, max_age: Duration, keys: &SessionKeys) -> Result<Self, CacheError> {
        let failed = |path: &Path, cause| CacheError::Folder {
            path: path.to_owned(),
            cause,
        };
        make(folder).map_err(|cause| failed(folder, cause))?;
        if is_open_to_others(folder).map_err(|cause| failed(folder, cause))? {
            let path = folder.to_owned();
            return Err(CacheError::Open { path });
        }
        let path = folder.join("lock");
        let mut options = private();
        options.create(true).truncate(false).write(true);
        let lock = options.open(&path).map_err(|cause| failed(&path, cause))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = folder.to_owned();
                return Err(CacheError::InUse { path });
            }
            Err(TryLockError::Error(cause)) => return Err(failed(&path, cause)),
        }
        Ok(Self {
            folder: folder.to_owned(),
            max_age,
            keys: CacheKeys::of(keys).ok_or(CacheError::Key)?,
            pending: Arc::default(),
            _lock: Lock(lock),
        })
    }

    /// What tells the cache what comes into force.
    pub(crate) fn keeper(&self) -> Keeper {
        Keeper::new(Arc::clone(&self.pending))
    }

    /// Reads what is kept, and gives what writes from then on. Blocks.
    pub(super) fn read(self) -> (Result<Option<Found>, Unusable>, Writer) {
        match self.find(Timestamp::now()) {
            Ok(Some(kept)) => {
                let found = Found {
                    position: kept.state.position(),
                    confirmed: kept.state.confirmed,
                    documents: kept.documents.current().clone(),
                    host_names: Arc::clone(&kept.state.host_names),
                    file: self.folder.join(log::file_name(kept.state.generation)),
                };
                (Ok(Some(found)), Writer::on(self, kept))
            }
            Ok(None) => (Ok(None), Writer::new(self)),
            Err(unusable) => (Err(unusable), Writer::new(self)),
        }
    }

    fn find(&self, now: Timestamp) -> Result<Option<Kept>, Unusable> {
        let path = self.folder.join(state::FILE);
        let unusable = |reason: String| Unusable {
            file: path.clone(),
            reason,
        };
        let text = match File::open(&path).and_then(|file| read_some(&file, MAX_STATE_BYTES)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(format!("cannot be read: {error}"))),
        };
        let state =
            State::read(&text, &self.keys).map_err(|reason| unusable(reason.to_string()))?;
        self.check_age(&state, now).map_err(unusable)?;
        let file = self.folder.join(log::file_name(state.generation));
        let kept = self.documents(&file, state);
        kept.map(Some).map_err(|reason| Unusable { file, reason })
    }

    fn check_age(&self, state: &State, now: Timestamp) -> Result<(), String> {
        let confirmed = state.confirmed;
        let age = now.duration_since(confirmed);
        if age > self.max_age.try_into().unwrap_or(jiff::SignedDuration::MAX) {
            return Err(format!(
                "is too old: a control plane was last heard at {confirmed}, and --cache-max-age is {:?}",
                self.max_age
            ));
        }
        if -age
            > CLOCK_TOLERANCE
                .try_into()
                .unwrap_or(jiff::SignedDuration::ZERO)
        {
            return Err(format!(
                "is from {confirmed}, which is yet to come: was the clock set back?"
            ));
        }
        Ok(())
    }

    /// As much of the documents as the state vouches for.
    fn documents(&self, path: &Path, state: State) -> Result<Kept, String> {
        let unreadable = |error: io::Error| format!("cannot be read: {error}");
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let file = opened.map_err(unreadable)?;
        let bytes = read_some(&file, state.length).map_err(unreadable)?;
        if bytes.len() as u64 != state.length {
            return Err("is cut short".to_owned());
        }
        let key = self.keys.by_id(&state.key).ok_or("has no key")?.clone();
        let mut signing = key.sign_documents();
        signing.update(&bytes);
        if !key::is_same(signing.clone().sign().as_ref(), &state.documents_tag) {
            return Err("was changed by somebody else".to_owned());
        }
        let documents = Documents::parse(bytes.into());
        Ok(Kept {
            state,
            documents: documents.ok_or("is not in the form that its state says")?,
            file,
            key,
            signing,
        })
    }
}

fn read_some(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Options that make a file which only its owner can read and write.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn make(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(unix)]
fn is_open_to_others(folder: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::metadata(folder)?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests;
