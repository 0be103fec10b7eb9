//! The plugins of docs/plugins, started as their users start them, and checked; then all of them in front of a server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::clients::{node_package, node_with_types, python_program};
use gateway_tests::home::Home;
use gateway_tests::secrets::secret;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// A language that the examples are written in.
#[derive(Debug, Clone, Copy)]
enum Language {
    Python,
    TypeScript,
}

/// What an example has to be told, and what the check is told of it.
const EXAMPLES: [(&str, &[&str]); 3] = [
    (
        "api_key_provider",
        &[
            "--accept",
            "api_key=env:KEY_OF_ADA:ada",
            "--accept",
            "api_key=env:KEY_OF_BOB:bob",
        ],
    ),
    (
        "policy",
        &[
            "--allow",
            "ada:files:read",
            "--deny",
            "ada:files:write",
            "--deny",
            "bob:files:read",
        ],
    ),
    ("audit_sink", &["--audit-file", "audit.jsonl"]),
];

/// A home folder with the examples of a language, their settings and what they need installed.
fn home(language: Language) -> Result<Home> {
    let mut home = Home::new(BINARY)?;
    for name in ["ada", "bob"] {
        home.set(&format!("KEY_OF_{}", name.to_uppercase()), &secret(name));
    }
    home.set("PLUGIN_TOKEN", &secret("token"));
    let mut keys = Vec::new();
    for user in ["ada", "bob"] {
        keys.push(json!({ "user_id": user, "hash": sha256(&secret(user))? }));
    }
    home.write("keys.json", &json!({ "keys": keys }).to_string())?;
    let rules = json!([
        { "effect": "deny", "tools": ["write"] },
        { "effect": "allow", "users": ["a*"], "servers": ["files"] },
    ]);
    home.write("rules.json", &json!({ "rules": rules }).to_string())?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/plugins")
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

fn sha256(text: &str) -> Result<String> {
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

impl Language {
    fn folder(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::TypeScript => "typescript",
        }
    }

    fn program(self) -> Result<PathBuf> {
        match self {
            Self::Python => python_program("python"),
            Self::TypeScript => node_with_types(),
        }
    }

    fn file(self, example: &str) -> String {
        match self {
            Self::Python => format!("{example}.py"),
            Self::TypeScript => format!("{example}.ts"),
        }
    }
}

/// An example that serves HTTP, until it is dropped.
struct Served {
    child: Child,
    url: String,
    /// Kept open: who cannot write what it has to say may end.
    said: BufReader<ChildStderr>,
}

impl Served {
    fn start(home: &Home, language: Language, example: &str) -> Result<Self> {
        let mut child = Command::new(language.program()?)
            .arg(language.file(example))
            .args(["--http", "127.0.0.1:0"])
            .env("PLUGIN_TOKEN", secret("token"))
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

/// Checks an example; all that it is told lets every case be judged.
fn check(home: &Home, flags: &[&str], place: &[&str]) -> Result<()> {
    let mut arguments = vec![
        "plugin", "check", "--calls", "20", "--era", "both", "-o", "json",
    ];
    arguments.extend(flags);
    arguments.extend(place);
    let done = home.run(&arguments)?;
    ensure!(
        done.code == Some(0),
        "{place:?}: {}{}",
        done.stdout,
        done.stderr
    );
    let result: Value = serde_json::from_str(&done.stdout)?;
    let cases = result["cases"].as_array().into_iter().flatten();
    let skipped: Vec<_> = cases.filter(|case| case["outcome"] == "skipped").collect();
    let is_expected = |case: &&Value| case["case"] == "repeats_no_secret_in_errors";
    ensure!(skipped.iter().all(is_expected), "{skipped:?}");
    Ok(())
}

fn examples_pass_over_stdio(language: Language) -> Result<()> {
    let home = home(language)?;
    let program = language.program()?;
    let program = program.to_str().context("the path is text")?;
    for (example, flags) in EXAMPLES {
        let file = language.file(example);
        check(&home, flags, &["--command", program, "--", &file])?;
    }
    Ok(())
}

fn examples_pass_over_http(language: Language) -> Result<()> {
    let home = home(language)?;
    for (example, flags) in EXAMPLES {
        let served = Served::start(&home, language, example)?;
        let bearer = ["--bearer-from-env", "PLUGIN_TOKEN", "--url", &served.url];
        check(&home, flags, &bearer)?;
        let done = home.run(&["plugin", "check", "--url", &served.url])?;
        ensure!(
            done.code == Some(1) && done.stderr.contains("401"),
            "{}",
            done.stderr
        );
    }
    Ok(())
}

#[test]
fn python_passes_over_stdio() -> Result<()> {
    examples_pass_over_stdio(Language::Python)
}

#[test]
fn python_passes_over_http() -> Result<()> {
    examples_pass_over_http(Language::Python)
}

#[test]
fn typescript_passes_over_stdio() -> Result<()> {
    examples_pass_over_stdio(Language::TypeScript)
}

#[test]
fn typescript_passes_over_http() -> Result<()> {
    examples_pass_over_http(Language::TypeScript)
}
