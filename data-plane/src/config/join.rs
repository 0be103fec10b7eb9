//! The way to a control plane of another process: where it is, and the token for it.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use gateway_core::{ExposeSecret as _, SecretString};
use http::Uri;
use http::uri::Scheme;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tracing::warn;

mod tls;

pub use tls::ClientTls;

/// A file larger than this holds something else than a token.
const MAX_TOKEN_BYTES: u64 = 4096;

/// How long a connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a silent control plane is asked whether it is still there, and how long it may take
/// to answer. One that vanished is looked for again after the sum.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A control plane cannot be followed with these settings.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It is no URL of a gRPC server.
    #[error(
        "`{0}` is no address of a control plane: write https://HOST:PORT, or http://127.0.0.1:PORT"
    )]
    Url(String),
    /// The token and every secret would pass a network that others can read.
    #[error(
        "`{0}` is not on this machine: without TLS a control plane is only reached on a loopback address, such as http://127.0.0.1:8812; elsewhere it is https://HOST:PORT"
    )]
    NotLoopback(String),
    /// The token cannot be sent.
    #[error(
        "the join token is no token: it is empty, or has other characters than printable ASCII"
    )]
    Token,
    /// The file of the token cannot be read.
    #[error("--join-token-file: {} cannot be read", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
}

/// A control plane that may be followed.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    /// Where it is, for the log; `None`: in this process.
    pub url: Option<String>,
    /// The way there.
    pub channel: Channel,
}

/// By what control planes let a replica in.
#[derive(Debug)]
pub enum JoinToken {
    /// This token.
    Given(SecretString),
    /// The one that the file holds at the time.
    File(PathBuf),
}

/// The token as it is sent.
#[derive(Debug)]
pub(crate) struct Authorization {
    token: JoinToken,
    last: AsciiMetadataValue,
}

impl Authorization {
    pub(crate) fn new(token: JoinToken) -> Result<Self, JoinError> {
        let last = token.read()?;
        Ok(Self { token, last })
    }

    /// What is to be sent now. A file that cannot be read leaves the token that it held.
    pub(crate) fn current(&mut self) -> AsciiMetadataValue {
        match self.token.read() {
            Ok(read) => self.last = read,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                warn!(error, "the join token was not read again");
            }
        }
        self.last.clone()
    }
}

impl JoinToken {
    fn read(&self) -> Result<AsciiMetadataValue, JoinError> {
        match self {
            Self::Given(token) => authorization(token.expose_secret()),
            Self::File(path) => {
                let failed = |cause| JoinError::TokenFile {
                    path: path.clone(),
                    cause,
                };
                let mut text = String::new();
                let file = File::open(path).map_err(failed)?;
                file.take(MAX_TOKEN_BYTES)
                    .read_to_string(&mut text)
                    .map_err(failed)?;
                authorization(text.trim_end())
            }
        }
    }
}

/// A channel that connects when it is first used, and again after a connection was lost; with what
/// is in force in `tls` then, where the URL is one of `https`.
///
/// Must be called within a tokio runtime.
///
/// # Errors
/// The URL is none of a control plane that may be reached.
pub fn channel(url: &str, tls: Option<ClientTls>) -> Result<Channel, JoinError> {
    let invalid = || JoinError::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Err(invalid());
    };
    let plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
    if !plain || authority.as_str().contains('@') {
        return Err(invalid());
    }
    let connector = match tls.filter(|_| *scheme == Scheme::HTTPS) {
        Some(tls) => Some(tls::Connector::new(authority, tls).ok_or_else(invalid)?),
        None if *scheme != Scheme::HTTP || !is_loopback(authority.host()) => {
            return Err(JoinError::NotLoopback(url.to_owned()));
        }
        None => None,
    };
    let endpoint = Endpoint::from(uri)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    Ok(match connector {
        Some(connector) => endpoint.connect_with_connector_lazy(connector),
        None => endpoint.connect_lazy(),
    })
}

/// Whether a host is this machine, as it is written.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>();
    address.is_ok_and(|address| address.is_loopback()) || host.eq_ignore_ascii_case("localhost")
}

/// The token as it is sent. It is not printed with the metadata that it is in.
fn authorization(text: &str) -> Result<AsciiMetadataValue, JoinError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(JoinError::Token);
    }
    let value = format!("Bearer {text}").parse::<AsciiMetadataValue>();
    let mut value = value.map_err(|_| JoinError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_control_plane_is_only_reached_where_nobody_reads_along() {
        for url in [
            "http://127.0.0.1:8812",
            "http://localhost:8812/",
            "http://[::1]:8812",
        ] {
            channel(url, None).unwrap();
        }
        for url in [
            "http://10.0.0.1:8812",
            "http://control.example:8812",
            "https://127.0.0.1:8812",
        ] {
            let error = channel(url, None).unwrap_err();
            assert!(matches!(&error, JoinError::NotLoopback(named) if named == url));
        }
        for url in [
            "",
            "127.0.0.1:8812",
            "http://",
            "http://127.0.0.1:8812/path",
            "http://user@127.0.0.1:8812",
        ] {
            let error = channel(url, None).unwrap_err();
            assert!(matches!(&error, JoinError::Url(named) if named == url));
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let value = authorization("0123456789abcdef").unwrap();
        assert_eq!(value.to_str().unwrap(), "Bearer 0123456789abcdef");
        assert!(!format!("{value:?}").contains("0123"), "{value:?}");
        for text in ["", "two words", "line\n"] {
            let error = authorization(text).unwrap_err();
            assert!(matches!(error, JoinError::Token), "{error}");
        }
    }

    #[test]
    fn a_token_file_is_read_each_time_and_remembered_where_it_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = || JoinToken::File(path.clone());
        let error = Authorization::new(token()).unwrap_err();
        assert!(error.to_string().contains("--join-token-file: "), "{error}");
        std::fs::write(&path, "first\n").unwrap();
        let mut authorization = Authorization::new(token()).unwrap();
        for (text, sent) in [("second\n", "second"), ("", "second"), ("third", "third")] {
            std::fs::write(&path, text).unwrap();
            let current = authorization.current();
            assert_eq!(current.to_str().unwrap(), format!("Bearer {sent}"));
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(authorization.current().to_str().unwrap(), "Bearer third");
    }
}
