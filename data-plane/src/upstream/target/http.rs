//! Servers that are reached by HTTP: at a URL, or in a container of the same pod.

use std::collections::BTreeMap;

use gateway_core::TenantId;
use gateway_core::config::{RemoteAuth, ServerTls, Setting, SidecarAddress, Violation};
use gateway_mcp::client::{ClientError, Connector, HttpEndpoint, TlsMaterial};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Resolved, resolve};
use crate::config::Outbound;

/// Where an MCP server answers, unless it is said otherwise.
const PATH: &str = "/mcp";

/// What the configuration says of a remote server.
pub(super) struct Remote<'a> {
    pub(super) endpoint: &'a str,
    pub(super) headers: &'a BTreeMap<String, Setting>,
    pub(super) auth: Option<&'a RemoteAuth>,
    pub(super) tls: Option<&'a ServerTls>,
}

/// A remote server's endpoint, and what its secrets resolved to. `path` is the server's field.
pub(super) fn remote(
    outbound: &Outbound,
    tenant: &TenantId,
    path: &str,
    spec: &Remote<'_>,
) -> Result<(HttpEndpoint, Resolved), Vec<Violation>> {
    let (headers, mut values) = headers(outbound, tenant, path, (spec.headers, spec.auth))?;
    let url = with_default_path(spec.endpoint);
    let limit = outbound.max_message_bytes;
    let endpoint = match spec.tls {
        None => HttpEndpoint::new(&url, &outbound.connector, headers, limit),
        Some(tls) => {
            let (connector, material) = trusting(outbound, tenant, path, tls)?;
            values.extend(material);
            HttpEndpoint::new(&url, &connector, headers, limit)
        }
    };
    let endpoint = endpoint.map_err(|error| unusable(path, "endpoint", &error))?;
    Ok((endpoint, values))
}

/// What connects as `tls` says.
fn trusting(
    outbound: &Outbound,
    tenant: &TenantId,
    path: &str,
    tls: &ServerTls,
) -> Result<(Connector, Resolved), Vec<Violation>> {
    let path = format!("{path}.tls");
    let settings: Vec<_> = tls
        .secrets()
        .map(|(field, secret)| (field, Setting::Secret(secret.clone())))
        .collect();
    let settings = settings
        .iter()
        .map(|(field, setting)| ((*field).to_owned(), setting));
    let values = resolve(outbound, tenant, &path, settings.collect())?;
    let value = |field: &str| {
        let mut values = values.iter();
        values.find_map(|(name, value)| (name == field).then_some(value.as_str()))
    };
    let material = TlsMaterial {
        ca: value("ca"),
        cert: value("cert"),
        key: value("key"),
    };
    let connector = outbound.connector.with_tls(material).map_err(|error| {
        let field = format!("{path}.{}", error.field());
        vec![Violation::new(field, error.to_string())]
    })?;
    let values = values.into_iter();
    let values = values.map(|(field, value)| (format!("tls.{field}"), value));
    Ok((connector, values.collect()))
}

/// The headers of every request, and what they resolved to.
fn headers(
    outbound: &Outbound,
    tenant: &TenantId,
    path: &str,
    (headers, auth): (&BTreeMap<String, Setting>, Option<&RemoteAuth>),
) -> Result<(HeaderMap, Resolved), Vec<Violation>> {
    let mut settings: Vec<(String, &Setting)> = headers
        .iter()
        .map(|(key, value)| (key.clone(), value))
        .collect();
    let bearer = auth.map(|RemoteAuth::Bearer(secret)| Setting::Secret(secret.clone()));
    if let Some(bearer) = &bearer {
        settings.push((AUTHORIZATION.to_string(), bearer));
    }
    let values = resolve(outbound, tenant, &format!("{path}.headers"), settings)?;
    let headers = header_map(&values, bearer.is_some()).map_err(|name| {
        vec![Violation::new(
            format!("{path}.headers.{name}"),
            "its value cannot stand in a header",
        )]
    })?;
    Ok((headers, values))
}

/// A sidecar's endpoint, and what its secrets resolved to. `path` is the server's field, `below` where on the sidecar
/// MCP is.
pub(super) fn sidecar(
    outbound: &Outbound,
    tenant: &TenantId,
    path: &str,
    (address, below): (&SidecarAddress, Option<&str>),
    auth: Option<&RemoteAuth>,
) -> Result<(HttpEndpoint, Resolved), Vec<Violation>> {
    let (connector, limit) = (&outbound.connector, outbound.max_message_bytes);
    let below = below.unwrap_or(PATH);
    let (headers, values) = headers(outbound, tenant, path, (&BTreeMap::new(), auth))?;
    let endpoint = match address {
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
    };
    Ok((endpoint?, values))
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
