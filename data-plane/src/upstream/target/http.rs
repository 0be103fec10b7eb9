//! Servers that are reached by HTTP: at a URL, or in a container of the same pod.

use std::collections::BTreeMap;

use gateway_core::TenantId;
use gateway_core::config::{RemoteAuth, Setting, SidecarAddress, Violation};
use gateway_mcp::client::{ClientError, HttpEndpoint};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Resolved, resolve};
use crate::config::Permits;

/// Where an MCP server answers, unless it is said otherwise.
const PATH: &str = "/mcp";

/// A remote server's endpoint, and what its headers resolved to. `path` is the server's field.
pub(super) fn remote(
    permits: &Permits,
    tenant: &TenantId,
    path: &str,
    spec: (&str, &BTreeMap<String, Setting>, Option<&RemoteAuth>),
) -> Result<(HttpEndpoint, Resolved), Vec<Violation>> {
    let (endpoint, headers, auth) = spec;
    let mut settings: Vec<(String, &Setting)> = headers
        .iter()
        .map(|(key, value)| (key.clone(), value))
        .collect();
    let bearer = auth.map(|RemoteAuth::Bearer(secret)| Setting::Secret(secret.clone()));
    if let Some(bearer) = &bearer {
        settings.push((AUTHORIZATION.to_string(), bearer));
    }
    let values = resolve(permits, tenant, &format!("{path}.headers"), settings)?;
    let headers = header_map(&values, bearer.is_some()).map_err(|name| {
        vec![Violation::new(
            format!("{path}.headers.{name}"),
            "its value cannot stand in a header",
        )]
    })?;
    let url = with_default_path(endpoint);
    let limit = permits.max_message_bytes;
    let endpoint = HttpEndpoint::new(&url, &permits.connector, headers, limit);
    let endpoint = endpoint.map_err(|error| unusable(path, "endpoint", &error))?;
    Ok((endpoint, values))
}

/// A sidecar's endpoint. `path` is the server's field, `below` where on the sidecar MCP is.
pub(super) fn sidecar(
    permits: &Permits,
    path: &str,
    address: &SidecarAddress,
    below: Option<&str>,
) -> Result<HttpEndpoint, Vec<Violation>> {
    let (connector, limit) = (&permits.connector, permits.max_message_bytes);
    let below = below.unwrap_or(PATH);
    let headers = HeaderMap::new();
    match address {
        SidecarAddress::Port(port) => {
            let url = format!("http://127.0.0.1:{port}{below}");
            let endpoint = HttpEndpoint::new(&url, connector, headers, limit);
            endpoint.map_err(|error| unusable(path, "port", &error))
        }
        #[cfg(unix)]
        SidecarAddress::Socket(socket) => {
            let endpoint = HttpEndpoint::on_socket(socket, below, connector, headers, limit);
            endpoint.map_err(|error| unusable(path, "socket", &error))
        }
        #[cfg(not(unix))]
        SidecarAddress::Socket(_) => Err(vec![Violation::new(
            format!("{path}.socket"),
            "this system has no unix sockets: use `port`",
        )]),
    }
}

fn unusable(path: &str, field: &str, error: &ClientError) -> Vec<Violation> {
    vec![Violation::new(format!("{path}.{field}"), error.to_string())]
}

/// A URL without a path means `/mcp`.
fn with_default_path(endpoint: &str) -> String {
    let has_path = endpoint
        .split_once("://")
        .is_some_and(|(_, rest)| rest.contains(['/', '?']));
    if has_path {
        endpoint.to_owned()
    } else {
        format!("{endpoint}{PATH}")
    }
}

fn header_map(values: &[(String, String)], has_bearer: bool) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (key, value) in values {
        let name = HeaderName::try_from(key.as_str()).map_err(|_| key.clone())?;
        let text = if has_bearer && name == AUTHORIZATION {
            format!("Bearer {value}")
        } else {
            value.clone()
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| key.clone())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::with_default_path;

    #[test]
    fn a_url_without_a_path_means_mcp() {
        assert_eq!(with_default_path("http://a:1"), "http://a:1/mcp");
        assert_eq!(with_default_path("http://a:1/"), "http://a:1/");
        assert_eq!(with_default_path("https://a/x?y"), "https://a/x?y");
    }
}
