//! Sockets are reached below the folder, and nowhere else.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tokio::net::UnixListener;

use super::*;

/// `run`, with a socket in it and one in a folder of it, beside `other`, with a socket and more ways
/// there than should be.
struct Folders {
    dir: tempfile::TempDir,
    _listeners: [UnixListener; 3],
}

impl Folders {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["run/inner", "other"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        let listen = |name: &str| UnixListener::bind(at(name)).unwrap();
        let listeners = [
            listen("run/a.sock"),
            listen("run/inner/b.sock"),
            listen("other/c.sock"),
        ];
        symlink(at("other/c.sock"), at("run/link.sock")).unwrap();
        symlink(at("other"), at("run/away")).unwrap();
        symlink("a.sock", at("run/same.sock")).unwrap();
        std::fs::write(at("run/file"), "").unwrap();
        Self {
            dir,
            _listeners: listeners,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

#[tokio::test]
async fn only_what_is_below_the_folder_is_reached() {
    let folders = Folders::new();
    let sockets = Sockets::Below(folders.path("run").into());
    for (name, may_be_named, is_reached) in [
        ("run/a.sock", true, true),
        ("run/inner/b.sock", true, true),
        ("run/./a.sock", true, true),
        ("run/inner/../a.sock", false, false),
        ("run/../other/c.sock", false, false),
        ("other/c.sock", false, false),
        ("run", false, false),
        ("runaway/x.sock", false, false),
        ("run/link.sock", true, false),
        ("run/same.sock", true, false),
        ("run/away/c.sock", true, false),
        ("run/file", true, false),
        ("run/missing.sock", true, false),
    ] {
        let path = folders.path(name);
        assert_eq!(sockets.check(&path).is_ok(), may_be_named, "{name}");
        assert_eq!(sockets.connect(&path).await.is_ok(), is_reached, "{name}");
        assert!(Sockets::Any.check(&path).is_ok());
        assert_eq!(Sockets::None.check(&path), Err(NetworkRule::Socket));
        assert!(Sockets::None.connect(&path).await.is_err());
    }
    assert!(
        Sockets::Any
            .connect(&folders.path("run/link.sock"))
            .await
            .is_ok()
    );
}

#[test]
fn a_relative_path_is_below_nothing() {
    let sockets = Sockets::Below(Path::new("/run/mcp").into());
    for path in ["a.sock", "run/mcp/a.sock", "", "/run/mcp"] {
        assert!(sockets.check(Path::new(path)).is_err(), "{path}");
    }
}
