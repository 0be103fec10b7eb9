//! How a control plane is reached by TLS: whom is trusted, and by which certificate one is known.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use gateway_data_plane::JoinError;
use hyper_rustls::ConfigBuilderExt as _;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use tonic::transport::Channel;

use super::{CERTIFICATES, Named, identity, mismatch, provider};
use crate::exit::Failure;
use crate::kept::Kept;

/// Of its own for each flag: one for all would go on over the flags behind them.
const HEADING: &str = "TLS to the control plane";

/// The files of a connection to a control plane, as flags and as contexts keep them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientTlsArgs {
    /// The certificates of whoever signs the control plane's, as PEM. Left out: those that this
    /// machine trusts.
    #[arg(
        long,
        env = "MCP_GATEWAY_TLS_CA",
        help_heading = HEADING,
        value_name = "FILE"
    )]
    #[serde(rename = "ca", default, skip_serializing_if = "Option::is_none")]
    tls_ca: Option<PathBuf>,

    /// A certificate to be known by at the control plane, as PEM. Read again when the file changes.
    #[arg(
        long,
        env = "MCP_GATEWAY_TLS_CLIENT_CERT",
        requires = "tls_client_key",
        help_heading = HEADING,
        value_name = "FILE"
    )]
    #[serde(
        rename = "client_cert",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    tls_client_cert: Option<PathBuf>,

    /// The key of that certificate, as PEM.
    #[arg(
        long,
        env = "MCP_GATEWAY_TLS_CLIENT_KEY",
        requires = "tls_client_cert",
        help_heading = HEADING,
        value_name = "FILE"
    )]
    #[serde(
        rename = "client_key",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    tls_client_key: Option<PathBuf>,
}

/// As contexts keep them.
#[cfg(feature = "control-plane")]
impl ClientTlsArgs {
    /// What these leave out, as the others have it.
    pub(crate) fn or(&self, others: &Self) -> Self {
        let other = |own: &Option<PathBuf>, other: &Option<PathBuf>| own.clone().or(other.clone());
        Self {
            tls_ca: other(&self.tls_ca, &others.tls_ca),
            tls_client_cert: other(&self.tls_client_cert, &others.tls_client_cert),
            tls_client_key: other(&self.tls_client_key, &others.tls_client_key),
        }
    }

    /// The same files, whatever folder they are looked for from.
    pub(crate) fn absolute(self) -> std::io::Result<Self> {
        let absolute = |path: Option<PathBuf>| path.map(std::path::absolute).transpose();
        Ok(Self {
            tls_ca: absolute(self.tls_ca)?,
            tls_client_cert: absolute(self.tls_client_cert)?,
            tls_client_key: absolute(self.tls_client_key)?,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ClientTlsArgs {
    /// Whether the control plane may know its client without a token.
    pub(crate) fn has_certificate(&self) -> bool {
        self.tls_client_cert.is_some()
    }

    /// A channel, and by what its TLS is kept up. Must be called within a runtime. Nothing is connected
    /// yet.
    #[cfg(feature = "control-plane")]
    pub(crate) fn channel(
        &self,
        url: &str,
    ) -> Result<(Channel, Option<Kept<ClientConfig>>), Failure> {
        let kept = self.kept_for(url)?;
        Ok((channel(url, kept.as_ref())?, kept))
    }

    /// The ways to several control planes, which are reached by the same TLS. As for one, nothing is
    /// connected yet.
    pub(crate) fn channels(
        &self,
        urls: &[String],
    ) -> Result<(Vec<Channel>, Option<Kept<ClientConfig>>), Failure> {
        let mut kept = None;
        let mut channels = Vec::new();
        for url in urls {
            if kept.is_none() || !is_tls(url) {
                kept = self.kept_for(url)?.or(kept);
            }
            let tls = kept.as_ref().filter(|_| is_tls(url));
            channels.push(channel(url, tls)?);
        }
        Ok((channels, kept))
    }

    /// By what the TLS to a control plane is kept up, where there is any.
    fn kept_for(&self, url: &str) -> Result<Option<Kept<ClientConfig>>, Failure> {
        if is_tls(url) {
            return Ok(Some(self.read()?));
        }
        if self.tls_ca.is_some() || self.has_certificate() {
            return Err(Failure::invalid(format!(
                "--control-plane {url}: --tls-ca and --tls-client-cert are for https://HOST:PORT"
            )));
        }
        Ok(None)
    }

    fn read(&self) -> anyhow::Result<Kept<ClientConfig>> {
        let ca = self.tls_ca.as_deref();
        let ca = ca.map(|path| Named::new("--tls-ca", path));
        let certificate = self.tls_client_cert.as_deref();
        let certificate = certificate.map(|path| Named::new("--tls-client-cert", path));
        let key = self.tls_client_key.as_deref();
        let key = key.map(|path| Named::new("--tls-client-key", path));
        let files = [&ca, &certificate, &key].into_iter().flatten();
        let paths = files.map(|file| file.path.clone()).collect();
        Kept::new(CERTIFICATES, paths, move || {
            let own = certificate.as_ref().zip(key.as_ref());
            config("--tls-ca", ca.as_ref(), own, b"h2")
        })
    }
}

/// By what replicas reach each other, who know each other by something else than certificates.
pub(crate) fn peers(ca: Option<&Path>) -> anyhow::Result<Kept<ClientConfig>> {
    const FLAG: &str = "--peer-tls-ca";
    let ca = ca.map(|path| Named::new(FLAG, path));
    let paths = ca.iter().map(|file| file.path.clone()).collect();
    Kept::new(CERTIFICATES, paths, move || {
        config(FLAG, ca.as_ref(), None, b"http/1.1")
    })
}

fn is_tls(url: &str) -> bool {
    let scheme = url.get(..8);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

fn channel(url: &str, kept: Option<&Kept<ClientConfig>>) -> Result<Channel, Failure> {
    let channel = gateway_data_plane::channel(url, kept.map(Kept::current));
    let invalid = |error: JoinError| Failure::invalid(format!("--control-plane: {error}"));
    channel.map_err(invalid)
}

fn config(
    flag: &str,
    ca: Option<&Named>,
    own: Option<(&Named, &Named)>,
    protocol: &[u8],
) -> anyhow::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .context("TLS cannot be set up")?;
    let builder = match ca {
        Some(file) => builder.with_root_certificates(file.roots()?),
        None => builder.with_native_roots().with_context(|| {
            format!("the certificates that this machine trusts cannot be read: use {flag}")
        })?,
    };
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let identity = identity(certificate, key)?;
            builder
                .with_client_auth_cert(identity.chain, identity.key)
                .with_context(|| mismatch(certificate, key))?
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}
