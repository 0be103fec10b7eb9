//! The connections of a listener, in plain text or by TLS, and who is at their other end.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::Connected;

use super::admission::{Subject, subjects};

/// How long a peer may take over the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many handshakes there may be at once. Who comes beyond that is told at once, by the end of
/// the connection, and comes again.
const HANDSHAKES: usize = 256;

/// How many connections may wait to be served.
const QUEUE: usize = 16;

/// How long to wait before accepting again when the system has run out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// By what a listener speaks TLS: the certificates in force, which may be replaced at any time.
pub type ServerTls = watch::Receiver<Arc<ServerConfig>>;

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(super) address: Option<SocketAddr>,
    /// The names in the certificate that was verified; none without one.
    pub(super) subjects: Arc<[Subject]>,
}

/// A connection that can be served.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    peer: Peer,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Accepts connections until `stop`, or until nobody takes them any more. The tasks are all that is
/// under way.
pub(crate) fn accept(
    listener: TcpListener,
    tls: Option<ServerTls>,
    stop: CancellationToken,
    tasks: &TaskTracker,
) -> ReceiverStream<io::Result<Connection>> {
    let (accepted, connections) = mpsc::channel(QUEUE);
    let door = Door {
        tls,
        accepted,
        stop,
        tasks: tasks.clone(),
        handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
    };
    tasks.spawn(door.run(listener));
    ReceiverStream::new(connections)
}

#[derive(Clone)]
struct Door {
    tls: Option<ServerTls>,
    accepted: mpsc::Sender<io::Result<Connection>>,
    stop: CancellationToken,
    tasks: TaskTracker,
    handshakes: Arc<Semaphore>,
}

impl Door {
    async fn run(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.accepted.closed() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.take(stream, address).await,
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn take(&self, stream: TcpStream, address: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        let Some(tls) = &self.tls else {
            return self.hand_on(Connection::plain(stream, address)).await;
        };
        let Ok(place) = Arc::clone(&self.handshakes).try_acquire_owned() else {
            tracing::debug!(peer = %address, "a TLS handshake too many was refused");
            return;
        };
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
        let door = self.clone();
        self.tasks.spawn(async move {
            let shaking = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
            let shaken = tokio::select! {
                () = door.stop.cancelled() => return,
                () = door.accepted.closed() => return,
                shaken = shaking => shaken,
            };
            drop(place);
            match shaken {
                Ok(Ok(stream)) => door.hand_on(Connection::tls(stream, address)).await,
                Ok(Err(error)) => {
                    tracing::debug!(peer = %address, %error, "a TLS handshake failed");
                }
                Err(_) => tracing::debug!(peer = %address, "a TLS handshake took too long"),
            }
        });
    }

    async fn hand_on(&self, connection: Connection) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            // Fails where nobody takes connections any more.
            sent = self.accepted.send(Ok(connection)) => drop(sent),
        }
    }
}

impl Connection {
    fn plain(stream: TcpStream, address: SocketAddr) -> Self {
        let peer = Peer {
            address: Some(address),
            subjects: Arc::new([]),
        };
        Self {
            stream: Stream::Plain(stream),
            peer,
        }
    }

    fn tls(stream: TlsStream<TcpStream>, address: SocketAddr) -> Self {
        let certificates = stream.get_ref().1.peer_certificates();
        let first = certificates.and_then(|chain| chain.first());
        let peer = Peer {
            address: Some(address),
            subjects: first.map(subjects).unwrap_or_default().into(),
        };
        Self {
            stream: Stream::Tls(Box::new(stream)),
            peer,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests;
