//! Which addresses are reached, by every spelling of them.

use proptest::prelude::*;

use super::*;

fn check(policy: &NetworkPolicy, address: &str) -> Result<(), NetworkRule> {
    policy.check(SocketAddr::new(address.parse().unwrap(), 9000))
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
                policy.check(SocketAddr::new(address.into(), 9000)),
                policy.check(SocketAddr::new(address.to_ipv6_mapped().into(), 9000))
            );
        }
    }
}

#[test]
fn reaches_sidecars_at_their_ports_and_nothing_else_there() {
    let policy = NetworkPolicy::public_only(Vec::new()).with_sidecar_ports(vec![9000, 9001]);
    let check = |address: &str| policy.check(address.parse().unwrap());
    for address in [
        "127.0.0.1:9000",
        "127.0.0.1:9001",
        "[::1]:9000",
        "[::ffff:127.0.0.1]:9000",
    ] {
        assert_eq!(check(address), Ok(()), "{address}");
    }
    for (address, rule) in [
        ("127.0.0.1:9002", NetworkRule::Loopback),
        ("[::1]:80", NetworkRule::Loopback),
        ("10.0.0.1:9000", NetworkRule::Private),
        ("169.254.169.254:9000", NetworkRule::LinkLocal),
        ("0.0.0.0:9000", NetworkRule::Unspecified),
    ] {
        assert_eq!(check(address), Err(rule), "{address}");
    }
}
