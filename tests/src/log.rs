//! What a process writes, line by line, kept for assertions and for the report of a failed test.

use anyhow::bail;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::wait::PATIENCE;

#[derive(Debug, Clone)]
pub struct Log {
    lines: watch::Receiver<Vec<String>>,
    reader: AbortHandle,
}

impl Log {
    /// Collects until the stream ends; the task ends with the stream.
    pub fn collect(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (sender, lines) = watch::channel(Vec::new());
        let reader = tokio::spawn(async move {
            let mut reader = BufReader::new(stream).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                sender.send_modify(|lines| lines.push(line));
            }
        });
        Self {
            lines,
            reader: reader.abort_handle(),
        }
    }

    /// Closes the stream, so that the process can write nothing more.
    pub fn hang_up(&self) {
        self.reader.abort();
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// How many lines there are now; the start of `wait_after`.
    pub fn mark(&self) -> usize {
        self.lines.borrow().len()
    }

    /// The first line that contains all the parts.
    pub async fn wait(&self, parts: &[&str]) -> anyhow::Result<String> {
        self.wait_after(0, parts).await
    }

    /// The first line from line number `mark` on that contains all the parts.
    pub async fn wait_after(&self, mark: usize, parts: &[&str]) -> anyhow::Result<String> {
        let find = |lines: &Vec<String>| {
            let mut new = lines.iter().skip(mark);
            new.find(|line| parts.iter().all(|part| line.contains(part)))
                .cloned()
        };
        let mut lines = self.lines.clone();
        let found = tokio::time::timeout(PATIENCE, lines.wait_for(|lines| find(lines).is_some()));
        match found.await {
            Ok(Ok(lines)) => Ok(find(&lines).unwrap_or_default()),
            Ok(Err(_)) => bail!(
                "the process ended without a line with {parts:?}: {}",
                self.text()
            ),
            Err(_) => bail!(
                "no line with {parts:?} within {PATIENCE:?}: {}",
                self.text()
            ),
        }
    }

    /// Completes when the process has closed the stream.
    pub async fn ended(&self) {
        let mut lines = self.lines.clone();
        // The sender goes away at the end of the stream, which is what is awaited.
        drop(lines.wait_for(|_| false).await);
    }

    pub fn text(&self) -> String {
        format!("\n    {}", self.lines().join("\n    "))
    }
}
