//! How a data plane and the others of its fleet reach each other.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use gateway_data_plane::{DataPlane, FleetOptions, ServerTls, is_loopback};
use http::uri::Authority;
use rustls::ClientConfig;
use tokio::net::TcpListener;

use crate::exit::Failure;
use crate::kept::{self, Kept};
use crate::listen::{self, REPLICAS_PORT, loopback};
use crate::tls::peers;

/// Of its own for each flag: one for all would go on over the flags behind them.
const HEADING: &str = "Several replicas";

#[derive(Debug, Args)]
pub(super) struct ReplicasArgs {
    /// Where other replicas reach this one, so that any of them serves the sessions of all. Needs
    /// --session-key-file with the same keys for each. Left out: where it listens for them, if it
    /// does.
    #[arg(
        long,
        env = "MCP_GATEWAY_ADVERTISE",
        value_parser = address,
        help_heading = HEADING,
        value_name = "HOST:PORT"
    )]
    advertise: Option<Authority>,

    /// Where it listens for other replicas, 127.0.0.1:8815 when only --advertise is given; a loopback
    /// address, unless there is TLS.
    #[arg(
        long,
        env = "MCP_GATEWAY_PEER_LISTEN",
        help_heading = HEADING,
        value_name = "ADDR"
    )]
    peer_listen: Option<SocketAddr>,

    /// The certificates of whoever signs those of the other replicas, as PEM. Left out: those that
    /// this machine trusts.
    #[arg(
        long,
        env = "MCP_GATEWAY_PEER_TLS_CA",
        requires = "tls_cert",
        help_heading = HEADING,
        value_name = "FILE"
    )]
    peer_tls_ca: Option<PathBuf>,
}

/// A listener for other replicas.
pub(super) struct ReplicaListener {
    listener: TcpListener,
    advertise: Authority,
    /// By what the others are reached.
    tls: Option<Kept<ClientConfig>>,
}

impl ReplicasArgs {
    /// `None`: it is to be reached by no other replica.
    pub(super) async fn bind(
        self,
        is_tls: bool,
        has_keys: bool,
    ) -> Result<Option<ReplicaListener>, Failure> {
        let Self {
            advertise,
            peer_listen,
            peer_tls_ca,
        } = self;
        if advertise.is_none() && peer_listen.is_none() {
            return match peer_tls_ca {
                None => Ok(None),
                Some(_) => Err(Failure::invalid(
                    "--peer-tls-ca: there are other replicas only with --advertise HOST:PORT",
                )),
            };
        }
        if !has_keys {
            return Err(Failure::invalid(
                "--advertise: replicas open each other's session ids and know each other by the session keys: name the file with the same keys for each with --session-key-file",
            ));
        }
        let listen = peer_listen.unwrap_or_else(|| loopback(REPLICAS_PORT));
        check(listen, advertise.as_ref(), is_tls)?;
        let tls = match is_tls {
            true => Some(peers(peer_tls_ca.as_deref())?),
            false => None,
        };
        let listener = listen::bind(listen, "--peer-listen").await?;
        let advertise = match advertise {
            Some(advertise) => advertise,
            None => {
                let own = listen::address(&listener)?.to_string();
                own.parse().context("the listener has no address")?
            }
        };
        Ok(Some(ReplicaListener {
            listener,
            advertise,
            tls,
        }))
    }
}

/// What replicas send each other is what clients send, credentials included.
fn check(listen: SocketAddr, advertise: Option<&Authority>, is_tls: bool) -> Result<(), Failure> {
    if advertise.is_none() && listen.ip().is_unspecified() {
        return Err(Failure::invalid(format!(
            "--peer-listen {listen}: say with --advertise HOST:PORT where other replicas reach this one"
        )));
    }
    if is_tls {
        return Ok(());
    }
    if !listen.ip().is_loopback() {
        return Err(Failure::invalid(format!(
            "--peer-listen {listen}: without TLS (--tls-cert FILE --tls-key FILE) only loopback addresses are listened on, such as 127.0.0.1:{REPLICAS_PORT}"
        )));
    }
    match advertise {
        Some(advertise) if !is_loopback(advertise.host()) => Err(Failure::invalid(format!(
            "--advertise {advertise}: without TLS (--tls-cert FILE --tls-key FILE) replicas reach each other on this machine only"
        ))),
        _ => Ok(()),
    }
}

/// Reads HOST:PORT.
fn address(text: &str) -> Result<Authority, String> {
    let authority = text.parse::<Authority>().ok().filter(|authority| {
        let port = authority.port_u16().filter(|port| *port > 0);
        port.is_some() && !authority.host().is_empty() && !text.contains('@')
    });
    authority.ok_or_else(|| "write HOST:PORT, such as 10.0.0.7:8815".to_owned())
}

impl ReplicaListener {
    pub(super) fn options(&self) -> FleetOptions {
        FleetOptions {
            advertise: self.advertise.clone(),
            tls: self.tls.as_ref().map(Kept::current),
        }
    }

    pub(super) fn address(&self) -> anyhow::Result<SocketAddr> {
        listen::address(&self.listener)
    }
}

/// Serves other replicas, if it is to be reached by any.
pub(super) async fn serve(
    data: &DataPlane,
    replicas: Option<ReplicaListener>,
    tls: Option<ServerTls>,
) {
    let Some(replicas) = replicas else {
        return;
    };
    let serving = data.serve_replicas(replicas.listener, tls);
    tokio::join!(serving, kept::follow(replicas.tls));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(checked: Result<(), Failure>) -> String {
        match checked {
            Ok(()) => String::new(),
            Err(Failure::Invalid(said)) => said.concat(),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for text in ["10.0.0.7:8815", "gateway-0.gateway:8815", "[::1]:8815"] {
            assert_eq!(address(text).unwrap().as_str(), text);
        }
        for text in ["", "host", "host:0", ":8815", "a@host:1", "http://host:1"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn without_tls_replicas_stay_on_one_machine() {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let any = "0.0.0.0:8815".parse().unwrap();
        let (near, far) = (
            address("127.0.0.1:1").unwrap(),
            address("10.0.0.7:1").unwrap(),
        );
        assert_eq!(said(check(loopback, None, false)), "");
        assert_eq!(said(check(loopback, Some(&near), false)), "");
        assert!(said(check(loopback, Some(&far), false)).contains("--advertise 10.0.0.7:1"));
        assert!(said(check(any, Some(&near), false)).contains("--peer-listen 0.0.0.0:8815"));
        assert_eq!(said(check(any, Some(&far), true)), "");
        assert!(said(check(any, None, true)).contains("--advertise HOST:PORT"));
    }

    #[tokio::test]
    async fn replicas_need_keys_that_all_have() {
        let arguments = |advertise: Option<&str>| ReplicasArgs {
            advertise: advertise.map(|text| address(text).unwrap()),
            peer_listen: Some("127.0.0.1:0".parse().unwrap()),
            peer_tls_ca: None,
        };
        let refused = arguments(None).bind(false, false).await.map(drop);
        assert!(said(refused).contains("--session-key-file"));
        let bound = arguments(None).bind(false, true).await.ok().flatten();
        let bound = bound.expect("it listens");
        let address = bound.address().unwrap().to_string();
        assert_eq!(bound.options().advertise.as_str(), address);
    }
}
