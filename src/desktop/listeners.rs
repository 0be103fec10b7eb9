//! The listeners of a desktop: which are wanted, and which there are.

use std::net::SocketAddr;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tracing::{info, warn};

use super::control::Control;
use super::planes::Planes;
use crate::exit::Failure;
use crate::kept::{self, Kept};
use crate::listen::{self, MCP_PORT, OPERATIONS_PORT, address, loopback};
use crate::tls::{HTTP, ServerTlsArgs};

/// Where to listen; `None`: at the usual address.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) mcp: Option<SocketAddr>,
    pub(super) operations: Option<SocketAddr>,
    /// Whether somebody is served without them, so that a usual address which is in use is no
    /// reason to give up.
    pub(super) may_do_without: bool,
    /// For MCP clients; no files: in plain text.
    pub(super) tls: ServerTlsArgs,
}

/// Bound before anything is started, so that a port in use is known at once.
pub(super) struct Listeners {
    mcp: Option<TcpListener>,
    operations: Option<TcpListener>,
    tls: Option<Kept<ServerConfig>>,
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
        listen::own_host(self.mcp_address())
    }

    pub(super) async fn bind(&self) -> Result<Listeners, Failure> {
        let operations = self.operations.unwrap_or_else(|| loopback(OPERATIONS_PORT));
        listen::check_operations(operations)?;
        let tls = self.tls.read(HTTP, None)?;
        listen::check_plain(self.mcp_address(), tls.is_some())?;
        let needed = |given: Option<SocketAddr>| given.is_some() || !self.may_do_without;
        Ok(Listeners {
            mcp: bind(self.mcp_address(), "--listen", needed(self.mcp)).await?,
            operations: bind(operations, "--ops-listen", needed(self.operations)).await?,
            tls,
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
            let scheme = listen::scheme(self.tls.is_some());
            info!("listening on {scheme}://{}/mcp", address(listener)?);
        }
        let current = self.tls.as_ref().map(Kept::current);
        let mcp = async {
            if let Some(listener) = self.mcp {
                tokio::select! {
                    () = planes.data.serve(listener, current) => {}
                    () = kept::follow(self.tls) => {}
                }
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

async fn bind(
    address: SocketAddr,
    flag: &str,
    needed: bool,
) -> Result<Option<TcpListener>, Failure> {
    let bound = listen::bind(address, flag).await;
    match bound {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if needed => Err(error.into()),
        Err(error) => {
            warn!("{error:#}; going on without, for the client on standard input");
            Ok(None)
        }
    }
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
}
