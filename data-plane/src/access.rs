//! Which web pages and host names may talk to a listener: the guard against DNS rebinding.

use std::borrow::Cow;

use gateway_core::TenantId;
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Uri};

use crate::hosts::Hosts;

/// The host names under which a listener answers, and from whose pages browsers may call it.
#[derive(Debug, Clone)]
pub struct Access {
    hosts: Vec<String>,
}

/// A request that is not for this listener, or not from a page that may use it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This host name is not one of its own.
    #[error("host `{0}` is not served here: use localhost, or add it with --allowed-host")]
    Host(String),
    /// Pages from here may not use it.
    #[error("origin `{0}` may not use this gateway: add its host with --allowed-host")]
    Origin(String),
}

impl Access {
    /// Loopback names, and those that the operator adds.
    pub fn new(additional: impl IntoIterator<Item = String>) -> Self {
        let own = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let additional = additional.into_iter().map(|host| host.to_ascii_lowercase());
        Self {
            hosts: own.into_iter().chain(additional).collect(),
        }
    }

    /// Checks `Host` (or the authority of an HTTP/2 request) and, where there is one, `Origin`.
    ///
    /// # Errors
    /// The request is for another host, or of a page that may not make it.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut hosts = headers.get_all(HOST).iter();
        let (named, is_repeated) = (hosts.next().map(text), hosts.next().is_some());
        let host = uri.authority().map(|a| Cow::Borrowed(a.as_str()));
        let host = host.or(named).unwrap_or_default();
        if is_repeated || !self.knows(&host) {
            return Err(Refusal::Host(host.into_owned()));
        }
        match headers.get(ORIGIN).map(text) {
            Some(origin) if !self.knows_origin(&origin) => {
                Err(Refusal::Origin(origin.into_owned()))
            }
            _ => Ok(()),
        }
    }

    fn knows_origin(&self, origin: &str) -> bool {
        authority_of(origin).is_some_and(|authority| self.knows(authority))
    }

    /// Checks the same where host names may stand for tenants; says for which tenant the request's
    /// does. Pages that come from a tenant's host may use the hosts of that tenant, and no other.
    pub(crate) fn check_tenant(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        hosts: &Hosts,
    ) -> Result<Option<TenantId>, Refusal> {
        if hosts.is_empty() {
            return self.check(uri, headers).map(|()| None);
        }
        let named = headers.get(HOST).map(text);
        let host = uri.authority().map(|a| Cow::Borrowed(a.as_str()));
        let host = host.or(named).unwrap_or_default();
        let tenant = tenant_of(&host, hosts);
        let origin = headers.get(ORIGIN).map(text);
        let of_origin = origin.as_deref().and_then(authority_of);
        let of_origin = of_origin.and_then(|authority| tenant_of(authority, hosts));
        let foreign = |origin: Cow<'_, str>| Refusal::Origin(origin.into_owned());
        match (&tenant, of_origin, origin) {
            (None, None, _) => return self.check(uri, headers).map(|()| None),
            (own, Some(other), Some(origin)) if own.as_ref() != Some(&other) => {
                return Err(foreign(origin));
            }
            (Some(_), None, Some(origin)) if !self.knows_origin(&origin) => {
                return Err(foreign(origin));
            }
            _ => {}
        }
        if headers.get_all(HOST).iter().nth(1).is_some() {
            return Err(Refusal::Host(host.into_owned()));
        }
        Ok(tenant)
    }

    /// Compares without the port: whoever may use one port of a host may use another.
    fn knows(&self, authority: &str) -> bool {
        let is_known = |name: &str| {
            self.hosts
                .iter()
                .any(|host| host.eq_ignore_ascii_case(name))
        };
        // As nearly all write it.
        let usual = authority.rsplit_once(':').filter(|(_, port)| {
            (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
        });
        if usual.is_some_and(|(host, _)| is_known(host)) {
            return true;
        }
        let Ok(authority) = authority.parse::<http::uri::Authority>() else {
            return false;
        };
        !authority.as_str().contains('@') && is_known(authority.host())
    }
}

/// Of an origin that is a web page's.
fn authority_of(origin: &str) -> Option<&str> {
    origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"))
}

/// The tenant that an authority's host stands for, on whatever port.
fn tenant_of(authority: &str, hosts: &Hosts) -> Option<TenantId> {
    let authority: http::uri::Authority = authority.parse().ok()?;
    let (host, whole) = (authority.host(), authority.as_str());
    let is_plain = host == whole || authority.port_u16().is_some();
    (is_plain && !whole.contains('@'))
        .then(|| hosts.tenant(host))
        .flatten()
}

fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, origin: Option<&str>) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        Access::new(["gateway.example".to_owned()]).check(&Uri::from_static("/mcp"), &headers)
    }

    #[test]
    fn loopback_and_added_hosts_are_served_on_any_port() {
        for host in [
            "localhost",
            "localhost:8811",
            "127.0.0.1:1",
            "[::1]:8811",
            "Gateway.Example",
        ] {
            assert_eq!(check(host, None), Ok(()), "{host}");
            assert_eq!(
                check(host, Some(&format!("http://{host}"))),
                Ok(()),
                "{host}"
            );
        }
    }

    #[test]
    fn a_rebound_host_is_refused() {
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "user@localhost",
            "127.0.0.2",
        ] {
            assert!(matches!(check(host, None), Err(Refusal::Host(_))), "{host}");
        }
    }

    fn at(
        hosts: &[&str],
        origin: Option<&str>,
        uri: &'static str,
    ) -> Result<Option<String>, Refusal> {
        let table = Hosts::default();
        let names = [
            ("acme.example", "acme"),
            ("a2.example", "acme"),
            ("zoo.example", "zoo"),
        ];
        let names = names.map(|(host, tenant)| (host.parse().unwrap(), tenant.parse().unwrap()));
        table.replace(names.into());
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let access = Access::new(["gateway.example".to_owned()]);
        let found = access.check_tenant(&Uri::from_static(uri), &headers, &table);
        found.map(|tenant| tenant.map(|tenant| tenant.to_string()))
    }

    #[test]
    fn a_host_name_stands_for_its_tenant() {
        for host in ["acme.example", "ACME.example:8811", "a2.example:1"] {
            assert_eq!(
                at(&[host], None, "/mcp"),
                Ok(Some("acme".to_owned())),
                "{host}"
            );
        }
        for host in ["localhost", "gateway.example:1"] {
            assert_eq!(at(&[host], None, "/mcp"), Ok(None), "{host}");
        }
        // What a request is for says its URI first.
        let absolute = "http://zoo.example/mcp";
        assert_eq!(
            at(&["acme.example"], None, absolute),
            Ok(Some("zoo".to_owned()))
        );
        for hosts in [
            &["acme.example."][..],
            &["x.acme.example"],
            &["a@acme.example"],
            &["acme.example:port"],
            &["acme.example", "acme.example"],
            &["localhost", "acme.example"],
            &["acme.example", "localhost"],
            &[],
        ] {
            let refused = at(hosts, None, "/mcp");
            assert!(
                matches!(refused, Err(Refusal::Host(_))),
                "{hosts:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn pages_of_a_tenants_host_use_the_hosts_of_that_tenant_only() {
        for (host, origin, may) in [
            ("acme.example", "https://acme.example", true),
            ("acme.example", "https://a2.example:3000", true),
            ("acme.example", "https://gateway.example", true),
            ("acme.example", "https://zoo.example", false),
            ("acme.example", "https://evil.example", false),
            ("acme.example", "null", false),
            ("localhost", "https://acme.example", false),
            ("gateway.example", "https://acme.example", false),
            ("gateway.example", "https://gateway.example", true),
        ] {
            let outcome = at(&[host], Some(origin), "/mcp");
            assert_eq!(outcome.is_ok(), may, "{host} from {origin}: {outcome:?}");
        }
    }

    #[test]
    fn a_foreign_page_is_refused() {
        for origin in [
            "null",
            "http://evil.example",
            "file://localhost",
            "http://localhost.evil.example",
        ] {
            assert!(
                matches!(check("localhost", Some(origin)), Err(Refusal::Origin(_))),
                "{origin}"
            );
        }
    }
}
