//! The headers that repeat a call's arguments, as modern servers over HTTP want them: written where
//! the client wrote none, and checked where no server does.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::Deadline;
use gateway_mcp::client::{Exchange, Peer};
use gateway_mcp::code;
use gateway_mcp::header::{InvalidAnnotation, ParamError, ParamHeaders, ParamMismatch};
use gateway_mcp::list::ListKind;
use gateway_mcp::message::Message;
use gateway_mcp::params::Params;
use gateway_mcp::version::Era;
use http::HeaderMap;
use tracing::debug;

use super::{AuthorizationContext, Outgoing, ToolHeaders, Upstream, UpstreamError};

/// How long a call waits for the list that says which headers it needs.
const PATIENCE: Duration = Duration::from_secs(5);

impl Upstream {
    /// Why a tool must not be called, as far as that is known.
    pub(crate) fn refusal_of(
        &self,
        tool: &str,
        context: &AuthorizationContext,
    ) -> Option<InvalidAnnotation> {
        self.tool_headers(context).refusal(tool)
    }

    /// Has the server's tools listed, unless they are known as they are now.
    pub(crate) async fn learn_tools(&self, context: &AuthorizationContext) {
        if !self.tool_headers(context).is_current() {
            let list = self.list(ListKind::Tools, context, context.user(), PATIENCE);
            drop(list.await);
        }
    }

    /// Whether the server itself checks a call's headers against its arguments.
    pub(crate) async fn checks_params(
        &self,
        context: &AuthorizationContext,
        deadline: Deadline,
    ) -> Result<bool, UpstreamError> {
        let peer = self.common.ready(context, deadline).await?;
        Ok(self.wants_params(&peer))
    }

    /// Checks a call's headers against its arguments. What does not agree may be the fault of a
    /// list that is too old, and is looked at once more.
    pub(crate) async fn check_params(
        &self,
        tool: &str,
        context: &AuthorizationContext,
        arguments: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<(), ParamMismatch> {
        let check = |known: Option<Arc<ParamHeaders>>| match known {
            Some(known) => known.check(arguments, headers),
            None => Ok(()),
        };
        if check(self.headers_of(tool, context).await).is_ok() {
            return Ok(());
        }
        self.distrust_tools(context);
        check(self.headers_of(tool, context).await)
    }

    /// Sends a request on a connection, with the headers that repeat its arguments if those are the
    /// gateway's to write. A server that finds them wrong has not run the call: its list is asked
    /// for again, and if that makes a difference, the call is sent again.
    pub(super) async fn request(
        &self,
        peer: &Peer,
        context: &AuthorizationContext,
        outgoing: &Outgoing<'_>,
        adapted: &Message,
        deadline: Deadline,
    ) -> Result<Exchange, UpstreamError> {
        let headers = &outgoing.headers;
        let is_call = outgoing.message.method() == Some("tools/call");
        if !is_call || !self.wants_params(peer) {
            return Ok(peer.request(adapted, headers.clone(), deadline).await?);
        }
        if !outgoing.writes_params {
            let exchange = peer.request(adapted, headers.clone(), deadline).await?;
            if is_mismatch(&exchange) {
                // The client asks for the list again, which must not be an old one.
                self.distrust_tools(context);
            }
            return Ok(exchange);
        }
        let written = self.written(outgoing, context).await?;
        let exchange = peer.request(adapted, written.clone(), deadline).await?;
        if !is_mismatch(&exchange) {
            return Ok(exchange);
        }
        self.distrust_tools(context);
        let again = self.written(outgoing, context).await?;
        if again == written {
            return Ok(exchange);
        }
        debug!(server = %self.name(), "the tool has changed; sending its call again");
        Ok(peer.request(adapted, again, deadline).await?)
    }

    /// What is known of the tools that those with these rights see.
    pub(super) fn tool_headers(&self, context: &AuthorizationContext) -> Arc<ToolHeaders> {
        self.tool_headers.of(context, || {
            let changes = self.common.changes_sender(context);
            ToolHeaders::new(self.target.is_http(), changes)
        })
    }

    /// Makes the tools be listed anew before anything is relied on that is known of them.
    fn distrust_tools(&self, context: &AuthorizationContext) {
        self.tool_headers(context).distrust();
        self.catalog.distrust(ListKind::Tools, context);
    }

    /// Whether a connection is one on which calls need headers.
    fn wants_params(&self, peer: &Peer) -> bool {
        self.target.is_http() && peer.hello().era == Era::Modern
    }

    async fn written(
        &self,
        outgoing: &Outgoing<'_>,
        context: &AuthorizationContext,
    ) -> Result<HeaderMap, UpstreamError> {
        let params = Params::of(outgoing.message).map_err(ParamError::from)?;
        let mut headers = outgoing.headers.clone();
        let tool = params.name().unwrap_or_default();
        if let Some(known) = self.headers_of(tool, context).await {
            known.replace_in(&mut headers, params.arguments())?;
        }
        Ok(headers)
    }

    /// The headers that a tool's definition asks for, as the server has it now; as it was, if the
    /// list cannot be had.
    async fn headers_of(
        &self,
        tool: &str,
        context: &AuthorizationContext,
    ) -> Option<Arc<ParamHeaders>> {
        self.learn_tools(context).await;
        self.tool_headers(context).of(tool)
    }
}

fn is_mismatch(exchange: &Exchange) -> bool {
    let refusal = exchange.refusal();
    refusal.is_some_and(|error| error.code == code::HEADER_MISMATCH)
}
