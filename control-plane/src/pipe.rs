//! A connection to a control plane of the same process: real gRPC over memory instead of a socket.

use std::io;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{BoxFuture, Service};
use tonic::transport::{Channel, Endpoint, Uri};

/// How many bytes either side may write before the other reads.
const BUFFER: usize = 64 * 1024;

/// The server's end: the connections that the client's end opens, as a listener would give them.
pub type Incoming = ReceiverStream<io::Result<DuplexStream>>;

/// A pipe: what [`crate::ControlPlane::serve`] takes, and the channel for its clients. The channel
/// connects when it is first used, and again after a connection ended.
///
/// Must be called within a tokio runtime.
pub fn pipe() -> (Incoming, Channel) {
    // A connection that nobody accepts yet waits, so one place is enough.
    let (connections, incoming) = mpsc::channel(1);
    // Never looked up: the connector does not read it.
    let endpoint = Endpoint::from_static("http://control-plane");
    let channel = endpoint.connect_with_connector_lazy(Connector { connections });
    (ReceiverStream::new(incoming), channel)
}

/// Opens connections by making both ends and handing one to the server.
#[derive(Debug, Clone)]
struct Connector {
    connections: mpsc::Sender<io::Result<DuplexStream>>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = BoxFuture<Self::Response, io::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connections = self.connections.clone();
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(BUFFER);
            match connections.send(Ok(theirs)).await {
                Ok(()) => Ok(TokioIo::new(ours)),
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::ConnectionRefused,
                    "the control plane of this process has stopped",
                )),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_stream::StreamExt as _;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::tests::harness::{Plane, Replica};

    #[tokio::test]
    async fn the_channel_connects_again_after_a_connection_was_lost() {
        let mut plane = Plane::start().await;
        let (mut incoming, channel) = pipe();
        plane.channel = channel;
        let revision = plane.apply("acme", "one").await;

        let lost = async { drop(incoming.next().await.unwrap()) };
        let mut client = plane.client();
        let (outcome, ()) = tokio::join!(client.subscribe(tokio_stream::pending()), lost);
        outcome.expect_err("the connection was lost");

        let shutdown = CancellationToken::new();
        let serving = plane.control_plane.serve(incoming, shutdown.clone());
        let replica = async {
            let batch = Replica::connect(&plane, "r1").await.next().await;
            shutdown.cancel();
            batch
        };
        let both = async { tokio::join!(serving, replica) };
        let both = tokio::time::timeout(Duration::from_secs(10), both).await;
        let (served, batch) = both.unwrap();
        served.unwrap();
        assert_eq!(batch.documents.len(), 1);
        assert_eq!(batch.documents[0].0, revision.0);
        plane.stop().await;
    }
}
