//! The file beside a database by which a process has the database for itself.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::OpenError;
use super::schema::{not_writable, place};

/// SQLite itself would let several processes write in turn; what one changes, the data planes of the
/// others would not hear of. The system releases the lock however the process ends.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Takes the lock of a database that is there, under whatever name it is reached.
    pub(super) fn take(database: &Path) -> Result<Self, OpenError> {
        let not_writable = |error| not_writable(database, error);
        let mut path = database.canonicalize().map_err(not_writable)?;
        path.as_mut_os_string().push(".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(not_writable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
                place: place(database),
                source: format!("{} is locked", path.display()).into(),
            }),
            Err(TryLockError::Error(error)) => Err(not_writable(error)),
        }
    }

    /// Lets others have the database.
    pub(super) fn release(&self) {
        if let Err(error) = self.0.unlock() {
            // It is released with the process, at the latest.
            tracing::warn!(%error, "the lock of the database is not released");
        }
    }
}
