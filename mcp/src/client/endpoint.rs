//! An MCP server's HTTP endpoint: its address, its connection pool, and the limits on its answers.

use std::fmt;
#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connector::Connector;
use super::error::{ClientError, excerpt};
#[cfg(unix)]
use super::socket::SocketDialer;
use super::tls::TlsDialer;

/// Widespread servers close a connection after five idle seconds. Giving it up before they do
/// avoids sending a request into a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Idle connections kept; more may be open while requests are under way.
const IDLE_CONNECTIONS: usize = 32;

/// One endpoint. Cheap to clone; clones share the connection pool.
#[derive(Clone)]
pub struct HttpEndpoint {
    url: Uri,
    name: Arc<str>,
    pool: Pool,
    headers: HeaderMap,
    max_message_bytes: usize,
}

/// The connections to an endpoint, by the way that leads there.
#[derive(Clone)]
enum Pool {
    Network(Client<TlsDialer, Full<Bytes>>),
    #[cfg(unix)]
    Socket(Client<SocketDialer, Full<Bytes>>),
}

impl HttpEndpoint {
    /// The endpoint at `url`, whose requests all carry `headers`, and whose messages may have up
    /// to `max_message_bytes`. `unix:///PATH` is `/mcp` on that socket.
    pub fn new(
        url: &str,
        connector: &Connector,
        headers: HeaderMap,
        max_message_bytes: usize,
    ) -> Result<Self, ClientError> {
        #[cfg(unix)]
        if let Some(path) = url.strip_prefix("unix://") {
            let path = Path::new(path);
            return Self::on_socket(path, "/mcp", connector, headers, max_message_bytes);
        }
        let url = parse_url(url)?;
        connector
            .check(&url)
            .map_err(|rule| ClientError::InvalidEndpoint {
                url: name_of(&url),
                reason: rule.text(),
            })?;
        Ok(Self {
            name: name_of(&url).into(),
            url,
            pool: Pool::Network(pooled(connector.service())),
            headers,
            max_message_bytes,
        })
    }

    /// The endpoint at a path of the HTTP server that listens on a unix socket.
    #[cfg(unix)]
    pub fn on_socket(
        socket: &Path,
        path: &str,
        connector: &Connector,
        headers: HeaderMap,
        max_message_bytes: usize,
    ) -> Result<Self, ClientError> {
        let name = format!("unix://{}", socket.display());
        let invalid = |reason| ClientError::InvalidEndpoint {
            url: name.clone(),
            reason,
        };
        if !socket.is_absolute() {
            return Err(invalid("it does not name the whole path of a socket"));
        }
        let dialer = connector.socket(socket);
        let dialer = dialer.map_err(|rule| invalid(rule.text()))?;
        // No host is needed to find the server; the usual one is let pass by everybody.
        Ok(Self {
            url: parse_url(&format!("http://localhost{path}"))?,
            name: name.into(),
            pool: Pool::Socket(pooled(dialer)),
            headers,
            max_message_bytes,
        })
    }

    /// The same endpoint and connection pool with further headers, such as one user's credentials,
    /// which override those of the same names.
    #[must_use]
    pub fn with_further(&self, headers: HeaderMap) -> Self {
        let mut endpoint = self.clone();
        override_with(&mut endpoint.headers, &headers);
        endpoint
    }

    /// The same server at another address; in logs and errors it keeps its name.
    pub(super) fn at(&self, url: Uri) -> Self {
        Self {
            url,
            ..self.clone()
        }
    }

    pub(super) fn url(&self) -> &Uri {
        &self.url
    }

    /// What the address says beyond scheme, host and port.
    pub(super) fn path_and_query(&self) -> &str {
        let path_and_query = self.url.path_and_query();
        path_and_query.map_or("/", |path| path.as_str())
    }

    /// The address without its query, which may hold a secret.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
    }

    /// Posts one message. `extra` overrides the endpoint's own headers; `protocol` overrides both.
    pub(super) fn post(
        &self,
        extra: &HeaderMap,
        protocol: &HeaderMap,
        message: Bytes,
    ) -> impl Future<Output = Result<Response<Incoming>, ClientError>> + Send + use<> {
        let mut request = self.request(Method::POST, message);
        let headers = request.headers_mut();
        override_with(headers, extra);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        override_with(headers, protocol);
        self.send(request)
    }

    /// Asks for a stream of events; `extra` and `protocol` as in [`Self::post`].
    pub(super) fn get(
        &self,
        extra: &HeaderMap,
        protocol: &HeaderMap,
    ) -> impl Future<Output = Result<Response<Incoming>, ClientError>> + Send + use<> {
        let mut request = self.request(Method::GET, Bytes::new());
        let headers = request.headers_mut();
        override_with(headers, extra);
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        override_with(headers, protocol);
        self.send(request)
    }

    /// Asks the server to end the session that `protocol` names.
    pub(super) fn delete(
        &self,
        protocol: &HeaderMap,
    ) -> impl Future<Output = Result<Response<Incoming>, ClientError>> + Send + use<> {
        let mut request = self.request(Method::DELETE, Bytes::new());
        override_with(request.headers_mut(), protocol);
        self.send(request)
    }

    fn request(&self, method: Method, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// No `async fn`: its future would hold the request and itself besides.
    fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<Response<Incoming>, ClientError>> + Send + use<> {
        let sent = match &self.pool {
            Pool::Network(client) => client.request(request),
            #[cfg(unix)]
            Pool::Socket(client) => client.request(request),
        };
        let name = Arc::clone(&self.name);
        sent.map(|sent| accepted(name, sent))
    }
}

/// Header values and the query are left out: they may be secrets.
impl fmt::Debug for HttpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpEndpoint")
            .field("name", &self.name)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("max_message_bytes", &self.max_message_bytes)
            .finish_non_exhaustive()
    }
}

/// An answer that can be one to a message.
fn accepted(
    name: Arc<str>,
    sent: Result<Response<Incoming>, hyper_util::client::legacy::Error>,
) -> Result<Response<Incoming>, ClientError> {
    let response = match sent {
        Ok(response) => response,
        Err(error) if error.is_connect() => {
            return Err(ClientError::Unreachable {
                endpoint: name,
                source: error.into(),
            });
        }
        Err(error) => {
            return Err(ClientError::StreamLost {
                server: name,
                source: Some(error.into()),
            });
        }
    };
    if response.status().is_redirection() {
        let location = response.headers().get(LOCATION).map(HeaderValue::as_bytes);
        return Err(ClientError::Redirect {
            endpoint: name,
            status: response.status(),
            location: excerpt(location.unwrap_or(b"(nowhere)"), 200),
        });
    }
    Ok(response)
}

fn pooled<C>(connector: C) -> Client<C, Full<Bytes>>
where
    C: Connect + Clone,
{
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .build(connector)
}

fn parse_url(text: &str) -> Result<Uri, ClientError> {
    // Neither the query nor a user's password is repeated in an error.
    let shown = text
        .split('?')
        .next()
        .filter(|shown| !shown.contains('@'))
        .unwrap_or("…");
    let invalid = |url: &str, reason| ClientError::InvalidEndpoint {
        url: url.to_owned(),
        reason,
    };
    let url: Uri = text
        .parse()
        .map_err(|_| invalid(shown, "it is not a URL"))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(invalid(shown, "it does not begin with http:// or https://"));
    }
    let Some(authority) = url.authority() else {
        return Err(invalid(shown, "it names no host"));
    };
    if authority.as_str().contains('@') {
        let reason = "it holds a user name or password: configure these as a credential";
        return Err(invalid(shown, reason));
    }
    if authority.host().is_empty() {
        return Err(invalid(shown, "it names no host"));
    }
    Ok(url)
}

fn name_of(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or_default();
    let authority = url
        .authority()
        .map(|authority| authority.as_str())
        .unwrap_or_default();
    format!("{scheme}://{authority}{}", url.path())
}

/// Puts `headers` in the place of those with the same names.
fn override_with(target: &mut HeaderMap, headers: &HeaderMap) {
    let mut last = None;
    for (name, value) in headers {
        // The values of one name stand one behind the other.
        if last.replace(name) == Some(name) {
            target.append(name.clone(), value.clone());
        } else {
            target.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::network::NetworkPolicy;

    fn endpoint(url: &str) -> Result<HttpEndpoint, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert("x-key", HeaderValue::from_static("hunter2"));
        HttpEndpoint::new(
            url,
            &Connector::new(NetworkPolicy::desktop()).unwrap(),
            headers,
            1,
        )
    }

    #[test]
    fn refuses_what_is_not_an_http_url() {
        for url in [
            "",
            "localhost:80",
            "/mcp",
            "ftp://host/",
            "unix://x",
            "http://",
        ] {
            let error = endpoint(url).unwrap_err();
            assert!(
                matches!(error, ClientError::InvalidEndpoint { .. }),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn shows_neither_password_nor_query_nor_header_values() {
        let error = endpoint("https://me:hunter2@host/mcp")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("credential") && !error.contains("hunter2"),
            "{error}"
        );
        let endpoint = endpoint("https://host:8443/mcp?key=hunter2").unwrap();
        assert_eq!(&**endpoint.name(), "https://host:8443/mcp");
        assert!(!format!("{endpoint:?}").contains("hunter2"));
    }

    #[test]
    fn overriding_headers_replaces_all_values_of_a_name() {
        let mut target = HeaderMap::new();
        target.append("a", HeaderValue::from_static("1"));
        target.append("a", HeaderValue::from_static("2"));
        target.append("b", HeaderValue::from_static("3"));
        let mut over = HeaderMap::new();
        over.append("a", HeaderValue::from_static("4"));
        over.append("a", HeaderValue::from_static("5"));
        override_with(&mut target, &over);
        assert_eq!(target.get_all("a").iter().collect::<Vec<_>>(), ["4", "5"]);
        assert_eq!(target["b"], "3");
    }
}
