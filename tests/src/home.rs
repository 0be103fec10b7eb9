//! A user's home folder, in which commands are typed.

use std::fs;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::clients::python_program;
use crate::secrets;

/// Removed when dropped.
#[derive(Debug)]
pub struct Home {
    binary: String,
    directory: TempDir,
    variables: Vec<(String, String)>,
    /// The files in which the test has secrets.
    secret_files: Vec<PathBuf>,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    /// None when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    /// `binary` is `env!("CARGO_BIN_EXE_mcp-gateway")`, which only the test itself can say.
    pub fn new(binary: &str) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("gateway-home-").tempdir()?;
        Ok(Self {
            binary: binary.to_owned(),
            directory,
            variables: Vec::new(),
            secret_files: Vec::new(),
        })
    }

    /// Sets an environment variable for every command to come.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file, and makes the folders that it is in.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        fs::write(&path, text).with_context(|| format!("writing {name}"))?;
        Ok(path)
    }

    /// The same with secrets in it, which may be nowhere else.
    pub fn write_secret(&mut self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.write(name, text)?;
        self.secret_files.push(path.clone());
        Ok(path)
    }

    pub fn read(&self, name: &str) -> anyhow::Result<String> {
        fs::read_to_string(self.path().join(name)).with_context(|| format!("reading {name}"))
    }

    /// Every file below the home folder, by its name, in order.
    pub fn files(&self) -> anyhow::Result<Vec<String>> {
        let mut files = Vec::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(self.path())?;
                    files.push(name.to_string_lossy().into_owned());
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// Runs a command as its user types it, in the home folder.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Done> {
        self.pipe("", arguments)
    }

    /// The same with something on standard input.
    pub fn pipe(&self, input: &str, arguments: &[&str]) -> anyhow::Result<Done> {
        let mut given = tempfile::tempfile()?;
        given.write_all(input.as_bytes())?;
        given.rewind()?;
        let mut command = Command::new(&self.binary);
        self.done(command.args(arguments).stdin(given))
    }

    /// The same at a terminal, where this is typed once nothing that is typed shows any more. What
    /// the terminal showed is the standard output.
    pub fn type_unseen(&self, typed: &str, arguments: &[&str]) -> anyhow::Result<Done> {
        let mut command = Command::new(python_program("python")?);
        command.args(["-c", include_str!("home/terminal.py"), typed, &self.binary]);
        self.done(command.args(arguments).stdin(Stdio::null()))
    }

    fn done(&self, command: &mut Command) -> anyhow::Result<Done> {
        let output = command
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .with_context(|| format!("running {command:?}"))?;
        for said in [&output.stdout, &output.stderr] {
            secrets::search(&format!("what {command:?} says"), said);
        }
        // Where the home folder is differs from run to run.
        let shown = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes).replace(&self.path().to_string_lossy().into_owned(), "~")
        };
        Ok(Done {
            code: output.status.code(),
            stdout: shown(&output.stdout),
            stderr: shown(&output.stderr),
        })
    }

    /// Runs a command that succeeds, and gives what it printed.
    pub fn ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let done = self.run(arguments)?;
        anyhow::ensure!(done.code == Some(0), "{arguments:?} failed: {done:?}");
        Ok(done.stdout)
    }

    /// Runs `api-key create`, which shows the key this once.
    pub fn create_key(&self, arguments: &[&str]) -> anyhow::Result<Done> {
        let done = self.run(&[&["api-key", "create"], arguments].concat())?;
        anyhow::ensure!(done.code == Some(0), "{arguments:?} failed: {done:?}");
        let key = done.stdout.trim_end();
        secrets::made(key.rsplit('_').next().unwrap_or(key));
        secrets::search("what stands beside the key", done.stderr.as_bytes());
        Ok(done)
    }

    /// Runs a command that is refused for what was typed, and gives the message.
    pub fn refused(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let done = self.run(arguments)?;
        anyhow::ensure!(
            done.code == Some(2),
            "{arguments:?} was not refused: {done:?}"
        );
        Ok(done.stderr)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        secrets::search_files(self.path(), &self.secret_files);
    }
}
