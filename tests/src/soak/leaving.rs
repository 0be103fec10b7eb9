//! Visits that end without a word, wherever a client can vanish.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::visitor::Visitor;
use super::world::STEADY;
use crate::session::Era;

/// How long a call would take, and how long its client stays.
const CALL: Duration = Duration::from_millis(800);
const STAY: Duration = Duration::from_millis(60);

impl Visitor {
    pub(super) async fn leave_call(&mut self) -> anyhow::Result<()> {
        let session = self.open(self.era()).await?;
        let turn = self.visits % STEADY.len();
        let tool = format!("{}__slow", STEADY.get(turn).context("no server")?);
        let milliseconds = json!({ "ms": CALL.as_millis() as u64 });
        let call = session.call(&tool, milliseconds);
        self.tally.left += 1;
        drop(timeout(STAY, call).await);
        Ok(())
    }

    /// After the first event, which is not the answer.
    pub(super) async fn leave_stream(&mut self) -> anyhow::Result<()> {
        let session = self.open(self.era()).await?;
        let milliseconds = json!({ "ms": CALL.as_millis() as u64 });
        self.tally.left += 1;
        let mut stream = self
            .call_with_progress(&session, "slow", &milliseconds)
            .await?;
        stream.next().await?.context("no progress")?;
        Ok(())
    }

    pub(super) async fn leave_session(&mut self) -> anyhow::Result<()> {
        let session = self.open(Era::Legacy).await?;
        let stream = match self.visits % 2 {
            0 => Some(self.standing(&session).await?),
            _ => None,
        };
        for server in ["steady", "fragile"] {
            self.echo(&session, server, self.arguments(0)).await?;
        }
        drop(stream);
        Ok(())
    }

    pub(super) async fn leave_request(&mut self) -> anyhow::Result<()> {
        let address = self.world.url.trim_start_matches("http://").to_owned();
        let mut connection = TcpStream::connect(&address).await?;
        let head = format!("POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Length: 500\r\n");
        let turn = self.visits % 2;
        let request = if turn == 0 {
            head
        } else {
            head + "\r\n{\"jsonrpc\":"
        };
        connection.write_all(request.as_bytes()).await?;
        sleep(STAY).await;
        Ok(())
    }
}
