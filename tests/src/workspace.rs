//! The folder that one gateway lives in: its configuration file and its data directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::secrets;

/// Removed when dropped. A second gateway on the same workspace finds what the first one left.
#[derive(Debug)]
pub struct Workspace {
    directory: TempDir,
}

impl Workspace {
    pub fn new(config: &str) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("gateway-tests-")
            .tempdir()?;
        let workspace = Self { directory };
        fs::write(workspace.config(), config)?;
        Ok(workspace)
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path().join("gateway.yaml")
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Replaces the configuration file as careful editors do: aside, then by renaming.
    pub fn replace_config(&self, config: &str) -> anyhow::Result<()> {
        let aside = self.path().join(".gateway.yaml.new");
        fs::write(&aside, config).context("writing the new configuration")?;
        fs::rename(&aside, self.config()).context("putting the new configuration in its place")
    }

    /// Overwrites the configuration file where it is, as simple editors do.
    pub fn overwrite_config(&self, config: &str) -> anyhow::Result<()> {
        fs::write(self.config(), config).context("overwriting the configuration")
    }

    /// A folder of this name, for a server to serve.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.path().join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        secrets::search_files(self.path(), &[]);
    }
}
