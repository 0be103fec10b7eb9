//! `mcp-gateway validate`: says of files what `desktop` would say of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::config_file::{ConfigFile, Problem};
use crate::desktop::permits;
use crate::exit::Failure;

/// The flags of `validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// A configuration file; may be given several times.
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    file: Vec<PathBuf>,
}

/// Checks every file. Those that are sound are named on standard output, and everything that is
/// wrong with the others on standard error.
pub(crate) fn run(args: ValidateArgs) -> Result<(), Failure> {
    let ValidateArgs { file: files } = args;
    // As `desktop` listens by default. Checking touches no files.
    let permits = permits(true, Path::new(""))?;
    let mut problems = Vec::new();
    for path in files {
        let file = ConfigFile::new(path);
        match file.read().and_then(|document| document.check(&permits)) {
            Ok(_) => writeln!(std::io::stdout(), "{}: valid", file.path().display())
                .context("standard output cannot be written to")?,
            Err(found) => problems.extend(found.iter().map(Problem::to_string)),
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::Invalid(problems))
    }
}
