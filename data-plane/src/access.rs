//! Which web pages and host names may talk to a listener: the guard against DNS rebinding.

use std::borrow::Cow;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Uri};

/// The host names under which a listener answers, and from whose pages browsers may call it.
#[derive(Debug, Clone)]
pub struct Access {
    hosts: Vec<String>,
}

/// A request that is not for this listener, or not from a page that may use it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("host `{0}` is not served here: use localhost, or add it with --allowed-host")]
    Host(String),
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
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
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
        let rest = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        rest.is_some_and(|authority| self.knows(authority))
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
