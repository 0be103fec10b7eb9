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
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
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
    /// `None`: those of the system.
    roots: Option<Arc<RootCertStore>>,
    /// What is shown to servers that ask for it.
    identity: Option<Identity>,
    /// What is made of it once it is needed.
    https: OnceCell<HttpsConnector<Dialer>>,
}

/// Whom a connector trusts, and what it shows of itself, as PEM. What is left out is the system's, or nothing.
#[derive(Clone, Copy, Default)]
pub struct TlsMaterial<'a> {
    pub ca: Option<&'a str>,
    pub cert: Option<&'a str>,
    pub key: Option<&'a str>,
}

impl std::fmt::Debug for TlsMaterial<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsMaterial").finish_non_exhaustive()
    }
}

/// What of it is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTls {
    #[error("has no certificate that can be read as PEM")]
    Ca,
    #[error("has no certificate that can be read as PEM")]
    Cert,
    #[error("has no private key that can be read as PEM")]
    Key,
    #[error("is not the key of `cert`")]
    Mismatch,
}

impl InvalidTls {
    /// The field that it is about.
    pub fn field(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Cert => "cert",
            Self::Key | Self::Mismatch => "key",
        }
    }
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn of(cert: &str, key: &str) -> Result<Self, InvalidTls> {
        Ok(Self {
            chain: certificates(cert).ok_or(InvalidTls::Cert)?,
            key: PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| InvalidTls::Key)?,
        })
    }

    fn shown_by(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    ) -> Result<ClientConfig, rustls::Error> {
        builder.with_client_auth_cert(self.chain.clone(), self.key.clone_key())
    }
}

/// At least one.
fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    found.ok().filter(|found| !found.is_empty())
}

impl TlsDialer {
    /// The same for servers that take or want something else than is usual.
    pub(super) fn with(&self, material: TlsMaterial<'_>) -> Result<Self, InvalidTls> {
        let builder = self.trust.builder.clone();
        let roots = material.ca.map(|pem| {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem).ok_or(InvalidTls::Ca)? {
                roots.add(certificate).map_err(|_| InvalidTls::Ca)?;
            }
            Ok(Arc::new(roots))
        });
        let identity = match (material.cert, material.key) {
            (Some(cert), Some(key)) => {
                let identity = Identity::of(cert, key)?;
                let nobody = builder
                    .clone()
                    .with_root_certificates(RootCertStore::empty());
                identity
                    .shown_by(nobody)
                    .map_err(|_| InvalidTls::Mismatch)?;
                Some(identity)
            }
            _ => None,
        };
        let trust = Arc::new(Trust {
            builder,
            roots: roots.transpose()?,
            identity,
            https: OnceCell::new(),
        });
        Ok(Self {
            dialer: self.dialer.clone(),
            trust,
        })
    }

    pub(super) fn new(dialer: Dialer) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let trust = Arc::new(Trust {
            builder,
            roots: None,
            identity: None,
            https: OnceCell::new(),
        });
        Ok(Self { dialer, trust })
    }

    async fn https(&self) -> Result<HttpsConnector<Dialer>, BoxError> {
        let make = || async {
            let builder = self.trust.builder.clone();
            let builder = match &self.trust.roots {
                Some(roots) => builder.with_root_certificates(Arc::clone(roots)),
                // Hundreds of files, on some systems.
                None => tokio::task::spawn_blocking(|| with_system_roots(builder)).await?,
            };
            let config = match &self.trust.identity {
                Some(identity) => identity.shown_by(builder)?,
                None => builder.with_no_client_auth(),
            };
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
fn with_system_roots(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    match builder.clone().with_native_roots() {
        Ok(builder) => builder,
        Err(error) => {
            tracing::warn!(
                %error,
                "no certificate authorities found, https servers will not be trusted; \
                 install the package ca-certificates"
            );
            builder.with_root_certificates(RootCertStore::empty())
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
