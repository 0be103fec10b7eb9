//! The listeners of a desktop: which are wanted, and which there are.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tracing::{info, warn};

use super::control::Control;
use super::planes::Planes;
use crate::exit::Failure;

const MCP_PORT: u16 = 8811;
const OPERATIONS_PORT: u16 = 8813;

/// Where to listen; `None`: at the usual address.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) mcp: Option<SocketAddr>,
    pub(super) operations: Option<SocketAddr>,
    /// Whether somebody is served without them, so that a usual address which is in use is no
    /// reason to give up.
    pub(super) may_do_without: bool,
}

/// Bound before anything is started, so that a port in use is known at once.
pub(super) struct Listeners {
    mcp: Option<TcpListener>,
    operations: Option<TcpListener>,
}

impl Wanted {
    fn mcp_address(&self) -> SocketAddr {
        self.mcp.unwrap_or_else(|| loopback(MCP_PORT))
    }

    pub(super) fn is_loopback_only(&self) -> bool {
        self.mcp_address().ip().is_loopback()
    }

    /// The address as a host name, where it is another one than loopback.
    pub(super) fn own_host(&self) -> Option<String> {
        own_host(self.mcp_address())
    }

    pub(super) async fn bind(&self) -> Result<Listeners, Failure> {
        let operations = self.operations.unwrap_or_else(|| loopback(OPERATIONS_PORT));
        // The operations endpoints ask nobody who they are.
        if !operations.ip().is_loopback() {
            return Err(Failure::invalid(format!(
                "--ops-listen {operations}: the operations endpoints ask nobody who they are, so they listen on loopback addresses only, such as 127.0.0.1:{}",
                operations.port()
            )));
        }
        let needed = |given: Option<SocketAddr>| given.is_some() || !self.may_do_without;
        Ok(Listeners {
            mcp: bind(self.mcp_address(), "--listen", needed(self.mcp)).await?,
            operations: bind(operations, "--ops-listen", needed(self.operations)).await?,
        })
    }
}

impl Listeners {
    /// Serves clients and operators while `following` goes on beside it.
    pub(super) async fn serve(
        self,
        planes: &Planes,
        control: Control,
        following: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        if let Some(listener) = &self.operations {
            info!("operations on http://{}", address(listener)?);
        }
        if let Some(listener) = &self.mcp {
            info!("listening on http://{}/mcp", address(listener)?);
        }
        let mcp = async {
            if let Some(listener) = self.mcp {
                planes.data.serve(listener).await;
            }
        };
        let operations = async {
            if let Some(listener) = self.operations {
                planes.data.serve_operations(listener).await;
            }
        };
        tokio::join!(mcp, operations, control.serve(planes), following);
        Ok(())
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

async fn bind(
    address: SocketAddr,
    flag: &str,
    needed: bool,
) -> Result<Option<TcpListener>, Failure> {
    let bound = TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address}: stop what uses it, or choose another address with {flag}"
        )
    });
    match bound {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if needed => Err(error.into()),
        Err(error) => {
            warn!("{error:#}; going on without, for the client on standard input");
            Ok(None)
        }
    }
}

fn address(listener: &TcpListener) -> Result<SocketAddr, anyhow::Error> {
    listener.local_addr().context("the listener has no address")
}

/// The address as a host name, where it is another one than loopback. A web page cannot be served
/// under it by anybody else. All addresses at once are no host name.
fn own_host(listen: SocketAddr) -> Option<String> {
    let ip = listen.ip();
    let text = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_usual_address_may_be_in_use_and_only_where_nobody_needs_it() {
        let held = TcpListener::bind(loopback(0)).await.unwrap();
        let taken = held.local_addr().unwrap();
        assert!(bind(taken, "--listen", false).await.unwrap().is_none());
        let Err(Failure::Failed(error)) = bind(taken, "--listen", true).await else {
            panic!("{taken} is in use");
        };
        assert!(error.to_string().contains("--listen"), "{error:#}");
    }

    #[test]
    fn the_address_that_it_listens_on_is_a_host_of_its_own() {
        let host = |address: &str| own_host(address.parse().unwrap());
        assert_eq!(host("192.0.2.7:8811").as_deref(), Some("192.0.2.7"));
        assert_eq!(host("[2001:db8::7]:8811").as_deref(), Some("[2001:db8::7]"));
        for address in ["127.0.0.1:8811", "[::1]:8811", "0.0.0.0:8811", "[::]:8811"] {
            assert_eq!(host(address), None, "{address}");
        }
    }
}
