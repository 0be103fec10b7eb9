//! What the servers of an endpoint offer together, page by page.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::future::join_all;
use gateway_core::ServerName;
use gateway_core::plugin::ItemKind;
use gateway_mcp::author;
use gateway_mcp::bridge;
use gateway_mcp::json::encode_str;
use gateway_mcp::list::{self, Item, ListKind};
use gateway_mcp::version::Era;
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::Reply;
use super::authenticate::Authenticated;
use super::forward::failure;
use super::inject::{advice, context_for};
use super::open::SERVER_META;
use crate::error::{Failure, Reason, with_causes};
use crate::exposure::expose_tool_links;
use crate::request::ClientRequest;
use crate::upstream::{CacheHints, Listed, Upstream};

/// One item of one server.
pub(super) struct Offered {
    pub(super) server: Arc<Upstream>,
    pub(super) item: Item,
    /// The name under which the endpoint shows it.
    exposed: String,
    /// Its place in the server's own list.
    place: usize,
}

/// What the servers offer, and what a client may do with it.
pub(super) struct Offer {
    pub(super) items: Vec<Offered>,
    pub(super) hints: CacheHints,
}

/// Where a page begins: at this place of this server's list. Opaque to clients.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    /// The list that it belongs to.
    l: String,
    s: ServerName,
    p: usize,
    /// Whether the first page was for everybody: all pages of a list have the same scope.
    o: bool,
}

impl Cursor {
    fn encode(&self) -> String {
        // A struct of text and number always serializes.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

/// Reads a cursor and writes it again; for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub fn rewrite_cursor(text: &str) -> Option<String> {
    Cursor::decode(text).map(|cursor| cursor.encode())
}

/// The kind of item that a list holds, as policies and names see it.
pub(super) fn item_kind(kind: ListKind) -> ItemKind {
    match kind {
        ListKind::Tools => ItemKind::Tool,
        ListKind::Prompts => ItemKind::Prompt,
        ListKind::Resources => ItemKind::Resource,
        ListKind::ResourceTemplates => ItemKind::ResourceTemplate,
    }
}

/// The lists of every server of the endpoint, each as it is kept or else asked for, all at the same
/// time. A server that is down is left out, and one that hangs is waited for only so long. What
/// comes before the request's cursor is left out.
pub(super) async fn collect(
    caller: &Authenticated,
    request: &ClientRequest,
    kind: ListKind,
) -> Result<Offer, Failure> {
    let servers = caller.view.servers();
    let cursor = cursor_of(request, kind)?;
    let (first, place) = start(servers, cursor.as_ref())?;
    let asked = servers.iter().skip(first).map(|server| async move {
        let listed = list_of(server, caller, request, kind).await;
        (server, listed)
    });
    let listed = join_all(asked).await;
    let hints = listed.iter().map(|(server, listed)| match listed {
        Ok(listed) => listed.hints,
        Err(_) => server.hints_while_missing(),
    });
    let hints = hints.reduce(CacheHints::and).unwrap_or(CacheHints::UNSAID);
    let mut offered = Vec::new();
    for (index, (server, listed)) in listed.into_iter().enumerate() {
        let before = if index == 0 { place } else { 0 };
        let items = match listed {
            Ok(listed) => listed.items,
            // Where there is nothing else to show, the user sees what to do.
            Err(failure)
                if servers.len() == 1 && failure.reason() == Reason::CredentialsRequired =>
            {
                return Err(failure);
            }
            Err(failure) => {
                let (server, error) = (server.name(), with_causes(&failure));
                debug!(%server, error, "a server is left out of a list");
                continue;
            }
        };
        let items = items.iter().enumerate().skip(before);
        offered.extend(items.filter_map(|(place, item)| {
            let exposed = caller
                .view
                .name_of(item_kind(kind), server.name(), item.name())?;
            let (server, item) = (Arc::clone(server), item.clone());
            Some(Offered {
                server,
                item,
                exposed,
                place,
            })
        }));
    }
    Ok(Offer {
        items: offered,
        hints,
    })
}

async fn list_of(
    server: &Upstream,
    caller: &Authenticated,
    request: &ClientRequest,
    kind: ListKind,
) -> Result<Listed, Failure> {
    let context = context_for(caller, server, request).await?;
    let patience = caller.limits.list_patience;
    let user = &caller.principal.user_id;
    let listed = server.list(kind, &context, Some(user), patience).await;
    listed.map_err(|error| failure(error, server, advice(caller, server).as_deref()))
}

fn cursor_of(request: &ClientRequest, kind: ListKind) -> Result<Option<Cursor>, Failure> {
    let Some(text) = request.params.cursor() else {
        return Ok(None);
    };
    let cursor = Cursor::decode(text).filter(|cursor| cursor.l == kind.key());
    cursor.map(Some).ok_or_else(no_such_cursor)
}

/// The server with which a page begins, by its place in the view, and the place in that
/// server's list.
fn start(servers: &[Arc<Upstream>], cursor: Option<&Cursor>) -> Result<(usize, usize), Failure> {
    let Some(cursor) = cursor else {
        return Ok((0, 0));
    };
    let mut names = servers.iter().map(|server| server.name());
    let first = names.position(|name| *name == cursor.s);
    Ok((first.ok_or_else(no_such_cursor)?, cursor.p))
}

fn no_such_cursor() -> Failure {
    Failure::new(
        Reason::InvalidParams,
        "params.cursor: this list has no such cursor",
    )
}

/// The scope of a list's further pages is that of its first one. Where they have become private,
/// the client has to begin anew.
fn with_scope_of_first_page(
    hints: CacheHints,
    cursor: Option<&Cursor>,
) -> Result<CacheHints, Failure> {
    match cursor {
        Some(cursor) if cursor.o && !hints.is_public => Err(Failure::new(
            Reason::InvalidParams,
            "params.cursor: the list is not the same for everybody any more: ask for its first page",
        )),
        Some(cursor) => Ok(CacheHints {
            is_public: cursor.o,
            ..hints
        }),
        None => Ok(hints),
    }
}

/// Writes one page of the list under the names that this endpoint shows.
pub(super) fn assemble(
    caller: &Authenticated,
    request: &ClientRequest,
    kind: ListKind,
    visible: Offer,
) -> Result<Reply, Failure> {
    let size = caller.limits.page_items;
    let hints = with_scope_of_first_page(visible.hints, cursor_of(request, kind)?.as_ref())?;
    let next = visible.items.get(size).map(|first| {
        let cursor = Cursor {
            l: kind.key().to_owned(),
            s: first.server.name().clone(),
            p: first.place,
            o: hints.is_public,
        };
        encode_str(&cursor.encode())
    });
    let items = visible
        .items
        .iter()
        .take(size)
        .map(|offered| exposed(caller, kind, request.dialect.era(), offered));
    let (ttl, scope) = (hints.ttl_ms().to_string(), encode_str(hints.scope()));
    let mut further = match request.dialect.era() {
        Era::Modern => vec![
            ("resultType", "\"complete\""),
            ("ttlMs", &ttl),
            ("cacheScope", &scope),
            ("_meta", SERVER_META),
        ],
        Era::Legacy => Vec::<(&str, &str)>::new(),
    };
    if let Some(next) = &next {
        further.push(("nextCursor", next));
    }
    let result = list::assemble(kind.key(), items, &further);
    let result = String::from_utf8_lossy(&result);
    let id = request.message.id().unwrap_or("null");
    Ok(Reply::Whole(author::result(id, &result).into_bytes()))
}

fn exposed(caller: &Authenticated, kind: ListKind, era: Era, offered: &Offered) -> Bytes {
    let item = if offered.exposed == offered.item.name() {
        offered.item.bytes().clone()
    } else {
        offered.item.renamed(&offered.exposed)
    };
    let item = match (kind, era) {
        (ListKind::Tools, Era::Legacy) => bridge::tool_to_legacy(&item),
        _ => item,
    };
    if kind == ListKind::Tools && caller.view.is_prefixed() {
        expose_tool_links(&item, offered.server.name())
    } else {
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        let cursor = Cursor {
            l: "tools".into(),
            s: "files".parse().unwrap(),
            p: 7,
            o: false,
        };
        let read = Cursor::decode(&cursor.encode()).unwrap();
        assert_eq!(
            (read.l.as_str(), read.s.as_str(), read.p),
            ("tools", "files", 7)
        );
        for text in ["", "x", "e30", "AAAA", "made up"] {
            assert!(Cursor::decode(text).is_none(), "{text}");
        }
    }

    #[test]
    fn every_page_has_the_scope_of_the_first_one_or_there_is_none() {
        let private = CacheHints::UNSAID;
        let public = CacheHints {
            is_public: true,
            ..private
        };
        let cursor = |o| Cursor {
            l: "tools".into(),
            s: "files".parse().unwrap(),
            p: 7,
            o,
        };
        let scope = |hints, cursor: Option<Cursor>| {
            let hints = with_scope_of_first_page(hints, cursor.as_ref()).ok();
            hints.map(CacheHints::scope)
        };
        assert_eq!(scope(public, None), Some("public"));
        assert_eq!(scope(public, Some(cursor(true))), Some("public"));
        assert_eq!(scope(public, Some(cursor(false))), Some("private"));
        assert_eq!(scope(private, Some(cursor(false))), Some("private"));
        assert_eq!(scope(private, Some(cursor(true))), None);
    }
}
