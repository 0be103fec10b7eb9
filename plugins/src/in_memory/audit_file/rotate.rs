//! Files that were set aside: what they are called, and which of them are kept.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::files;

/// The time in a name: in the order of their names, files are in the order of their times.
const TIME: &str = "%Y%m%dT%H%M%S.%6fZ";
const TIME_LENGTH: usize = "20261122T100000.000000Z".len();

/// Gives a file the name of the moment.
pub(super) fn set_aside(path: &Path) -> io::Result<()> {
    loop {
        let time = Timestamp::now().strftime(TIME).to_string();
        let name = files::beside(path, &format!(".{time}"));
        // Nobody else sets this file aside, so nobody takes the name in between.
        if !name.try_exists()? {
            return std::fs::rename(path, name);
        }
    }
}

/// Removes the oldest files beyond those to be kept.
pub(super) fn prune(path: &Path, keep: usize) -> io::Result<()> {
    let aside = aside(path)?;
    let surplus = aside.len().saturating_sub(keep);
    for old in aside.iter().take(surplus) {
        std::fs::remove_file(old)?;
    }
    Ok(())
}

/// The files that were set aside, the oldest first.
pub(super) fn aside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let other = entry.file_name();
        let time = other
            .to_str()
            .and_then(|other| other.strip_prefix(&*name)?.strip_prefix('.'));
        let is_time = |time: &str| {
            time.len() == TIME_LENGTH
                && time.ends_with('Z')
                && time
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || b"T.Z".contains(&byte))
        };
        if time.is_some_and(is_time) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
