//! TLS for `https`. Whom to trust is read when it is needed for the first time: many gateways have no such server.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{
    ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream,
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tower_service::Service;

use super::connector::{BoxError, Dialer};

/// Opens connections as a [`Dialer`] does, and speaks TLS on those to `https`. Cheap to clone; clones share whom they trust.
#[derive(Clone)]
pub(super) struct TlsDialer {
    dialer: Dialer,
    trust: Arc<Trust>,
}

struct Trust {
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    /// What is made of it once it is needed.
    https: OnceCell<HttpsConnector<Dialer>>,
}

impl TlsDialer {
    pub(super) fn new(dialer: Dialer) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let trust = Arc::new(Trust {
            builder,
            https: OnceCell::new(),
        });
        Ok(Self { dialer, trust })
    }

    async fn https(&self) -> Result<HttpsConnector<Dialer>, BoxError> {
        let make = || async {
            let builder = self.trust.builder.clone();
            // Hundreds of files, on some systems.
            let config = tokio::task::spawn_blocking(|| with_system_roots(builder)).await?;
            let https = HttpsConnectorBuilder::new()
                .with_tls_config(config)
                .https_only()
                .enable_all_versions()
                .wrap_connector(self.dialer.clone());
            Ok::<_, BoxError>(https)
        };
        self.trust.https.get_or_try_init(make).await.cloned()
    }

    async fn dial(mut self, uri: Uri) -> Result<MaybeHttpsStream<TokioIo<TcpStream>>, BoxError> {
        if uri.scheme() == Some(&Scheme::HTTP) {
            return Ok(MaybeHttpsStream::Http(self.dialer.call(uri).await?));
        }
        self.https().await?.call(uri).await
    }
}

/// Trusts the certificate authorities of the operating system.
fn with_system_roots(builder: ConfigBuilder<ClientConfig, WantsVerifier>) -> ClientConfig {
    match builder.clone().with_native_roots() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(
                %error,
                "no certificate authorities found, https servers will not be trusted; \
                 install the package ca-certificates"
            );
            builder
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth()
        }
    }
}

impl Service<Uri> for TlsDialer {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::client::NetworkPolicy;
    use crate::client::connector::Connector;

    #[tokio::test]
    async fn reads_whom_to_trust_at_the_first_connection_that_asks_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let dialer = Connector::new(NetworkPolicy::desktop()).unwrap().service();
        let dial = |scheme: &str| {
            let uri: Uri = format!("{scheme}://{address}/").parse().unwrap();
            dialer.clone().dial(uri)
        };
        let plain = dial("http").await.unwrap();
        assert!(matches!(plain, MaybeHttpsStream::Http(_)));
        assert!(!dialer.trust.https.initialized());
        // A server that speaks no TLS is spoken to in TLS all the same.
        drop(listener.accept().await.unwrap());
        let secure = tokio::spawn(dial("https"));
        drop(listener.accept().await.unwrap());
        assert!(secure.await.unwrap().is_err());
        assert!(dialer.trust.https.initialized());
    }
}
