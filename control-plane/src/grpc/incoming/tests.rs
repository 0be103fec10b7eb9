//! Connections with and without TLS, and peers that do not finish a handshake.

use std::net::Ipv4Addr;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::client;
use tokio_stream::StreamExt as _;

use super::*;

struct Accepting {
    connections: ReceiverStream<io::Result<Connection>>,
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Accepting {
    async fn start(tls: Option<ServerTls>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        Self {
            connections: accept(listener, tls, stop.clone(), &tasks),
            address,
            stop,
            tasks,
        }
    }

    /// What the next connection says.
    async fn hear(&mut self) -> Vec<u8> {
        let mut connection = self.connections.next().await.unwrap().unwrap();
        let mut said = Vec::new();
        connection.read_to_end(&mut said).await.unwrap();
        said
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A listener's side, and that of clients who trust it.
fn tls() -> (watch::Sender<Arc<ServerConfig>>, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = watch::Sender::new(Arc::new(server));
    (server, TlsConnector::from(Arc::new(client)))
}

async fn connect(
    connector: &TlsConnector,
    address: SocketAddr,
) -> io::Result<client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, stream).await
}

#[tokio::test]
async fn a_connection_is_served_as_it_comes() {
    let mut plain = Accepting::start(None).await;
    let mut stream = TcpStream::connect(plain.address).await.unwrap();
    stream.write_all(b"plain").await.unwrap();
    drop(stream);
    assert_eq!(plain.hear().await, b"plain");
    plain.stop().await;

    let (server, connector) = tls();
    let mut secure = Accepting::start(Some(server.subscribe())).await;
    let mut stream = connect(&connector, secure.address).await.unwrap();
    stream.write_all(b"secret").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(secure.hear().await, b"secret");
    secure.stop().await;
}

#[tokio::test]
async fn handshakes_that_are_not_finished_hold_nobody_up_but_those_beyond_the_bound() {
    let (server, connector) = tls();
    let mut accepting = Accepting::start(Some(server.subscribe())).await;
    let mut silent = Vec::new();
    for _ in 0..HANDSHAKES - 1 {
        silent.push(TcpStream::connect(accepting.address).await.unwrap());
    }
    let last = connect(&connector, accepting.address).await.unwrap();
    drop(last);
    accepting.connections.next().await.unwrap().unwrap();

    silent.push(TcpStream::connect(accepting.address).await.unwrap());
    connect(&connector, accepting.address).await.unwrap_err();
    silent.clear();
    // The places are given back once their peers are seen to be gone.
    while connect(&connector, accepting.address).await.is_err() {
        tokio::task::yield_now().await;
    }
    accepting.stop().await;
}
