//! A client's configuration file: read, replaced in one step, and put back as it was.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::text_file::{read, replace};

/// What is added to a file's name for the copy of how it was before.
const BEFORE: &str = ".before-mcp-gateway";

/// A file that belongs to another program.
#[derive(Debug)]
pub(super) struct ClientFile {
    /// Where the bytes are: links are followed, so that they stay links.
    path: PathBuf,
    /// The bytes as they were read; `None`: there is no such file.
    read: Option<String>,
}

impl ClientFile {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let read = read(&path)?;
        Ok(Self { path, read })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn exists(&self) -> bool {
        self.read.is_some()
    }

    /// The text; empty where there is no file.
    pub(super) fn text(&self) -> &str {
        self.read.as_deref().unwrap_or_default()
    }

    /// The text as it was before the gateway was entered.
    pub(super) fn before(&self) -> anyhow::Result<Option<String>> {
        read(&self.before_path())
    }

    /// Keeps the text as it is now. What is kept already stays.
    pub(super) fn keep(&self) -> anyhow::Result<()> {
        let path = self.before_path();
        match &self.read {
            Some(text) if !path.exists() => replace(&path, text, &self.path),
            _ => Ok(()),
        }
    }

    /// Writes another text, unless the file's own program was faster.
    pub(super) fn write(&self, text: &str) -> anyhow::Result<()> {
        self.check_unchanged()?;
        replace(&self.path, text, &self.path)
    }

    /// Removes the file.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        self.check_unchanged()?;
        std::fs::remove_file(&self.path)
            .with_context(|| format!("{} cannot be removed", self.path.display()))
    }

    /// Forgets how the file was before.
    pub(super) fn forget(&self) -> anyhow::Result<()> {
        let path = self.before_path();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", path.display()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn before_path(&self) -> PathBuf {
        let mut name = self
            .path
            .file_name()
            .map_or_else(OsString::new, OsString::from);
        name.push(BEFORE);
        self.path.with_file_name(name)
    }

    fn check_unchanged(&self) -> anyhow::Result<()> {
        if read(&self.path)? != self.read {
            bail!(
                "{} was changed by another program at the same time: run the command again",
                self.path.display()
            );
        }
        Ok(())
    }
}
