//! `mcp-gateway import`: the servers of an MCP client's configuration become the gateway's.

mod entry;
mod value;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use gateway_core::ServerName;
use jsonc_parser::cst::CstRootNode;
use serde_json::{Map, Value};

use crate::config_edit::{ConfigArgs, EditedFile};
use crate::data_dir;
use crate::exit::Failure;
use crate::output::say;
use crate::text_file;
use entry::{Imported, import};

/// Where clients keep their servers.
const SECTIONS: [&[&str]; 4] = [
    &["mcpServers"],
    &["servers"],
    &["context_servers"],
    &["mcp", "servers"],
];

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The client's file: `mcpServers` as Claude, Cursor and most others write it, `servers` as
    /// VS Code does.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Leaves this server out; may be given several times.
    #[arg(long, value_name = "NAME")]
    skip: Vec<String>,

    /// Replaces servers of the same name.
    #[arg(long)]
    replace: bool,

    /// Where values that look like secrets go, each into a file of its own, so that they stay out
    /// of gateway.yaml. Left out: the folder `secrets` of the gateway's data directory.
    #[arg(long, value_name = "DIR")]
    secrets_dir: Option<PathBuf>,

    #[command(flatten)]
    config: ConfigArgs,
}

pub(crate) fn run(args: ImportArgs) -> Result<(), Failure> {
    let servers = read(&args.file)?;
    let secrets_dir = match args.secrets_dir {
        Some(folder) => std::path::absolute(folder).context("--secrets-dir is no path")?,
        None => data_dir::default_path()?.join("secrets"),
    };
    let mut file = EditedFile::open(args.config.path())?;
    let wanted = servers.iter().filter(|(name, _)| !args.skip.contains(name));
    let (mut imported, mut problems) = (Vec::new(), Vec::new());
    let mut taken: BTreeSet<ServerName> = BTreeSet::new();
    for (from, entry) in wanted {
        let read = import(from, entry, &secrets_dir).and_then(|server| {
            let is_new = taken.insert(server.name.clone());
            let before = file.config.servers.get(&server.name);
            if !is_new || (!args.replace && before.is_some_and(|b| *b != server.server)) {
                return Err(format!(
                    "there is another server `{}` already: use --replace or --skip",
                    server.name
                ));
            }
            Ok(server)
        });
        match read {
            Ok(server) => imported.push(server),
            Err(reason) => problems.push(format!(
                "{}: server `{from}`: {reason}",
                args.file.display()
            )),
        }
    }
    if !problems.is_empty() {
        problems.push("nothing was imported: mend this, or leave servers out with --skip".into());
        return Err(Failure::Invalid(problems));
    }
    for server in &imported {
        file.set("servers", server.name.as_str(), &server.server)?;
    }
    for (path, value) in imported.iter().flat_map(|server| &server.secrets) {
        text_file::replace(path, value, path)?;
    }
    file.save()?;
    report(&imported, file.path())?;
    Ok(())
}

fn report(imported: &[Imported], path: &Path) -> anyhow::Result<()> {
    for server in imported {
        let from = if server.from == server.name.as_str() {
            String::new()
        } else {
            format!(" (was `{}`)", server.from)
        };
        say(&format!("server `{}`{from}", server.name))?;
        for (secret, _) in &server.secrets {
            say(&format!("  a secret went to {}", secret.display()))?;
        }
    }
    say(&format!(
        "{} of the client's servers are in {}",
        imported.len(),
        path.display()
    ))
}

fn read(path: &Path) -> Result<Map<String, Value>, Failure> {
    let shown = path.display();
    let text = text_file::read(path)?
        .ok_or_else(|| Failure::invalid(format!("{shown}: there is no such file")))?;
    let parsed = CstRootNode::parse(&text, &crate::client::JSON)
        .map_err(|error| Failure::invalid(format!("{shown}: {error}")))?
        .to_serde_value()
        .unwrap_or_default();
    let section = SECTIONS.iter().find_map(|path| {
        let found = path
            .iter()
            .try_fold(&parsed, |value, field| value.get(field));
        found?.as_object()
    });
    section.cloned().ok_or_else(|| {
        Failure::invalid(format!(
            "{shown} holds no servers: neither `mcpServers` nor `servers` stands in it"
        ))
    })
}

#[cfg(test)]
mod tests;
