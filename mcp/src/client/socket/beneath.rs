//! Connects to a socket below a folder without following a link that somebody has put there.

use std::io;
use std::path::Path;

use tokio::net::UnixStream;

/// Each step is taken from what the one before it has opened, so that nothing can be put in between.
#[cfg(target_os = "linux")]
pub(super) async fn connect(folder: &Path, inner: &Path) -> io::Result<UnixStream> {
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{FileType, Mode, OFlags, fstat, open, openat};

    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let mut at = open(folder, flags | OFlags::DIRECTORY, Mode::empty())?;
    for name in inner.iter() {
        at = openat(&at, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    if !FileType::from_raw_mode(fstat(&at)?.st_mode).is_socket() {
        return Err(no_socket());
    }
    // The name of what is open, whatever is found by its path now.
    UnixStream::connect(format!("/proc/self/fd/{}", at.as_raw_fd())).await
}

/// Elsewhere what is open has no name: a link that is put there in the very moment is followed.
#[cfg(not(target_os = "linux"))]
pub(super) async fn connect(folder: &Path, inner: &Path) -> io::Result<UnixStream> {
    let mut path = folder.to_owned();
    for name in inner.iter() {
        path.push(name);
        if path.symlink_metadata()?.is_symlink() {
            return Err(no_socket());
        }
    }
    UnixStream::connect(path).await
}

fn no_socket() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "it is no socket; links are not followed",
    )
}
