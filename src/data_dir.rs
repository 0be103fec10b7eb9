//! The data directory: one process at a time, readable by its owner only.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
#[cfg(feature = "data-plane")]
use clap::Args;

use crate::exit::Failure;
use crate::folders;

/// Where the data directory is when none is named.
pub(crate) fn default_path() -> Result<PathBuf, Failure> {
    let folder = folders::data().ok_or_else(|| {
        Failure::invalid("there is no home folder to keep data in: use --data-dir")
    })?;
    Ok(folder.join("mcp-gateway"))
}

/// The flag that names the data directory, for commands that share it with a running gateway.
#[cfg(feature = "data-plane")]
#[derive(Debug, Args)]
pub(crate) struct DataDirArgs {
    /// Where the gateway keeps its state. Left out: mcp-gateway in the user's data folder.
    #[arg(long, env = "MCP_GATEWAY_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[cfg(feature = "data-plane")]
impl DataDirArgs {
    /// The one that was named.
    pub(crate) fn named(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    pub(crate) fn path(self) -> Result<PathBuf, Failure> {
        self.data_dir.map_or_else(default_path, Ok)
    }
}

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

/// Makes the directory where it is missing, without taking it.
pub(crate) fn make(path: &Path) -> anyhow::Result<()> {
    create(path).with_context(|| {
        format!(
            "the data directory {} cannot be made: name another with --data-dir",
            path.display()
        )
    })
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

#[cfg(unix)]
fn create(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(not(unix))]
fn create(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
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
