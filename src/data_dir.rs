//! The data directory: one process at a time, readable by its owner only.

#[cfg(feature = "control-plane")]
mod taken;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
#[cfg(feature = "data-plane")]
use clap::Args;

use crate::exit::Failure;
use crate::folders;

#[cfg(feature = "control-plane")]
pub(crate) use taken::DataDir;
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
pub(crate) use taken::Taken;

/// Where the data directory is when none is named.
pub(crate) fn default_path() -> Result<PathBuf, Failure> {
    let folder = folders::data().ok_or_else(|| {
        Failure::invalid("there is no home folder to keep data in: use --data-dir")
    })?;
    Ok(folder.join("mcp-gateway"))
}

/// The flag that names the data directory, for commands that share it with a running gateway.
#[cfg(feature = "data-plane")]
#[derive(Debug, Args)]
pub(crate) struct DataDirArgs {
    /// Where the gateway keeps its state. Left out: mcp-gateway in the user's data folder.
    #[arg(long, env = "MCP_GATEWAY_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[cfg(feature = "data-plane")]
impl DataDirArgs {
    /// The one that was named.
    #[cfg(feature = "control-plane")]
    pub(crate) fn named(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    pub(crate) fn path(self) -> Result<PathBuf, Failure> {
        self.data_dir.map_or_else(default_path, Ok)
    }
}

/// Makes the directory where it is missing, without taking it.
pub(crate) fn make(path: &Path) -> anyhow::Result<()> {
    create(path).with_context(|| {
        format!(
            "the data directory {} cannot be made: name another with --data-dir",
            path.display()
        )
    })
}

#[cfg(unix)]
fn create(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(not(unix))]
fn create(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}
