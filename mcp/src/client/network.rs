//! Which addresses an outgoing connection may reach, whatever name led to them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::socket::Sockets;

/// The addresses that outgoing connections may reach.
///
/// Link-local, metadata, unspecified, multicast and broadcast addresses are never reached, not
/// even when a permitted network covers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPolicy {
    loopback: bool,
    private: bool,
    permitted: Vec<Cidr>,
    sidecar_ports: Vec<u16>,
    sockets: Sockets,
}

impl NetworkPolicy {
    /// For one person's machine: loopback and private networks are where the servers are.
    pub fn desktop() -> Self {
        Self {
            loopback: true,
            private: true,
            permitted: Vec::new(),
            sidecar_ports: Vec::new(),
            sockets: Sockets::Any,
        }
    }

    /// For a shared installation: public addresses, and the networks that its operator permits.
    pub fn public_only(permitted: Vec<Cidr>) -> Self {
        Self {
            loopback: false,
            private: false,
            permitted,
            sidecar_ports: Vec::new(),
            sockets: Sockets::None,
        }
    }

    /// The same, and these ports of loopback addresses: containers of the same pod.
    #[must_use]
    pub fn with_sidecar_ports(mut self, ports: Vec<u16>) -> Self {
        self.sidecar_ports = ports;
        self
    }

    /// The same, and the unix sockets below a folder, whose path is an absolute one.
    #[must_use]
    pub fn with_sockets_below(mut self, folder: PathBuf) -> Self {
        self.sockets = Sockets::Below(folder.into());
        self
    }

    /// Which unix sockets may be reached.
    pub(super) fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Says whether `address` may be reached, and if not, by which rule.
    pub fn check(&self, address: SocketAddr) -> Result<(), NetworkRule> {
        let (ip, port) = (address.ip(), address.port());
        let address = carried_v4(ip).map_or(ip, IpAddr::V4);
        let rule = match class_of(address) {
            Class::Public => return Ok(()),
            Class::Never(rule) => return Err(rule),
            Class::Loopback if self.loopback => return Ok(()),
            Class::Loopback if self.sidecar_ports.contains(&port) => return Ok(()),
            Class::Private if self.private => return Ok(()),
            Class::Loopback => NetworkRule::Loopback,
            Class::Private => NetworkRule::Private,
        };
        if self
            .permitted
            .iter()
            .any(|network| network.contains(address))
        {
            return Ok(());
        }
        Err(rule)
    }
}

/// The rule by which an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkRule {
    LinkLocal,
    Metadata,
    Unspecified,
    Multicast,
    Broadcast,
    Loopback,
    Private,
    Socket,
}

impl NetworkRule {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::LinkLocal => "link-local addresses are never reached",
            Self::Metadata => "addresses of cloud metadata services are never reached",
            Self::Unspecified => "unspecified addresses are never reached",
            Self::Multicast => "multicast addresses are never reached",
            Self::Broadcast => "broadcast addresses are never reached",
            Self::Loopback => {
                "loopback addresses are only reached in permitted networks (--allow-network) and at permitted ports (--sidecar-port)"
            }
            Self::Private => {
                "private addresses are only reached in permitted networks (--allow-network)"
            }
            Self::Socket => {
                "unix sockets are only reached below the folder of --socket-dir, by a path without links and `..`"
            }
        }
    }
}

impl fmt::Display for NetworkRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A network such as `10.0.0.0/8` or `fd00::/8`; a bare address is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    bits: u128,
    mask: u128,
    v4: bool,
}

/// A text that is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a network: write an address and a prefix length, such as 10.0.0.0/8")]
pub struct InvalidCidr {
    text: String,
}

impl Cidr {
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.v4 && bits_of(address) & self.mask == self.bits
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let invalid = || InvalidCidr {
            text: text.to_owned(),
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u32 = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| invalid())?,
            None => width,
        };
        let host_bits = width.checked_sub(prefix).ok_or_else(invalid)?;
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        Ok(Self {
            bits: bits_of(address) & mask,
            mask,
            v4: address.is_ipv4(),
        })
    }
}

enum Class {
    Public,
    Loopback,
    Private,
    Never(NetworkRule),
}

fn class_of(address: IpAddr) -> Class {
    if address.is_unspecified() {
        return Class::Never(NetworkRule::Unspecified);
    }
    if address.is_multicast() {
        return Class::Never(NetworkRule::Multicast);
    }
    if address.is_loopback() {
        return Class::Loopback;
    }
    match address {
        IpAddr::V4(address) => class_of_v4(address),
        IpAddr::V6(address) => class_of_v6(address),
    }
}

fn class_of_v4(address: Ipv4Addr) -> Class {
    // Metadata services that stand outside the link-local range: Alibaba, Oracle, Azure.
    const METADATA: [Ipv4Addr; 3] = [
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(192, 0, 0, 192),
        Ipv4Addr::new(168, 63, 129, 16),
    ];
    if METADATA.contains(&address) {
        return Class::Never(NetworkRule::Metadata);
    }
    if address.is_link_local() {
        return Class::Never(NetworkRule::LinkLocal);
    }
    if address.is_broadcast() {
        return Class::Never(NetworkRule::Broadcast);
    }
    match address.octets() {
        [0, ..] => Class::Never(NetworkRule::Unspecified),
        // Carrier-grade NAT, protocol assignments, benchmarks and the reserved class E are as
        // little public as the private ranges themselves.
        [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18..=19, ..] | [240..=255, ..] => {
            Class::Private
        }
        _ if address.is_private() => Class::Private,
        _ => Class::Public,
    }
}

fn class_of_v6(address: Ipv6Addr) -> Class {
    // Amazon's and Google's metadata services; both lie within the unique local range.
    const METADATA: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254),
        Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254),
    ];
    if METADATA.contains(&address) {
        return Class::Never(NetworkRule::Metadata);
    }
    if address.is_unicast_link_local() {
        return Class::Never(NetworkRule::LinkLocal);
    }
    let site_local = address.segments()[0] & 0xffc0 == 0xfec0;
    if address.is_unique_local() || site_local {
        Class::Private
    } else {
        Class::Public
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 or 6to4. What is
/// sent to one of these may arrive there, so the rules for that address decide.
fn carried_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let [a, b, c, d, e, f, high, low] = address.segments();
    let (high, low) = match [a, b, c, d, e, f] {
        // `::` and `::1` have meanings of their own.
        [0, 0, 0, 0, 0, 0] if high != 0 || low > 1 => (high, low),
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] => (high, low),
        [0x64, 0xff9b, 0, 0, 0, 0] => (high, low),
        [0x2002, ..] => (b, c),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests;
