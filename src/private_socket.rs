//! Unix sockets that only the user who made them can reach.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, bail};
use tokio::net::UnixListener;

/// A folder that only the user may look into.
pub(crate) fn hidden_folder(beside: &Path) -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix(".s").tempdir_in(beside)
}

/// Listens at a path, in the place of what stands there. The socket is made where nobody else can look, so that
/// there is no moment in which others could connect to it.
pub(crate) fn bind(path: &Path) -> std::io::Result<UnixListener> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let hidden = hidden_folder(folder.unwrap_or(Path::new(".")))?;
    let made = hidden.path().join("s");
    let listener = UnixListener::bind(&made)?;
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&made, path)?;
    Ok(listener)
}

/// The same where nothing is, or a socket on which nobody listens any more.
#[cfg(feature = "data-plane")]
pub(crate) fn bind_free(path: &Path) -> anyhow::Result<UnixListener> {
    let shown = path.display();
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            bail!("{shown} is something else than a socket: choose another path")
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            bail!("somebody listens on {shown} already: stop it, or choose another path")
        }
        _ => {}
    }
    bind(path).with_context(|| format!("cannot listen on {shown}"))
}

#[cfg(all(test, feature = "data-plane"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.sock");
        let first = bind_free(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let error = bind_free(&path).unwrap_err().to_string();
        assert!(error.contains("somebody listens"), "{error}");
        drop(first);
        drop(bind_free(&path).unwrap());
        let file = folder.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        let error = bind_free(&file).unwrap_err().to_string();
        assert!(error.contains("something else"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
