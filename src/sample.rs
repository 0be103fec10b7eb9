//! The commented configuration file that a first start makes where there is none.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use tracing::info;

use crate::config_file::ConfigFile;
use crate::exit::Failure;

/// In force, it is what an empty file is; everything else in it explains.
const SAMPLE: &str = include_str!("sample.yaml");

/// The configuration file of who named none: the one at the default places, or else a sample that
/// is put there.
pub(crate) fn found_or_made() -> Result<ConfigFile, Failure> {
    let file = ConfigFile::new(ConfigFile::default_path());
    // A name without a folder is one in the working directory: there is no home to put it in.
    if file.path().is_absolute() && make(file.path())? {
        info!(
            "there was no configuration: {} is a sample that explains itself; add a server there, or with `mcp-gateway server add`",
            file.path().display()
        );
    }
    Ok(file)
}

/// Whether the file was made; one that is there stays as it is.
fn make(path: &Path) -> anyhow::Result<bool> {
    if path.try_exists().unwrap_or(true) {
        return Ok(false);
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(SAMPLE.as_bytes())?;
        match file.persist_noclobber(path) {
            Ok(_) => Ok(true),
            Err(taken) if taken.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(failed) => Err(failed.error),
        }
    };
    write().with_context(|| {
        format!(
            "{} cannot be made: name another file with --config",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests;
