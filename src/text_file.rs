//! Text files that people and other programs edit too: read, and replaced in one step.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

/// The text; `None` where there is no file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Puts a text in a file's place at once, so that nobody ever reads half of it, and makes its
/// folder where it is missing. The file gets the permissions of `like`; where that is not there,
/// it is its user's alone.
pub(crate) fn replace(path: &Path, text: &str, like: &Path) -> anyhow::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        if let Ok(permissions) = std::fs::metadata(like) {
            file.as_file().set_permissions(permissions.permissions())?;
        }
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}
