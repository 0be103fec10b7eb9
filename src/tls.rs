//! TLS of listeners and towards a control plane: the flags, and certificates that are read again when
//! their files change.

#[cfg(feature = "data-plane")]
mod client;
mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

#[cfg(feature = "data-plane")]
pub(crate) use client::{ClientTlsArgs, peers};
#[cfg(feature = "control-plane")]
pub(crate) use server::GRPC;
pub(crate) use server::ServerTlsArgs;
#[cfg(feature = "data-plane")]
pub(crate) use server::{HTTP, HTTP_1};

/// What the log says of files that changed.
const CERTIFICATES: &str = "certificates";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A certificate, those that it is signed by, and its key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// A file, and the flag that names it.
#[derive(Debug, Clone)]
struct Named {
    flag: &'static str,
    path: PathBuf,
}

impl Named {
    fn new(flag: &'static str, path: &Path) -> Self {
        let path = path.to_owned();
        Self { flag, path }
    }

    fn says(&self, what: &str) -> String {
        format!("{} {}: {what}", self.flag, self.path.display())
    }

    fn certificates(&self) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let unreadable = || self.says("cannot be read as PEM");
        let found = CertificateDer::pem_file_iter(&self.path).with_context(unreadable)?;
        let found: Vec<_> = found.collect::<Result<_, _>>().with_context(unreadable)?;
        if found.is_empty() {
            bail!(self.says("has no certificate"));
        }
        Ok(found)
    }

    fn key(&self) -> anyhow::Result<PrivateKeyDer<'static>> {
        let unreadable = || self.says("has no private key that can be read as PEM");
        PrivateKeyDer::from_pem_file(&self.path).with_context(unreadable)
    }

    fn roots(&self) -> anyhow::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            let added = roots.add(certificate);
            added.with_context(|| self.says("has a certificate that cannot be trusted"))?;
        }
        Ok(roots)
    }
}

fn identity(certificate: &Named, key: &Named) -> anyhow::Result<Identity> {
    Ok(Identity {
        chain: certificate.certificates()?,
        key: key.key()?,
    })
}

/// Of a certificate and a key that do not do together.
fn mismatch(certificate: &Named, key: &Named) -> String {
    let with = format!("does not go with {} {}", key.flag, key.path.display());
    certificate.says(&with)
}

#[cfg(test)]
mod tests;
