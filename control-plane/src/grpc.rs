//! The gRPC server: which services there are, and how connections are kept and ended.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gateway_proto::push::v1::config_push_server::ConfigPushServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use crate::push::Hub;

mod push;

/// How often a silent connection is asked whether it is still there, and how long it may take to
/// answer. A replica that vanished is no longer waited for after the sum.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server waits for its peers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For a replica to say who it is.
    pub(crate) hello: Duration,
    /// For connections to end at shutdown, once their streams were told to.
    pub(crate) drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            drain: Duration::from_secs(5),
        }
    }
}

/// The server failed.
#[derive(Debug, thiserror::Error)]
#[error("the control plane cannot accept connections")]
pub struct ServeError(#[source] tonic::transport::Error);

/// Serves on the connections of `incoming` until `shutdown`.
pub(crate) async fn serve<IO>(
    hub: &Arc<Hub>,
    incoming: impl Stream<Item = io::Result<IO>>,
    shutdown: CancellationToken,
    limits: Limits,
) -> Result<(), ServeError>
where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let streams = TaskTracker::new();
    // The streams end with this server even if it fails.
    let ending = shutdown.child_token();
    let service = push::Service {
        hub: Arc::clone(hub),
        streams: streams.clone(),
        shutdown: ending.clone(),
        hello_timeout: limits.hello,
    };
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_service(ConfigPushServer::new(service))
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    let patience = async {
        shutdown.cancelled().await;
        tokio::time::sleep(limits.drain).await;
    };
    // Whichever ends second is dropped on purpose: the server has nothing to save.
    let outcome = tokio::select! {
        outcome = serving => outcome.map_err(ServeError),
        () = patience => {
            tracing::warn!("a connection to the control plane did not end in time");
            Ok(())
        }
    };
    ending.cancel();
    streams.close();
    streams.wait().await;
    outcome
}
