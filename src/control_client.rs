//! Asks the gateway that runs on a data directory for what its operations endpoints say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::control_socket;

/// More than any answer of an operations endpoint has.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// How long a gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the socket of a data directory is, if a gateway runs there.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(control_socket::NAME)
}

/// Whether a gateway answers at a socket.
pub(crate) async fn is_served(socket: &Path) -> anyhow::Result<bool> {
    let connected = connect(socket).await;
    let stream = connected.with_context(|| format!("connecting to {}", socket.display()))?;
    Ok(stream.is_some())
}

/// Asks the gateway at a socket; `None` if none is there.
pub(crate) async fn get(socket: &Path, target: &str) -> anyhow::Result<Option<Value>> {
    let asking = || format!("asking the gateway at {} for {target}", socket.display());
    let Some(stream) = connect(socket).await.with_context(asking)? else {
        return Ok(None);
    };
    let answer = match timeout(PATIENCE, ask(stream, target)).await {
        Ok(answer) => answer,
        Err(_) => Err(anyhow!("it does not answer within {PATIENCE:?}")),
    };
    let answer = answer.with_context(asking)?;
    let answer = serde_json::from_slice(&answer).with_context(asking)?;
    Ok(Some(answer))
}

/// A connection to a running gateway; `None` if none runs.
async fn connect(socket: &Path) -> std::io::Result<Option<UnixStream>> {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    match UnixStream::connect(socket).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn ask(stream: UnixStream, target: &str) -> anyhow::Result<Bytes> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = http::Request::get(target)
        .header(http::header::HOST, "localhost")
        .body(Empty::<Bytes>::new())?;
    let answering = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        let body = body.collect().await;
        let body = body.map_err(|error| anyhow!(error))?.to_bytes();
        ensure!(
            status.is_success(),
            "it answers {status}: {}",
            String::from_utf8_lossy(&body).trim()
        );
        Ok(body)
    };
    tokio::pin!(answering);
    tokio::select! {
        answer = &mut answering => answer,
        ended = connection => match ended {
            // The answer may have come whole with the end of the connection.
            Ok(()) => answering.await,
            Err(error) => bail!(error),
        },
    }
}
