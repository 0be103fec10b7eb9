//! `control.sock` in the data directory: where commands reach the gateway that runs on it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::net::UnixListener;

use crate::data_dir::DataDir;
use crate::private_socket;

/// Its name in the data directory.
pub(crate) const NAME: &str = "control.sock";

/// Where the socket is, of whoever has the data directory.
pub(crate) fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

/// The socket of a running gateway; gone when this is dropped.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    path: PathBuf,
    /// Where nobody else looks for it.
    _hidden: Option<tempfile::TempDir>,
    listener: Option<UnixListener>,
}

impl ControlSocket {
    /// Listens in a data directory that this process has for itself, in the place of whatever an
    /// earlier process left.
    pub(crate) fn bind(data_dir: &DataDir) -> anyhow::Result<Self> {
        let path = data_dir.file(NAME);
        let listener = private_socket::bind(&path)
            .with_context(|| format!("commands cannot reach this gateway: {}", path.display()))?;
        Ok(Self {
            path,
            _hidden: None,
            listener: Some(listener),
        })
    }

    /// Listens where only this process looks, for a gateway that others must not rely on.
    pub(crate) fn bind_hidden(data_dir: &DataDir) -> anyhow::Result<Self> {
        let hidden = private_socket::hidden_folder(data_dir.path())?;
        let path = hidden.path().join("s");
        let listener = UnixListener::bind(&path)
            .with_context(|| format!("cannot listen on {}", path.display()))?;
        Ok(Self {
            path,
            _hidden: Some(hidden),
            listener: Some(listener),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What connections are taken from; the first call gets it.
    pub(crate) fn listener(&mut self) -> Option<UnixListener> {
        self.listener.take()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // One that stays behind answers nobody, and the next gateway takes its place.
        drop(std::fs::remove_file(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn nobody_else_reaches_it_and_what_is_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(folder.path()).unwrap();
        let path = data_dir.file(NAME);
        std::fs::write(&path, "left behind").unwrap();
        let bound = ControlSocket::bind(&data_dir).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(bound);
        assert!(UnixStream::connect(&path).await.is_err());
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "only the lock: {left:?}");
    }
}
