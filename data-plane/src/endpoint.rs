//! Which view of which tenant a URL path names.

use gateway_core::{ProfileName, ServerName, TenantId};

/// What a client has connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) tenant: TenantId,
    pub(crate) view: View,
}

/// What of the tenant it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum View {
    /// Every server.
    All,
    /// One server, nothing renamed.
    Server(ServerName),
    /// A profile.
    Profile(ProfileName),
}

/// A path below `/t/TENANT` under a host name that stands for another tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this host name is not for the tenant in the path: leave `/t/TENANT` out")]
pub(crate) struct HostDisagrees {
    /// What the host name alone would name.
    pub(crate) of_host: Endpoint,
}

impl Endpoint {
    /// The endpoint of a path under a host name that stands for a tenant, or for none.
    pub(crate) fn at(path: &str, host: Option<TenantId>) -> Result<Option<Self>, HostDisagrees> {
        let named = Self::parse(path);
        let Some(tenant) = host else {
            return Ok(named);
        };
        let Some(named) = named else {
            return Ok(None);
        };
        let disagrees = path.starts_with("/t/") && named.tenant != tenant;
        let of_host = Self { tenant, ..named };
        match disagrees {
            true => Err(HostDisagrees { of_host }),
            false => Ok(Some(of_host)),
        }
    }

    /// `/mcp`, `/s/SERVER/mcp`, `/p/PROFILE/mcp`, and each of them below `/t/TENANT`.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let (tenant, rest) = match path.strip_prefix("/t/") {
            Some(rest) => {
                let (tenant, _) = rest.split_once('/')?;
                (tenant.parse().ok()?, rest.strip_prefix(tenant)?)
            }
            None => (TenantId::default_tenant(), path),
        };
        let rest = rest.strip_suffix("/mcp")?;
        let view = match rest.strip_prefix('/') {
            None if rest.is_empty() => View::All,
            None => return None,
            Some(view) => match view.split_once('/')? {
                ("s", server) => View::Server(server.parse().ok()?),
                ("p", profile) => View::Profile(profile.parse().ok()?),
                _ => return None,
            },
        };
        Some(Self { tenant, view })
    }

    /// The path that names it, whatever it was named by.
    pub(crate) fn path(&self) -> String {
        let tenant = &self.tenant;
        match &self.view {
            View::All => format!("/t/{tenant}/mcp"),
            View::Server(server) => format!("/t/{tenant}/s/{server}/mcp"),
            View::Profile(profile) => format!("/t/{tenant}/p/{profile}/mcp"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(path: &str) -> Option<(String, View)> {
        Endpoint::parse(path).map(|endpoint| (endpoint.tenant.to_string(), endpoint.view))
    }

    #[test]
    fn names_tenants_servers_and_profiles() {
        let server = View::Server("files".parse().unwrap());
        let profile = View::Profile("dev".parse().unwrap());
        assert_eq!(view("/mcp"), Some(("default".into(), View::All)));
        assert_eq!(
            view("/s/files/mcp"),
            Some(("default".into(), server.clone()))
        );
        assert_eq!(view("/p/dev/mcp"), Some(("default".into(), profile)));
        assert_eq!(view("/t/acme/mcp"), Some(("acme".into(), View::All)));
        assert_eq!(view("/t/acme/s/files/mcp"), Some(("acme".into(), server)));
    }

    #[test]
    fn has_one_path_by_which_it_is_found_again() {
        for path in ["/mcp", "/s/files/mcp", "/t/acme/p/dev/mcp", "/t/acme/mcp"] {
            let endpoint = Endpoint::parse(path).unwrap();
            assert_eq!(Endpoint::parse(&endpoint.path()), Some(endpoint), "{path}");
        }
    }

    #[test]
    fn under_a_tenants_host_a_path_is_that_tenants() {
        let at = |path: &str| Endpoint::at(path, Some("acme".parse().unwrap()));
        for (path, same) in [
            ("/mcp", "/t/acme/mcp"),
            ("/s/files/mcp", "/t/acme/s/files/mcp"),
            ("/p/dev/mcp", "/t/acme/p/dev/mcp"),
            ("/t/acme/mcp", "/t/acme/mcp"),
            ("/t/acme", "/nothing"),
        ] {
            assert_eq!(at(path), Ok(Endpoint::parse(same)), "{path}");
        }
        for path in ["/t/zoo/mcp", "/t/default/mcp", "/t/never/s/files/mcp"] {
            let refused = at(path).unwrap_err();
            assert_eq!(refused.of_host.tenant.as_str(), "acme", "{path}");
        }
        let bare = Endpoint::at("/t/zoo/mcp", None);
        assert_eq!(bare, Ok(Endpoint::parse("/t/zoo/mcp")));
    }

    #[test]
    fn everything_else_is_nothing() {
        for path in [
            "/",
            "",
            "mcp",
            "/mcp/",
            "/mcp2",
            "//mcp",
            "/s/mcp",
            "/s//mcp",
            "/s/a/b/mcp",
            "/s/A/mcp",
            "/x/a/mcp",
            "/t/acme",
            "/t//mcp",
            "/t/../mcp",
            "/t/a%2fb/mcp",
            "/s/a/mcp/mcp",
        ] {
            assert_eq!(view(path), None, "{path}");
        }
    }
}
