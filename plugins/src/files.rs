//! Files that belong to the gateway's user alone, and that a crash leaves whole.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_core::Deadline;

/// How long to wait for a process that has the same file and is about to end.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Asks the file system for room behind the end of a file.
pub(crate) type Allocate = fn(&File, u64, u64) -> io::Result<()>;

/// Options that make a file which only its owner can read and write.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a folder, and those above it, that only its owner can look into.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Keeps other processes from what is at `path`, for as long as the file that is given back is open.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let lock = private()
        .write(true)
        .create(true)
        .truncate(false)
        .open(beside(path, ".lock"))?;
    let deadline = Deadline::after(LOCK_PATIENCE);
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if deadline.has_passed() => {
                let text = format!("another process writes to {}", path.display());
                return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Has the file system keep room behind the end of a file.
#[cfg(target_os = "linux")]
pub(crate) fn allocate(file: &File, from: u64, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    match fallocate(file, FallocateFlags::KEEP_SIZE, from, length) {
        // Not every file system can; then a full disk is found out when it is written to.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Elsewhere a full disk is found out when it is written to.
#[cfg(not(target_os = "linux"))]
pub(crate) fn allocate(_file: &File, _from: u64, _length: u64) -> io::Result<()> {
    Ok(())
}

/// Whether others than the owner may read or write an open file.
#[cfg(unix)]
pub(crate) fn is_open_to_others(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

/// Whether others than the owner may read or write an open file: elsewhere the folder decides.
#[cfg(not(unix))]
pub(crate) fn is_open_to_others(_file: &File) -> io::Result<bool> {
    Ok(false)
}

/// What tells a file, as it is now, from what it was and from others that had its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    #[cfg(unix)]
    place: (u64, u64),
    /// When its content, name or owner changed last.
    #[cfg(unix)]
    changed: (i64, i64),
    #[cfg(not(unix))]
    changed: Option<std::time::SystemTime>,
    length: u64,
}

impl Identity {
    #[cfg(unix)]
    pub(crate) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self {
            place: (metadata.dev(), metadata.ino()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            length: metadata.len(),
        }
    }

    #[cfg(not(unix))]
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            changed: metadata.modified().ok(),
            length: metadata.len(),
        }
    }
}

/// The path with something added to its file name.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Puts a file in another's place as a whole: whenever the process or the machine stops, either
/// the old or the new content is there. Only one writer at a time.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let aside = beside(path, ".new");
    let mut file = private()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&aside)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    sync_folder_of(path)
}

/// Makes a new or another name of a file last.
#[cfg(unix)]
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Makes a new or another name of a file last: elsewhere that cannot be asked for.
#[cfg(not(unix))]
pub(crate) fn sync_folder_of(_path: &Path) -> io::Result<()> {
    Ok(())
}
