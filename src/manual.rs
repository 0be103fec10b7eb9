//! `mcp-gateway completions` and `mcp-gateway man`: the command line, told to shells and to `man`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::exit::Failure;
use crate::output::{raw, say};

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell. Each has a place of its own for them, such as
    /// ~/.local/share/bash-completion/completions/mcp-gateway for bash.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where the pages are written, such as ~/.local/share/man/man1. Left out: the page of the
    /// program itself is printed.
    folder: Option<PathBuf>,
}

pub(crate) fn completions(args: &CompletionsArgs, mut command: Command) -> Result<(), Failure> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    raw(&String::from_utf8_lossy(&script))?;
    Ok(())
}

pub(crate) fn pages(args: &ManArgs, command: Command) -> Result<(), Failure> {
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        let rendered = Man::new(command).render(&mut page);
        rendered.context("the page cannot be written")?;
        raw(&String::from_utf8_lossy(&page))?;
        return Ok(());
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .with_context(|| format!("the pages cannot be written into {}", folder.display()))?;
    say(&format!("the pages are in {}", folder.display()))?;
    Ok(())
}
