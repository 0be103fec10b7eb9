//! Listeners: bound before anything is started, with what to do where that fails.

#[cfg(feature = "data-plane")]
use std::net::IpAddr;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::exit::Failure;

/// The usual ports.
#[cfg(feature = "data-plane")]
pub(crate) const MCP_PORT: u16 = 8811;
#[cfg(feature = "control-plane")]
pub(crate) const CONTROL_PORT: u16 = 8812;
#[cfg(feature = "data-plane")]
pub(crate) const OPERATIONS_PORT: u16 = 8813;
#[cfg(feature = "data-plane")]
pub(crate) const REPLICAS_PORT: u16 = 8815;
#[cfg(feature = "data-plane")]
pub(crate) const PLUGIN_PORT: u16 = 8816;
#[cfg(feature = "control-plane")]
pub(crate) const CONTROL_OPERATIONS_PORT: u16 = 8814;

/// An address that only this machine reaches.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Listens on the address that `flag` chooses.
pub(crate) async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address}: stop what uses it, or choose another address with {flag}"
        )
    })
}

/// Where a listener listens, as the log says it.
pub(crate) fn address(listener: &TcpListener) -> anyhow::Result<SocketAddr> {
    listener.local_addr().context("the listener has no address")
}

/// By what a listener is reached, as the log says it.
pub(crate) fn scheme(is_tls: bool) -> &'static str {
    if is_tls { "https" } else { "http" }
}

/// The name of a process that listens: the given one, or the machine's and the port.
pub(crate) fn name(given: Option<&str>, listen: SocketAddr) -> Result<String, Failure> {
    let Some(name) = given else {
        return Ok(format!("{}:{}", machine(), listen.port()));
    };
    // As the control plane has it, which would only say so later.
    let fits = (1..=128).contains(&name.chars().count());
    if !fits || name.chars().any(char::is_control) {
        return Err(Failure::invalid(
            "--name: use 1 to 128 printable characters",
        ));
    }
    Ok(name.to_owned())
}

#[cfg(unix)]
fn machine() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(not(unix))]
fn machine() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "gateway".to_owned())
}

/// Refuses an address that others than this machine reach, where what is said there would pass a
/// network as everybody can read it.
pub(crate) fn check_plain(address: SocketAddr, is_tls: bool) -> Result<(), Failure> {
    if is_tls || address.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "--listen {address}: without TLS (--tls-cert FILE --tls-key FILE) only loopback addresses are listened on, such as 127.0.0.1:{}",
        address.port()
    )))
}

/// Refuses an address for the operations endpoints that others than this machine reach.
pub(crate) fn check_operations(address: SocketAddr) -> Result<(), Failure> {
    // They ask nobody who they are.
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "--ops-listen {address}: the operations endpoints ask nobody who they are, so they listen on loopback addresses only, such as 127.0.0.1:{}",
        address.port()
    )))
}

/// The address as a host name, where it is another one than loopback. A web page cannot be served
/// under it by anybody else. All addresses at once are no host name.
#[cfg(feature = "data-plane")]
pub(crate) fn own_host(listen: SocketAddr) -> Option<String> {
    let ip = listen.ip();
    let text = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(text)
}

#[cfg(all(test, feature = "data-plane"))]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_for_this_machine_only() {
        for address in ["127.0.0.1:0", "127.8.8.8:8812", "[::1]:8812"] {
            assert!(
                check_plain(address.parse().unwrap(), false).is_ok(),
                "{address}"
            );
        }
        for address in ["0.0.0.0:8812", "192.0.2.7:8812", "[::]:8812"] {
            let address = address.parse().unwrap();
            let Err(Failure::Invalid(said)) = check_plain(address, false) else {
                panic!("{address} is open to others");
            };
            assert!(said[0].contains("without TLS"), "{said:?}");
            assert!(check_plain(address, true).is_ok());
        }
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
