//! The data directory of a process that has it for itself.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::make;

/// A data directory that this process has for itself until it ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Holds the lock; the system releases it however the process ends.
    _lock: File,
}

/// What came of taking a data directory.
#[derive(Debug)]
pub(crate) enum Taken {
    Ours(DataDir),
    /// By the process of this id, as far as it has said so.
    InUse {
        process: String,
    },
}

impl DataDir {
    /// Makes the directory where it is missing, and takes it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        match Self::take(path)? {
            Taken::Ours(data_dir) => Ok(data_dir),
            Taken::InUse { process } => bail!(
                "the data directory {} is in use by another mcp-gateway (process {process}): stop it, or name another with --data-dir",
                path.display(),
            ),
        }
    }

    /// The same, where it is no failure that another process has it.
    pub(crate) fn take(path: &Path) -> anyhow::Result<Taken> {
        make(path)?;
        let lock_path = path.join("lock");
        let mut lock = open_private(&lock_path)
            .with_context(|| format!("{} cannot be opened", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                drop(lock.read_to_string(&mut holder));
                return Ok(Taken::InUse {
                    process: holder.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => {
                return Err(error)
                    .with_context(|| format!("{} cannot be locked", lock_path.display()));
            }
        }
        // For people only: the lock itself is what counts.
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(Taken::Ours(Self {
            path: path.to_owned(),
            _lock: lock,
        }))
    }

    /// Which process has a directory; `None` where nobody has. Takes nothing and makes nothing.
    #[cfg(feature = "data-plane")]
    pub(crate) fn holder(path: &Path) -> Option<String> {
        let mut lock = File::open(path.join("lock")).ok()?;
        // Shared, and for no longer than this takes.
        match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                drop(lock.read_to_string(&mut holder));
                Some(holder.trim().to_owned())
            }
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }

    #[cfg(feature = "data-plane")]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file of the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Opens a file that nobody else may read, whatever the directory allows and an earlier version left.
#[cfg(unix)]
fn open_private(path: &Path) -> std::io::Result<File> {
    use std::fs::Permissions;
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let file = options().mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(not(unix))]
fn open_private(path: &Path) -> std::io::Result<File> {
    options().open(path)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_in_use_is_refused_with_who_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let held = DataDir::open(&path).unwrap();
        let error = DataDir::open(&path).unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        assert_eq!(DataDir::holder(&path), Some(std::process::id().to_string()));
        drop(held);
        assert_eq!(DataDir::holder(&path), None);
        DataDir::open(&path).unwrap();
    }
}
