//! Files that nobody but the gateway's user may read.

use std::path::{Path, PathBuf};

use gateway_core::config::{PluginConfig, SecretRef};

use super::configuration::references;
use super::finding::quoted;
use super::{Finding, Readable};

/// Looks at the files with keys and secrets that the configuration names.
pub(super) fn look(readable: Readable<'_>) -> Vec<Finding> {
    let config = &readable.document.config;
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for reference in references(config) {
        if let SecretRef::FromFile(file) = reference.secret {
            files.push((file.clone(), format!("the secret of {}", reference.field)));
        }
    }
    if let Some(plugin) = &config.plugins.credential_storage
        && plugin.implementation.as_deref() == Some("encrypted-file")
    {
        for (path, what) in storage_files(plugin) {
            files.push((readable.patient.data_dir.join(path), what.to_owned()));
        }
    }
    let mut seen = Vec::new();
    let mut findings = Vec::new();
    for (path, what) in files {
        if !seen.contains(&path) {
            findings.extend(of_file(&path, &what));
            seen.push(path);
        }
    }
    findings
}

/// The files of an encrypted storage, with what they hold.
fn storage_files(plugin: &PluginConfig) -> [(String, &'static str); 2] {
    let settings = plugin.settings.as_map();
    let named = |setting: &str, otherwise: &str| {
        let path = settings.get(setting).and_then(|path| path.as_str());
        path.unwrap_or(otherwise).to_owned()
    };
    [
        (
            named("key_file", "credentials.key"),
            "the key of the credentials",
        ),
        (named("path", "credentials"), "the file of the credentials"),
    ]
}

/// What is wrong with who may read a file; nothing where it is missing.
pub(super) fn of_file(path: &Path, what: &str) -> Option<Finding> {
    path.is_file().then(|| open_to_others(path, what, "600"))?
}

/// The same of a folder.
pub(super) fn of_folder(path: &Path, what: &str) -> Option<Finding> {
    open_to_others(path, what, "700")
}

#[cfg(unix)]
fn open_to_others(path: &Path, what: &str, mode: &str) -> Option<Finding> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path).ok()?;
    let permissions = found.mode() & 0o7777;
    if permissions & 0o077 == 0 {
        return None;
    }
    let text = format!("{what} is open to others (mode {permissions:o})");
    let path = path.display().to_string();
    let is_own = found.uid() == rustix::process::geteuid().as_raw();
    if is_own {
        let mend = format!("chmod {mode} {}", quoted(Path::new(&path)));
        return Some(Finding::trouble(text, mend).at(path));
    }
    // What somebody else mounted here, such as a container's secrets, is as they wanted it.
    Some(Finding::note(format!("{text}; it is somebody else's")).at(path))
}

#[cfg(not(unix))]
fn open_to_others(_path: &Path, _what: &str, _mode: &str) -> Option<Finding> {
    None
}
