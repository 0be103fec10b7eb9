//! `mcp-gateway context`: control planes by names, so that commands need not be told where one is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::output::{OutputArgs, say};
use crate::tls::ClientTlsArgs;
use crate::{folders, text_file};

#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// Keeps where a control plane is under a name, or changes what is kept. The first one becomes
    /// the current one.
    Set(SetArgs),
    /// Shows the names, and which is current.
    List(ListArgs),
    /// Makes one the current one, which commands use that are told of none.
    Use(NameArgs),
    /// Forgets one.
    Delete(NameArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The name.
    name: String,

    /// Where the control plane is.
    #[arg(long, value_name = "URL")]
    control_plane: String,

    /// The file that holds the administrator's token. Left out: it is taken from MCP_GATEWAY_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Makes it the current one.
    #[arg(long = "use")]
    is_used: bool,

    #[command(flatten)]
    tls: ClientTlsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// The name.
    name: String,
}

/// Where a control plane is, and what is needed there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    pub(super) control_plane: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "ClientTlsArgs::is_empty")]
    pub(super) tls: ClientTlsArgs,
}

/// What the file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contexts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

pub(crate) fn run(command: ContextCommand) -> Result<(), Failure> {
    let path = path()?;
    let mut kept = Contexts::read(&path)?;
    match command {
        ContextCommand::Set(args) => kept.set(args)?,
        ContextCommand::List(args) => return kept.list(args.output),
        ContextCommand::Use(args) => {
            kept.find(&args.name)?;
            say(&format!("context `{}` is current", args.name))?;
            kept.current = Some(args.name);
        }
        ContextCommand::Delete(args) => {
            kept.find(&args.name)?;
            kept.contexts.remove(&args.name);
            kept.current = kept.current.filter(|current| *current != args.name);
            say(&format!("context `{}` is deleted", args.name))?;
        }
    }
    kept.write(&path)
}

/// The context of this name, or the current one; `None`: nothing is kept.
pub(super) fn chosen(name: Option<&str>) -> Result<Option<Context>, Failure> {
    let Some(name) = name else {
        // Who has no folder for configuration has no contexts.
        let Ok(path) = path() else {
            return Ok(None);
        };
        let kept = Contexts::read(&path)?;
        let Some(current) = &kept.current else {
            return Ok(None);
        };
        return kept.find(current).cloned().map(Some);
    };
    Contexts::read(&path()?)?.find(name).cloned().map(Some)
}

fn path() -> Result<PathBuf, Failure> {
    let folder = folders::config();
    let folder = folder.context("there is no folder for contexts: set HOME or XDG_CONFIG_HOME")?;
    Ok(folder.join("mcp-gateway/contexts.yaml"))
}

impl Contexts {
    fn read(path: &Path) -> Result<Self, Failure> {
        let Some(text) = text_file::read(path)? else {
            return Ok(Self::default());
        };
        serde_yaml::from_str(&text).map_err(|error| {
            Failure::invalid(format!(
                "{} is not what `mcp-gateway context` writes: {error}",
                path.display()
            ))
        })
    }

    fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_yaml::to_string(self);
        let text = text.context("the contexts cannot be written as YAML")?;
        text_file::replace(path, &text, path)?;
        Ok(())
    }

    fn find(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.get(name).ok_or_else(|| {
            let known: Vec<_> = self.contexts.keys().map(|known| format!("`{known}`")).collect();
            Failure::invalid(match known.as_slice() {
                [] => format!(
                    "there is no context `{name}`: make it with `mcp-gateway context set {name} --control-plane URL`"
                ),
                known => format!("there is no context `{name}`: there are {}", known.join(", ")),
            })
        })
    }

    fn set(&mut self, args: SetArgs) -> Result<(), Failure> {
        let SetArgs {
            name,
            control_plane,
            token_file,
            is_used,
            tls,
        } = args;
        if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            return Err(Failure::invalid(format!(
                "`{name}` is no name of a context: use letters, digits, hyphens, dots and underscores"
            )));
        }
        // Whoever uses it may stand in another folder.
        let absolute = |file: PathBuf| std::path::absolute(file).map_err(|error| anyhow!(error));
        let context = Context {
            control_plane,
            token_file: token_file.map(absolute).transpose()?,
            tls: tls.absolute().map_err(anyhow::Error::from)?,
        };
        self.contexts.insert(name.clone(), context);
        if is_used || self.current.is_none() {
            self.current = Some(name.clone());
        }
        let is_current = self.current.as_ref() == Some(&name);
        let current = if is_current { ", and current" } else { "" };
        say(&format!("context `{name}` is kept{current}"))?;
        Ok(())
    }

    fn list(&self, output: OutputArgs) -> Result<(), Failure> {
        let records = self.contexts.iter().map(|(name, context)| {
            json!({
                "current": if self.current.as_ref() == Some(name) { "*".into() } else { Value::Null },
                "context": name,
                "control_plane": context.control_plane,
                "token_file": context.token_file,
                "tls": context.tls,
            })
        });
        let records: Vec<_> = records.collect();
        let columns = ["current", "context", "control_plane", "token_file"];
        output.print(&columns, &records)?;
        Ok(())
    }
}
