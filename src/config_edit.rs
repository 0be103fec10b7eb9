//! Edits of gateway.yaml that keep its comments and its order.

use std::path::{Path, PathBuf};

use clap::Args;
use gateway_core::config::{TenantConfig, edit, load_yaml};
use serde::Serialize;

use crate::config_file::ConfigFile;
use crate::desktop::permits;
use crate::exit::{Failure, warn};
use crate::text_file;

/// What a new file begins with.
const HEADING: &str = "\
# The MCP gateway's configuration. Edit it while the gateway runs: a sound edit is in force within
# a second, an unsound one is refused and changes nothing.
";

/// The flag that names the configuration file.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file. Left out: ./gateway.yaml if it is there, else
    /// mcp-gateway/gateway.yaml in the user's configuration folder.
    #[arg(long, env = "MCP_GATEWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    pub(crate) fn path(self) -> PathBuf {
        self.config.unwrap_or_else(ConfigFile::default_path)
    }
}

/// A configuration that is about to be edited, with its text.
#[derive(Debug)]
pub(crate) struct Edited {
    /// Where it is from, as messages name it.
    shown: String,
    text: String,
    pub(crate) config: TenantConfig,
}

impl Edited {
    pub(crate) fn new(shown: String, text: String) -> Result<Self, Failure> {
        let config = load(&shown, &text)?;
        Ok(Self {
            shown,
            text,
            config,
        })
    }

    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Adds an entry to a section that stands at the top level, or replaces what is there.
    pub(crate) fn set(
        &mut self,
        section: &str,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), Failure> {
        let edited = edit::set_entry(&self.text, section, name, value);
        self.take(edited, &format!("{section}.{name}"))
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, section: &str, name: &str) -> Result<(), Failure> {
        let edited = edit::remove_entry(&self.text, section, name);
        self.take(edited, &format!("{section}.{name}"))
    }

    /// Adds an item to a list of a plugin's settings, which is there already.
    pub(crate) fn push_setting(
        &mut self,
        plugin: &str,
        list: &str,
        item: &impl Serialize,
    ) -> Result<(), Failure> {
        let edited = edit::push_setting(&self.text, plugin, list, item);
        self.take(edited, &format!("plugins.{plugin}.settings.{list}"))
    }

    /// Removes an item, by its place, from a list of a plugin's settings.
    pub(crate) fn remove_setting(
        &mut self,
        plugin: &str,
        list: &str,
        index: usize,
    ) -> Result<(), Failure> {
        let edited = edit::remove_setting(&self.text, plugin, list, index);
        self.take(edited, &format!("plugins.{plugin}.settings.{list}"))
    }

    fn take(&mut self, edited: Option<String>, entry: &str) -> Result<(), Failure> {
        let shown = &self.shown;
        let edited = edited.ok_or_else(|| {
            Failure::invalid(format!(
                "{shown}: the form of its text is beyond this command: edit `{entry}` by hand"
            ))
        })?;
        self.config = load(shown, &edited)?;
        self.text = edited;
        Ok(())
    }
}

/// A configuration file that is about to be edited.
#[derive(Debug)]
pub(crate) struct EditedFile {
    path: PathBuf,
    edited: Edited,
}

impl std::ops::Deref for EditedFile {
    type Target = Edited;

    fn deref(&self) -> &Edited {
        &self.edited
    }
}

impl std::ops::DerefMut for EditedFile {
    fn deref_mut(&mut self) -> &mut Edited {
        &mut self.edited
    }
}

impl EditedFile {
    /// Reads the file; where there is none, the edit makes it.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Failure> {
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        let text = text_file::read(&path)?.unwrap_or_else(|| HEADING.to_owned());
        let edited = Edited::new(path.display().to_string(), text)?;
        Ok(Self { path, edited })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the edits to the file, all at once, and warns of what a gateway would refuse: what
    /// it needs may only come.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        text_file::replace(&self.path, &self.edited.text, &self.path)?;
        // Checking touches no files.
        let permits = permits(true, Path::new(""))?;
        let read = ConfigFile::new(self.path.clone()).read();
        if let Err(problems) = read.and_then(|document| document.check(&permits)) {
            problems
                .iter()
                .for_each(|problem| warn(&problem.to_string()));
        }
        Ok(())
    }
}

fn load(shown: &str, text: &str) -> Result<TenantConfig, Failure> {
    load_yaml(text).map_err(|error| {
        let problems = error.problems.iter();
        Failure::Invalid(
            problems
                .map(|problem| format!("{shown}:{problem}"))
                .collect(),
        )
    })
}
