//! What the servers of an endpoint offer together.

use std::sync::Arc;

use futures_util::future::join_all;
use gateway_core::ExposedName;
use gateway_mcp::author;
use gateway_mcp::list::{self, Item, ListKind};
use gateway_mcp::version::Era;

use super::Reply;
use super::authenticate::Authenticated;
use super::open::SERVER_META;
use crate::error::{Failure, Reason};
use crate::request::ClientRequest;
use crate::upstream::Upstream;

/// One tool of one server.
pub(super) struct Offered {
    pub(super) server: Arc<Upstream>,
    pub(super) item: Item,
}

/// Asks every server of the endpoint at the same time. A server that is down is left out, and one
/// that hangs is waited for only so long.
pub(super) async fn collect(
    caller: &Authenticated,
    request: &ClientRequest,
) -> Result<Vec<Offered>, Failure> {
    // Everything fits on one page, so that no cursor can be right.
    if request.params.cursor().is_some() {
        return Err(Failure::new(
            Reason::InvalidParams,
            "params.cursor: no list has that cursor",
        ));
    }
    let servers = caller
        .snapshot
        .servers_of(&request.endpoint.view)
        .unwrap_or_default();
    let asked = servers.into_iter().map(|server| async move {
        let items = server.tools(caller.limits.list_patience).await;
        (server, items)
    });
    let mut offered = Vec::new();
    for (server, items) in join_all(asked).await {
        let items = items.iter().flat_map(|items| items.iter());
        offered.extend(items.map(|item| Offered {
            server: Arc::clone(server),
            item: item.clone(),
        }));
    }
    Ok(offered)
}

/// Writes the list under the names that this endpoint shows.
pub(super) fn assemble(
    caller: &Authenticated,
    request: &ClientRequest,
    visible: Vec<Offered>,
) -> Reply {
    let prefixed = caller.snapshot.is_prefixed(&request.endpoint.view);
    let items = visible.iter().map(|tool| {
        if prefixed {
            let exposed = ExposedName::of(tool.server.name(), tool.item.name());
            tool.item.renamed(exposed.as_str())
        } else {
            tool.item.bytes().clone()
        }
    });
    // What a caller sees depends on who asks and on which servers are up: nothing to keep.
    let modern = [
        ("resultType", "\"complete\""),
        ("ttlMs", "0"),
        ("cacheScope", "\"private\""),
        ("_meta", SERVER_META),
    ];
    let further = match request.dialect.era() {
        Era::Modern => &modern[..],
        Era::Legacy => &[],
    };
    let result = list::assemble(ListKind::Tools.key(), items, further);
    let result = String::from_utf8_lossy(&result);
    let id = request.message.id().unwrap_or("null");
    Reply::Whole(author::result(id, &result).into_bytes())
}
