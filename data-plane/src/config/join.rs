//! The way to a control plane of another process: where it is, and the token for it.

use std::net::IpAddr;
use std::time::Duration;

use gateway_core::{ExposeSecret as _, SecretString};
use http::Uri;
use http::uri::Scheme;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};

mod tls;

pub use tls::ClientTls;

/// How long a connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a silent control plane is asked whether it is still there, and how long it may take
/// to answer. One that vanished is looked for again after the sum.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A control plane cannot be followed with these settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
pub(crate) fn authorization(token: &SecretString) -> Result<AsciiMetadataValue, JoinError> {
    let text = token.expose_secret();
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
            assert_eq!(error, JoinError::NotLoopback(url.to_owned()));
        }
        for url in [
            "",
            "127.0.0.1:8812",
            "http://",
            "http://127.0.0.1:8812/path",
            "http://user@127.0.0.1:8812",
        ] {
            assert_eq!(
                channel(url, None).unwrap_err(),
                JoinError::Url(url.to_owned())
            );
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let value = authorization(&SecretString::from("0123456789abcdef")).unwrap();
        assert_eq!(value.to_str().unwrap(), "Bearer 0123456789abcdef");
        assert!(!format!("{value:?}").contains("0123"), "{value:?}");
        for text in ["", "two words", "line\n"] {
            let error = authorization(&SecretString::from(text)).unwrap_err();
            assert_eq!(error, JoinError::Token);
        }
    }
}
