//! Edits of gateway.yaml that keep its comments and its order.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use gateway_core::config::{TenantConfig, load_yaml};
use serde::Serialize;
use yaml_edit::{Document, Mapping, Sequence};

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

/// A configuration file that is about to be edited.
#[derive(Debug)]
pub(crate) struct EditedFile {
    path: PathBuf,
    text: String,
    pub(crate) config: TenantConfig,
}

impl EditedFile {
    /// Reads the file; where there is none, the edit makes it.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Failure> {
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        let text = text_file::read(&path)?.unwrap_or_else(|| HEADING.to_owned());
        let config = load(&path, &text)?;
        Ok(Self { path, text, config })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an entry to a section that stands at the top level, or replaces what is there.
    pub(crate) fn set(
        &mut self,
        section: &str,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), Failure> {
        let block = serde_yaml::to_string(value).context("the entry cannot be written as YAML")?;
        let edited = set(&self.text, section, name, &block);
        self.take(edited, &format!("{section}.{name}"))
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, section: &str, name: &str) -> Result<(), Failure> {
        let edited = remove(&self.text, section, name);
        self.take(edited, &format!("{section}.{name}"))
    }

    /// Adds an item to a list of a plugin's settings, which is there already.
    pub(crate) fn push_setting(
        &mut self,
        plugin: &str,
        list: &str,
        item: &impl Serialize,
    ) -> Result<(), Failure> {
        let block = serde_yaml::to_string(item).context("the entry cannot be written as YAML")?;
        let edited = with_list(&self.text, plugin, list, |items| {
            let item: Document = block.parse().ok()?;
            items.push(item.as_mapping()?);
            Some(())
        });
        self.take(edited, &format!("plugins.{plugin}.settings.{list}"))
    }

    /// Removes an item, by its place, from a list of a plugin's settings.
    pub(crate) fn remove_setting(
        &mut self,
        plugin: &str,
        list: &str,
        index: usize,
    ) -> Result<(), Failure> {
        let edited = with_list(&self.text, plugin, list, |items| {
            items.remove(index).map(drop)
        });
        self.take(edited, &format!("plugins.{plugin}.settings.{list}"))
    }

    /// Writes the edits to the file, all at once, and warns of what a gateway would refuse: what
    /// it needs may only come.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        text_file::replace(&self.path, &self.text, &self.path)?;
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

    fn take(&mut self, edited: Option<String>, entry: &str) -> Result<(), Failure> {
        let shown = self.path.display();
        let edited = edited.ok_or_else(|| {
            Failure::invalid(format!(
                "{shown}: the form of this file is beyond this command: edit `{entry}` by hand"
            ))
        })?;
        self.config = load(&self.path, &edited)?;
        self.text = edited;
        Ok(())
    }
}

fn load(path: &Path, text: &str) -> Result<TenantConfig, Failure> {
    load_yaml(text).map_err(|error| {
        let problems = error.problems.iter();
        Failure::Invalid(
            problems
                .map(|p| format!("{}:{p}", path.display()))
                .collect(),
        )
    })
}

fn set(text: &str, section: &str, name: &str, block: &str) -> Option<String> {
    let Some((document, mapping)) = filled_section(text, section) else {
        return append(text, section, name, block);
    };
    let value: Document = block.parse().ok()?;
    mapping.set(name, value.as_mapping()?);
    Some(document.to_string())
}

fn remove(text: &str, section: &str, name: &str) -> Option<String> {
    let (document, mapping) = filled_section(text, section)?;
    mapping.remove(name)?;
    Some(document.to_string())
}

/// Edits a list of a plugin's settings.
fn with_list(
    text: &str,
    plugin: &str,
    list: &str,
    edit: impl FnOnce(&Sequence) -> Option<()>,
) -> Option<String> {
    let document: Document = text.parse().ok()?;
    let plugin = document
        .as_mapping()?
        .get_mapping("plugins")?
        .get_mapping(plugin)?;
    edit(&plugin.get_mapping("settings")?.get_sequence(list)?)?;
    Some(document.to_string())
}

/// A section that has entries.
fn filled_section(text: &str, section: &str) -> Option<(Document, Mapping)> {
    let document: Document = text.parse().ok()?;
    let mapping = document.as_mapping()?.get_mapping(section)?;
    (!mapping.is_empty()).then_some((document, mapping))
}

/// Puts the first entry of a section below its heading, which is written where it is missing.
fn append(text: &str, section: &str, name: &str, block: &str) -> Option<String> {
    let mut entry = format!("  {name}:\n");
    for line in block.lines() {
        entry.push_str(&format!("    {line}\n"));
    }
    let mut edited = String::new();
    let mut found = false;
    for line in text.split_inclusive('\n') {
        let Some(rest) = line
            .strip_prefix(section)
            .and_then(|rest| rest.strip_prefix(':'))
        else {
            edited.push_str(line);
            continue;
        };
        let (value, comment) = rest.find('#').map_or((rest, ""), |at| rest.split_at(at));
        if !matches!(value.trim(), "" | "{}" | "null" | "~") {
            return None;
        }
        found = true;
        let gap = if comment.is_empty() { "" } else { " " };
        edited.push_str(&format!("{section}:{gap}{}\n{entry}", comment.trim_end()));
    }
    if !found {
        if !edited.is_empty() && !edited.ends_with('\n') {
            edited.push('\n');
        }
        edited.push_str(&format!("\n{section}:\n{entry}"));
    }
    Some(edited)
}

#[cfg(test)]
mod tests;
