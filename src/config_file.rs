//! The configuration file: found, read, checked, and watched for edits.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use gateway_core::config::{ConfigError, TenantConfig, Violation, load_yaml};
use gateway_data_plane::Permits;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::folders;

/// Editors write in several steps; an edit is taken when the file has been quiet for this long.
const QUIET: Duration = Duration::from_millis(60);

/// Not every file system reports changes, so the file is also looked at this often.
const LOOK_AGAIN: Duration = Duration::from_millis(700);

/// The file's name where no other is given.
const DEFAULT_NAME: &str = "gateway.yaml";

/// A configuration file, wherever it is.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    path: PathBuf,
}

/// A file's text as it was read, and the configuration in it.
#[derive(Debug)]
pub(crate) struct Document {
    file: ConfigFile,
    pub(crate) text: String,
    pub(crate) config: TenantConfig,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    pub(crate) what: String,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    path: PathBuf,
    /// Line and column, from 1; `None`: the file as a whole.
    at: Option<(u64, u64)>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.at {
            Some((line, column)) => write!(f, "{path}:{line}:{column}"),
            None => write!(f, "{path}"),
        }
    }
}

impl Place {
    pub(crate) fn line(&self) -> Option<u64> {
        self.at.map(|(line, _)| line)
    }
}

impl ConfigFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// `./gateway.yaml` if it is there, else the one of the user's configuration folder.
    pub(crate) fn default_path() -> PathBuf {
        let here = PathBuf::from(DEFAULT_NAME);
        match folders::config() {
            Some(home) if !here.exists() => home.join("mcp-gateway").join(DEFAULT_NAME),
            _ => here,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn read(&self) -> Result<Document, Vec<Problem>> {
        let text = std::fs::read_to_string(&self.path).map_err(|error| {
            vec![Problem {
                place: self.place(None),
                what: unreadable(&error),
            }]
        })?;
        match load_yaml(&text) {
            Ok(config) => Ok(Document {
                file: self.clone(),
                text,
                config,
            }),
            Err(error) => Err(self.problems(error)),
        }
    }

    fn problems(&self, error: ConfigError) -> Vec<Problem> {
        let problems = error.problems.into_iter();
        problems
            .map(|problem| Problem {
                place: self.place(Some((problem.line, problem.column))),
                what: match problem.path {
                    Some(field) => format!("{field}: {}", problem.reason),
                    None => problem.reason,
                },
            })
            .collect()
    }

    fn place(&self, at: Option<(u64, u64)>) -> Place {
        let path = self.path.clone();
        Place { path, at }
    }

    /// Watches the file. A message comes after every edit, and only then.
    pub(crate) fn watch(&self) -> anyhow::Result<Watch> {
        let (tell, changes) = mpsc::channel(1);
        let name = self.path.file_name().map(ToOwned::to_owned);
        let mut watcher = notify::recommended_watcher(move |event| {
            if concerns(name.as_deref(), &event) {
                // Full means that a message is waiting already.
                tell.try_send(()).ok();
            }
        })
        .context("file changes cannot be watched")?;
        // The folder, because editors replace the file instead of writing to it.
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        watcher
            .watch(folder, RecursiveMode::NonRecursive)
            .with_context(|| format!("{} cannot be watched", folder.display()))?;
        Ok(Watch {
            file: self.clone(),
            seen: std::fs::read(&self.path).ok(),
            changes,
            _watcher: watcher,
        })
    }
}

impl Document {
    /// Checks the document against what this process permits.
    pub(crate) fn check(self, permits: &Permits) -> Result<Self, Vec<Problem>> {
        let violations = permits.check(&self.config);
        if violations.is_empty() {
            Ok(self)
        } else {
            Err(self.locate(violations))
        }
    }

    /// Where a field is, or what is nearest to it.
    pub(crate) fn place(&self, field: &str) -> Place {
        let nothing = Violation::new(field, "");
        let located = ConfigError::locate(&self.text, vec![nothing])
            .problems
            .pop();
        self.file
            .place(located.map(|problem| (problem.line, problem.column)))
    }

    /// Gives violations their places in the file.
    pub(crate) fn locate(&self, violations: Vec<Violation>) -> Vec<Problem> {
        self.file
            .problems(ConfigError::locate(&self.text, violations))
    }
}

/// Tells of edits.
pub(crate) struct Watch {
    file: ConfigFile,
    seen: Option<Vec<u8>>,
    changes: mpsc::Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Waits for the file's content to be another one, and to be left alone for a moment.
    ///
    /// Loses nothing when it is dropped before it is done.
    pub(crate) async fn changed(&mut self) {
        loop {
            // The poll stands in where no notification comes; a closed channel leaves the poll.
            let told = tokio::time::timeout(LOOK_AGAIN, self.changes.recv()).await;
            if matches!(told, Ok(None)) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            while let Ok(Some(())) = tokio::time::timeout(QUIET, self.changes.recv()).await {}
            // A file that is gone is being replaced, or will be missed at the next start.
            let Ok(now) = std::fs::read(&self.file.path) else {
                continue;
            };
            if self.seen.as_ref() != Some(&now) {
                self.seen = Some(now);
                return;
            }
        }
    }
}

/// Whether an event of the folder may be an edit of the file: neither what happens to other files
/// nor that somebody, such as this process, has read it.
fn concerns(name: Option<&OsStr>, event: &notify::Result<Event>) -> bool {
    let Ok(event) = event else {
        // What was missed is not known.
        return true;
    };
    let reading = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    };
    !reading && event.paths.iter().any(|path| path.file_name() == name)
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "there is no such file: name one with --config, or make it with `mcp-gateway server add`"
                .to_owned()
        }
        _ => format!("the file cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests;
