//! Where a user's files are: the XDG base directories, and what other systems have instead.

use std::path::PathBuf;

/// The folder that an environment variable names; relative paths do not count.
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

/// The user's own folder.
pub(crate) fn home() -> Option<PathBuf> {
    variable(if cfg!(windows) { "USERPROFILE" } else { "HOME" })
}

/// Where configuration belongs.
pub(crate) fn config() -> Option<PathBuf> {
    variable("XDG_CONFIG_HOME").or_else(|| home().map(|home| home.join(".config")))
}

/// Where data belongs.
#[cfg(any(feature = "control-plane", feature = "data-plane"))]
pub(crate) fn data() -> Option<PathBuf> {
    variable("XDG_DATA_HOME").or_else(|| home().map(|home| home.join(".local/share")))
}

/// A file of an application with windows, which keeps to its system's own place.
pub(crate) fn application(file: &str) -> Option<PathBuf> {
    let folder = if cfg!(target_os = "macos") {
        home().map(|home| home.join("Library/Application Support"))
    } else if cfg!(windows) {
        variable("APPDATA")
    } else {
        config()
    };
    folder.map(|folder| folder.join(file))
}
