//! Connections to other replicas, kept for the next message.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use crate::config::ClientTls;

/// How long a replica may take to take a connection. One that does not is taken for dead.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// For how long an unused connection is kept: shorter than the other end keeps it.
const IDLE: Duration = Duration::from_secs(60);

/// A silent connection is asked after this time, and then this often, whether its other end is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_RETRIES: u32 = 3;

pub(super) fn client(tls: Option<ClientTls>) -> Client<Connector, Full<Bytes>> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.set_keepalive_interval(Some(KEEP_ALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(KEEP_ALIVE_RETRIES));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(Connector { tcp, tls })
}

/// Connects in plain text or by TLS, each time with what is in force then.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    tls: Option<ClientTls>,
}

type Error = Box<dyn std::error::Error + Send + Sync>;
type Connected = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Service<Uri> for Connector {
    type Response = Connected;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Connected, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tcp = self.tcp.clone();
        let tls = self.tls.as_ref().map(|tls| Arc::clone(&tls.borrow()));
        Box::pin(async move {
            let connecting = async {
                match tls {
                    Some(tls) => HttpsConnector::from((tcp, tls)).call(uri).await,
                    None => {
                        let mut tcp = tcp;
                        let stream = tcp.call(uri).await?;
                        Ok(MaybeHttpsStream::Http(stream))
                    }
                }
            };
            let connected = timeout(CONNECT_TIMEOUT, connecting).await;
            connected.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        })
    }
}
