//! The plugins of docs/plugins, started as their users start them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use anyhow::Context as _;
use serde_json::json;

use crate::clients::{node_package, node_with_types, python_program};
use crate::home::Home;
use crate::secrets::secret;

/// A language that the examples are written in.
#[derive(Debug, Clone, Copy)]
pub enum Language {
    Python,
    TypeScript,
}

impl Language {
    fn folder(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::TypeScript => "typescript",
        }
    }

    /// What runs it.
    pub fn program(self) -> anyhow::Result<PathBuf> {
        match self {
            Self::Python => python_program("python"),
            Self::TypeScript => node_with_types(),
        }
    }

    pub fn file(self, example: &str) -> String {
        match self {
            Self::Python => format!("{example}.py"),
            Self::TypeScript => format!("{example}.ts"),
        }
    }
}

/// A home folder with the examples of a language, their settings and what they need installed.
pub fn home(binary: &str, language: Language) -> anyhow::Result<Home> {
    let mut home = Home::new(binary)?;
    for name in ["ada", "bob", "eve"] {
        home.set(&format!("KEY_OF_{}", name.to_uppercase()), &secret(name));
    }
    home.set("PLUGIN_TOKEN", &secret("plugin-token"));
    let mut keys = Vec::new();
    for user in ["ada", "bob"] {
        keys.push(json!({ "user_id": user, "hash": sha256(&secret(user))? }));
    }
    let expired = "2020-01-01T00:00:00Z";
    keys.push(json!({ "user_id": "eve", "hash": sha256(&secret("eve"))?, "expires_at": expired }));
    home.write("keys.json", &json!({ "keys": keys }).to_string())?;
    let rules = json!([
        { "effect": "deny", "tools": ["write"] },
        { "effect": "allow", "users": ["a*"], "servers": ["files"] },
    ]);
    home.write("rules.json", &json!({ "rules": rules }).to_string())?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/plugins")
        .join(language.folder());
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        if file.file_type()?.is_file() {
            std::fs::copy(file.path(), home.path().join(file.file_name()))?;
        }
    }
    if matches!(language, Language::TypeScript) {
        let installed = node_package("@modelcontextprotocol/server")?;
        let installed = installed.ancestors().nth(2).context("node_modules")?;
        std::os::unix::fs::symlink(installed, home.path().join("node_modules"))?;
    }
    Ok(home)
}

/// In hexadecimal digits.
fn sha256(text: &str) -> anyhow::Result<String> {
    let mut command = Command::new("sha256sum");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("standard input")?
        .write_all(text.as_bytes())?;
    let printed = String::from_utf8(child.wait_with_output()?.stdout)?;
    let digest = printed.split_whitespace().next();
    digest
        .map(str::to_owned)
        .context("sha256sum prints a digest")
}

/// An example that serves HTTP, until it is dropped.
#[derive(Debug)]
pub struct Served {
    child: Child,
    pub url: String,
    /// Kept open: who cannot write what it has to say may end.
    said: BufReader<ChildStderr>,
}

impl Served {
    /// With the token `token`, on a free port.
    pub fn start(home: &Home, language: Language, example: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(language.program()?)
            .arg(language.file(example))
            .args(["--http", "127.0.0.1:0"])
            .env("PLUGIN_TOKEN", secret("plugin-token"))
            .current_dir(home.path())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = child.stderr.take().context("standard error")?;
        let mut served = Self {
            child,
            url: String::new(),
            said: BufReader::new(said),
        };
        let mut line = String::new();
        while served.said.read_line(&mut line)? > 0 {
            let url = line
                .split_whitespace()
                .find(|word| word.starts_with("http://"));
            if let Some(url) = url {
                url.clone_into(&mut served.url);
                return Ok(served);
            }
            line.clear();
        }
        anyhow::bail!("{example} has ended")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
