//! Credential injection: what an outgoing request must carry so that the server accepts it.

use async_trait::async_trait;
use secrecy::SecretString;

use crate::{CallContext, PluginError, ServerName, UserId};

/// An outgoing request as the proxy sees it. It borrows: most proxies only add a header.
#[derive(Debug, Clone, Copy)]
pub struct ProxyRequest<'a> {
    /// On whose behalf the request is made.
    pub user_id: &'a UserId,
    /// The configured server that it goes to.
    pub server: &'a ServerName,
    /// The URL it goes to; `stdio:NAME` for a child process.
    pub target_url: &'a str,
    /// The HTTP method.
    pub method: &'a str,
    /// The headers so far, names in lower case. The client's own credentials are not among them.
    pub headers: &'a [(String, String)],
    /// The JSON-RPC message.
    pub body: &'a str,
}

/// What a proxy adds to a request.
#[derive(Debug, Default)]
pub struct Injection {
    /// Headers to set, replacing those of the same name. The gateway refuses `Host`,
    /// `Content-Length`, hop-by-hop and `Mcp-*` headers.
    ///
    /// For a child process these are variables of its environment; a header's name is written as
    /// variables are, `api-token` as `API_TOKEN`. The gateway refuses those that decide what a program runs, such as `PATH`.
    ///
    /// As long as these stay the same, so do the user's sessions and children at the server; with
    /// others they are made anew.
    pub headers: Vec<(String, SecretString)>,
    /// A body to send instead. `None` leaves it. `id`, `method`, name and `_meta` must be those
    /// of the original; the gateway checks.
    pub body: Option<String>,
}

/// Puts credentials into outgoing requests. MCP tool: `inject_credentials`.
#[async_trait]
pub trait AuthProxy: Send + Sync {
    /// Says what to add to the request so that the server accepts it.
    ///
    /// Has no side effect on the request itself, so it may be repeated or dropped at any await.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when the user has no credential for
    /// this server: with `credentials: optional` the request goes without, with `required` it is
    /// refused. Any other error: the request is not sent.
    async fn inject_credentials(
        &self,
        context: &CallContext,
        request: ProxyRequest<'_>,
    ) -> Result<Injection, PluginError>;
}
