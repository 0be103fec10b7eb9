//! Sees to it that a gateway has the data directory: another process's as long as there is one, else
//! this one's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use gateway_mcp::client::{Connector, HttpEndpoint, NetworkPolicy, Relay};
use http::{HeaderMap, HeaderValue};
use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::control_socket;
use crate::data_dir::{DataDir, Taken};
use crate::desktop::Desktop;
use crate::exit::Failure;

/// How long a gateway may take to be there: another one that ends has time to do so in good order.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at the data directory, at the least and at the most.
const PAUSE: (u64, u64) = (40, 240);

/// What one message from the gateway may hold. A list joins those of many servers.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The variable with the client's key, where the configuration asks for one.
const KEY_VARIABLE: &str = "MCP_GATEWAY_API_KEY";

/// Whose gateway answers at the control socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Nobody,
    Own,
    Other,
}

/// Finds the gateway, or is it.
pub(super) struct Keeper {
    desktop: Desktop,
    socket: PathBuf,
    side: watch::Sender<Side>,
    lost: Arc<Notify>,
    stop: CancellationToken,
}

/// The way to the gateway, for whoever has messages for it.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) relay: Relay,
    side: watch::Receiver<Side>,
    lost: Arc<Notify>,
}

/// No gateway came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no gateway answers on this data directory; what the process logs says why")]
pub(super) struct NoGateway;

impl Keeper {
    pub(super) fn new(
        desktop: Desktop,
        endpoint: &str,
        stop: CancellationToken,
    ) -> anyhow::Result<(Self, Link)> {
        let data_dir = std::path::absolute(desktop.data_dir())
            .context("the current folder is gone, and the data directory is in it")?;
        let socket = control_socket::path_in(&data_dir);
        let connector = Connector::new(NetworkPolicy::desktop()).context("TLS cannot be set up")?;
        let headers = credentials()?;
        let endpoint =
            HttpEndpoint::on_socket(&socket, endpoint, &connector, headers, MAX_ANSWER_BYTES);
        let relay = Relay::new(endpoint.map_err(anyhow::Error::from)?);
        let (side, watched) = watch::channel(Side::Nobody);
        let lost = Arc::new(Notify::new());
        let link = Link {
            relay,
            side: watched,
            lost: Arc::clone(&lost),
        };
        let keeper = Self {
            desktop,
            socket,
            side,
            lost,
            stop,
        };
        Ok((keeper, link))
    }

    /// Works until told to stop, or until there can be no gateway.
    pub(super) async fn keep(self) -> Result<(), Failure> {
        while let Some(found) = self.find().await? {
            match found {
                Taken::Ours(data_dir) => {
                    let ready = || {
                        self.side.send_replace(Side::Own);
                    };
                    return Box::pin(self.desktop.serve(Some(data_dir), ready, &self.stop)).await;
                }
                Taken::InUse { process } => {
                    info!(
                        "bridging to the gateway that runs on {} already (process {process}): its configuration holds",
                        self.desktop.data_dir().display()
                    );
                    self.side.send_replace(Side::Other);
                    tokio::select! {
                        () = self.stop.cancelled() => return Ok(()),
                        () = self.gone() => {}
                    }
                    self.side.send_replace(Side::Nobody);
                    warn!(
                        "the gateway of process {process} is gone; looking for another, or taking its place"
                    );
                    sleep(pause()).await;
                }
            }
        }
        Ok(())
    }

    /// Takes the data directory, or finds who answers for it. `None`: told to stop meanwhile.
    async fn find(&self) -> Result<Option<Taken>, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let taken = DataDir::take(self.desktop.data_dir())?;
            let Taken::InUse { process } = &taken else {
                return Ok(Some(taken));
            };
            if self.answers().await {
                return Ok(Some(taken));
            }
            if Instant::now() >= deadline {
                return Err(Failure::Failed(anyhow!(
                    "the data directory {} is in use by process {process}, which does not answer at {}: stop it, or name another directory with --data-dir",
                    self.desktop.data_dir().display(),
                    self.socket.display()
                )));
            }
            tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                () = sleep(pause()) => {}
            }
        }
    }

    /// Waits until somebody has missed the gateway and it is indeed not there.
    async fn gone(&self) {
        loop {
            self.lost.notified().await;
            if !self.answers().await {
                return;
            }
        }
    }

    async fn answers(&self) -> bool {
        UnixStream::connect(&self.socket).await.is_ok()
    }
}

impl Link {
    /// Waits until a gateway is there.
    pub(super) async fn ready(&self) -> Result<Side, NoGateway> {
        let mut side = self.side.clone();
        let there = timeout(PATIENCE, side.wait_for(|side| *side != Side::Nobody)).await;
        match there {
            Ok(Ok(side)) => Ok(*side),
            Ok(Err(_)) | Err(_) => Err(NoGateway),
        }
    }

    /// Has it looked at whether the gateway is still there.
    pub(super) fn miss(&self) {
        self.lost.notify_one();
    }

    /// How long what has lost the gateway waits before it tries again.
    pub(super) async fn pause(&self) {
        sleep(pause()).await;
    }
}

/// Of several processes that look at the same time, one is to be first.
fn pause() -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    let (least, most) = PAUSE;
    let drawn = RandomState::new().hash_one(std::process::id()) % (most - least);
    Duration::from_millis(least + drawn)
}

/// The key that goes along with everything, if there is one.
fn credentials() -> Result<HeaderMap, anyhow::Error> {
    let mut headers = HeaderMap::new();
    if let Some(key) = std::env::var_os(KEY_VARIABLE).filter(|key| !key.is_empty()) {
        let value = key.to_str().and_then(|key| HeaderValue::from_str(key).ok());
        let mut value =
            value.with_context(|| format!("{KEY_VARIABLE} holds characters that no key has"))?;
        value.set_sensitive(true);
        headers.insert("x-api-key", value);
    }
    Ok(headers)
}
