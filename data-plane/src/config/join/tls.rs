//! Connections to a control plane by TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Authority;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

/// Whom is trusted and by which certificate one is known, which may be replaced at any time.
pub type ClientTls = watch::Receiver<Arc<ClientConfig>>;

const HTTPS_PORT: u16 = 443;

type Connecting = dyn Future<Output = io::Result<TokioIo<TlsStream<TcpStream>>>> + Send;

/// Connects to one control plane, each time with what is in force then.
pub(super) struct Connector {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: ClientTls,
}

impl Connector {
    /// `None`: nobody can have a certificate for such a host.
    pub(super) fn new(authority: &Authority, tls: ClientTls) -> Option<Self> {
        let host = authority.host();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(Self {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(HTTPS_PORT),
            name: ServerName::try_from(host.to_owned()).ok()?,
            tls,
        })
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<Connecting>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The URI is the one that this was made of.
    fn call(&mut self, _: Uri) -> Self::Future {
        let (host, port, name) = (self.host.clone(), self.port, self.name.clone());
        let tls = TlsConnector::from(Arc::clone(&self.tls.borrow()));
        Box::pin(async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(tls.connect(name, stream).await?))
        })
    }
}
