//! What a listener says of itself by TLS, and whose certificates it takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use super::{CERTIFICATES, Named, identity, mismatch, provider};
use crate::kept::Kept;

/// What gRPC and MCP clients speak over TLS, the first choice first.
#[cfg(feature = "control-plane")]
pub(crate) const GRPC: &[&[u8]] = &[b"h2"];
#[cfg(feature = "data-plane")]
pub(crate) const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];

/// What a plugin's server speaks over TLS.
#[cfg(feature = "data-plane")]
pub(crate) const HTTP_1: &[&[u8]] = &[b"http/1.1"];

/// Of its own for each flag: one for all would go on over the flags behind them.
const HEADING: &str = "TLS";

/// The certificate of a listener.
#[derive(Debug, Args)]
pub(crate) struct ServerTlsArgs {
    /// The certificate of the listener, and those that it is signed by, as PEM. Read again when the
    /// file changes. Left out: plain text, on loopback addresses only.
    #[arg(
        long,
        env = "MCP_GATEWAY_TLS_CERT",
        requires = "tls_key",
        help_heading = HEADING,
        value_name = "FILE"
    )]
    tls_cert: Option<PathBuf>,

    /// The key of that certificate, as PEM.
    #[arg(
        long,
        env = "MCP_GATEWAY_TLS_KEY",
        requires = "tls_cert",
        help_heading = HEADING,
        value_name = "FILE"
    )]
    tls_key: Option<PathBuf>,
}

impl ServerTlsArgs {
    /// Reads the files; `None`: there is to be no TLS. Clients are asked for a certificate that
    /// `client_ca` has signed, and may do without one.
    pub(crate) fn read(
        &self,
        protocols: &'static [&'static [u8]],
        client_ca: Option<&Path>,
    ) -> anyhow::Result<Option<Kept<ServerConfig>>> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let certificate = Named::new("--tls-cert", certificate);
        let key = Named::new("--tls-key", key);
        let client_ca = client_ca.map(|path| Named::new("--tls-client-ca", path));
        let files = [Some(&certificate), Some(&key), client_ca.as_ref()];
        let paths = files.into_iter().flatten().map(|file| file.path.clone());
        let paths = paths.collect();
        let make = move || config(&certificate, &key, client_ca.as_ref(), protocols);
        Kept::new(CERTIFICATES, paths, make).map(Some)
    }
}

fn config(
    certificate: &Named,
    key: &Named,
    client_ca: Option<&Named>,
    protocols: &[&[u8]],
) -> anyhow::Result<ServerConfig> {
    let identity = identity(certificate, key)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .context("TLS cannot be set up")?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(file.roots()?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .allow_unauthenticated()
                .build();
            let verifier = verifier.with_context(|| file.says("cannot be used"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(identity.chain, identity.key)
        .with_context(|| mismatch(certificate, key))?;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    if client_ca.is_some() {
        // A session that is resumed would bring along a certificate that nobody looks at again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}
