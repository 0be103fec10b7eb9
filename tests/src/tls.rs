//! Certificates that are made for a test, and clients of listeners that speak TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Signs certificates, and writes them into a folder.
pub struct Signer {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    /// One whose own certificate is `ca.pem` there.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        std::fs::write(folder.join("ca.pem"), certificate.pem())?;
        Ok(Self {
            folder: folder.to_owned(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Writes `server.pem` and `server.key`, of this machine.
    pub fn server(&self) -> anyhow::Result<()> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        self.sign("server", CertificateParams::new(names)?)
    }

    /// Writes `NAME.pem` and `NAME.key`, whose subject has the name as its common name, with a URI
    /// among the alternative ones.
    pub fn client(&self, name: &str, uri: &str) -> anyhow::Result<()> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.push(SanType::URI(uri.try_into()?));
        self.sign(name, params)
    }

    fn sign(&self, file: &str, params: CertificateParams) -> anyhow::Result<()> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        for (ending, text) in [("key", key.serialize_pem()), ("pem", certificate.pem())] {
            std::fs::write(self.folder.join(format!("{file}.{ending}")), text)?;
        }
        Ok(())
    }
}

/// Connects as a client that trusts the certificates in `ca`.
async fn connect(address: SocketAddr, ca: &Path) -> anyhow::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost")?;
    let connector = TlsConnector::from(Arc::new(config));
    Ok(connector.connect(name, stream).await?)
}

/// The certificate that is shown at an address.
pub async fn certificate_at(address: SocketAddr, ca: &Path) -> anyhow::Result<Vec<u8>> {
    let stream = connect(address, ca).await?;
    let chain = stream.get_ref().1.peer_certificates();
    let first = chain.and_then(|chain| chain.first());
    Ok(first.context("there is no certificate")?.to_vec())
}

/// A listener in plain text through which clients reach one that speaks TLS.
#[derive(Debug)]
pub struct Tunnel {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Tunnel {
    pub async fn start(to: SocketAddr, ca: &Path) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let ca = ca.to_owned();
        let accepting = tokio::spawn(async move {
            while let Ok((plain, _)) = listener.accept().await {
                let ca = ca.clone();
                drop(tokio::spawn(async move { pass(plain, to, &ca).await.ok() }));
            }
        });
        Ok(Self { address, accepting })
    }

    /// Where MCP clients are answered; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Where it fails, a client sees a connection that ends, and its test fails.
async fn pass(mut plain: TcpStream, to: SocketAddr, ca: &Path) -> anyhow::Result<()> {
    let mut secure = connect(to, ca).await?;
    tokio::io::copy_bidirectional(&mut plain, &mut secure).await?;
    Ok(())
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
