//! Which addresses an outgoing connection may reach, whatever name led to them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The addresses that outgoing connections may reach.
///
/// Link-local, metadata, unspecified, multicast and broadcast addresses are never reached, not
/// even when a permitted network covers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPolicy {
    loopback: bool,
    private: bool,
    sockets: bool,
    permitted: Vec<Cidr>,
}

impl NetworkPolicy {
    /// For one person's machine: loopback and private networks are where the servers are.
    pub fn desktop() -> Self {
        Self {
            loopback: true,
            private: true,
            sockets: true,
            permitted: Vec::new(),
        }
    }

    /// For a shared installation: public addresses, and the networks that its operator permits.
    pub fn public_only(permitted: Vec<Cidr>) -> Self {
        Self {
            loopback: false,
            private: false,
            sockets: false,
            permitted,
        }
    }

    /// Says whether unix sockets may be reached.
    pub fn check_socket(&self) -> Result<(), NetworkRule> {
        if self.sockets {
            Ok(())
        } else {
            Err(NetworkRule::Socket)
        }
    }

    /// Says whether `address` may be reached, and if not, by which rule.
    pub fn check(&self, address: IpAddr) -> Result<(), NetworkRule> {
        let address = carried_v4(address).map_or(address, IpAddr::V4);
        let rule = match class_of(address) {
            Class::Public => return Ok(()),
            Class::Never(rule) => return Err(rule),
            Class::Loopback if self.loopback => return Ok(()),
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
            Self::Loopback => "loopback addresses are only reached in permitted networks",
            Self::Private => "private addresses are only reached in permitted networks",
            Self::Socket => "unix sockets are not reached from a shared installation",
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(policy: &NetworkPolicy, address: &str) -> Result<(), NetworkRule> {
        policy.check(address.parse().unwrap())
    }

    #[test]
    fn never_reaches_what_no_server_has_business_with() {
        use NetworkRule::*;
        let everything = NetworkPolicy {
            permitted: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
            ..NetworkPolicy::desktop()
        };
        for (address, rule) in [
            ("169.254.169.254", LinkLocal),
            ("::ffff:169.254.169.254", LinkLocal),
            ("::169.254.169.254", LinkLocal),
            ("64:ff9b::169.254.169.254", LinkLocal),
            ("2002:a9fe:a9fe::1", LinkLocal),
            ("fe80::1", LinkLocal),
            ("fd00:ec2::254", Metadata),
            ("100.100.100.200", Metadata),
            ("168.63.129.16", Metadata),
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("::", Unspecified),
            ("::ffff:0.0.0.0", Unspecified),
            ("224.0.0.1", Multicast),
            ("ff02::1", Multicast),
            ("255.255.255.255", Broadcast),
        ] {
            assert_eq!(check(&everything, address), Err(rule), "{address}");
        }
    }

    #[test]
    fn reaches_loopback_and_private_networks_on_the_desktop_only() {
        let shared = NetworkPolicy::public_only(Vec::new());
        for (address, rule) in [
            ("127.0.0.1", NetworkRule::Loopback),
            ("127.9.9.9", NetworkRule::Loopback),
            ("::1", NetworkRule::Loopback),
            ("::ffff:127.0.0.1", NetworkRule::Loopback),
            ("10.1.2.3", NetworkRule::Private),
            ("172.31.0.1", NetworkRule::Private),
            ("192.168.0.1", NetworkRule::Private),
            ("100.64.0.1", NetworkRule::Private),
            ("::ffff:10.0.0.1", NetworkRule::Private),
            ("fd12::1", NetworkRule::Private),
        ] {
            assert_eq!(
                check(&NetworkPolicy::desktop(), address),
                Ok(()),
                "{address}"
            );
            assert_eq!(check(&shared, address), Err(rule), "{address}");
        }
        for address in ["93.184.216.34", "172.32.0.1", "2606:2800:220:1::1"] {
            assert_eq!(check(&shared, address), Ok(()), "{address}");
        }
    }

    #[test]
    fn permits_the_networks_it_is_told() {
        let policy = NetworkPolicy::public_only(vec![
            "10.20.0.0/16".parse().unwrap(),
            "127.0.0.1".parse().unwrap(),
            "fd12:3456::/32".parse().unwrap(),
        ]);
        for address in [
            "10.20.255.1",
            "127.0.0.1",
            "::ffff:10.20.0.1",
            "fd12:3456::9",
        ] {
            assert_eq!(check(&policy, address), Ok(()), "{address}");
        }
        for address in ["10.21.0.1", "127.0.0.2", "fd12:3457::9", "::1"] {
            assert!(check(&policy, address).is_err(), "{address}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_network() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0/8",
            "::/129",
            "host/8",
            "10.0.0.0/",
        ] {
            let error = text.parse::<Cidr>().unwrap_err();
            assert!(error.to_string().contains("is not a network"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_network_contains_its_own_address(bits: u32, wide: u128, v4 in 0u32..=32, v6 in 0u32..=128) {
            let address = Ipv4Addr::from_bits(bits);
            let network: Cidr = format!("{address}/{v4}").parse().unwrap();
            prop_assert!(network.contains(address.into()));
            let address = Ipv6Addr::from_bits(wide);
            let network: Cidr = format!("{address}/{v6}").parse().unwrap();
            prop_assert!(network.contains(address.into()));
        }

        #[test]
        fn a_mapped_address_is_judged_like_the_address_itself(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            for policy in [NetworkPolicy::desktop(), NetworkPolicy::public_only(Vec::new())] {
                prop_assert_eq!(
                    policy.check(address.into()),
                    policy.check(address.to_ipv6_mapped().into())
                );
            }
        }
    }
}
