//! What is made of files, and made anew when they have changed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tracing::{error, info};

/// How often the files are looked at. What has changed is taken when it has stayed the same since the
/// last look, so that nothing half written is read.
const INTERVAL: Duration = Duration::from_secs(1);

type Make<T> = dyn Fn() -> anyhow::Result<T> + Send + Sync;

/// What was last made of the files.
pub(crate) struct Kept<T> {
    /// What it is, in the log; several.
    what: &'static str,
    paths: Vec<PathBuf>,
    make: Arc<Make<T>>,
    seen: Seen,
    current: watch::Sender<Arc<T>>,
}

/// How the files were.
struct Seen {
    /// When something was made of them.
    taken: Vec<Stamp>,
    /// At the last look, if that was something else.
    changed: Option<Vec<Stamp>>,
}

/// What of a file changes with its content, links followed; `None`: it is not there.
type Stamp = Option<(u64, Option<SystemTime>, u64)>;

impl<T: Send + Sync + 'static> Kept<T> {
    /// Makes it for the first time.
    pub(crate) fn new(
        what: &'static str,
        paths: Vec<PathBuf>,
        make: impl Fn() -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        // Before they are read: what changes in between is read again.
        let seen = Seen {
            taken: stamps(&paths),
            changed: None,
        };
        let current = watch::Sender::new(Arc::new(make()?));
        Ok(Self {
            what,
            paths,
            make: Arc::new(make),
            seen,
            current,
        })
    }

    pub(crate) fn current(&self) -> watch::Receiver<Arc<T>> {
        self.current.subscribe()
    }

    /// Looks at the files for as long as it is let. Files of which nothing can be made leave what there
    /// was.
    async fn follow(mut self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let paths = self.paths.clone();
            let Ok(found) = tokio::task::spawn_blocking(move || stamps(&paths)).await else {
                continue;
            };
            if self.seen.is_to_be_taken(found) {
                self.make_anew().await;
            }
        }
    }

    pub(crate) async fn make_anew(&self) {
        let (what, make) = (self.what, Arc::clone(&self.make));
        let made = tokio::task::spawn_blocking(move || make()).await;
        match made {
            Ok(Ok(made)) => {
                self.current.send_replace(Arc::new(made));
                info!("{what} are read anew: {self:?}");
            }
            Ok(Err(error)) => error!(
                "{what} that changed are not taken, those before them stay in force: {error:#}"
            ),
            Err(error) => error!(%error, "{what} that changed were not read"),
        }
    }
}

/// Keeps up what there is to be kept up, for as long as it is let.
pub(crate) async fn follow<T: Send + Sync + 'static>(kept: Option<Kept<T>>) {
    match kept {
        Some(kept) => kept.follow().await,
        None => std::future::pending().await,
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut paths = self.paths.iter().map(|path| path.display());
        if let Some(first) = paths.next() {
            write!(f, "{first}")?;
        }
        paths.try_for_each(|path| write!(f, ", {path}"))
    }
}

impl Seen {
    /// Whether what was found is new, and not just being written.
    fn is_to_be_taken(&mut self, found: Vec<Stamp>) -> bool {
        if found == self.taken {
            self.changed = None;
            return false;
        }
        if self.changed.as_ref() != Some(&found) {
            self.changed = Some(found);
            return false;
        }
        self.changed = None;
        self.taken = found;
        true
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    paths.iter().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    let identity = std::os::unix::fs::MetadataExt::ino(&found);
    #[cfg(not(unix))]
    let identity = 0;
    Some((identity, found.modified().ok(), found.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_taken_once_when_they_have_settled() {
        let at = |length| vec![Some((1, None, length)), None];
        let mut seen = Seen {
            taken: at(1),
            changed: None,
        };
        let mut look = |length| seen.is_to_be_taken(at(length));
        assert!(!look(1));
        // Being written; then whole.
        assert!(!look(2) && !look(3) && look(3));
        assert!(!look(3) && !look(3));
        // Back before it was looked at again.
        assert!(!look(4) && !look(3) && !look(4) && look(4));
    }
}
