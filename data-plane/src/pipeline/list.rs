//! What the servers of an endpoint offer together, page by page.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use gateway_core::ServerName;
use gateway_mcp::json::encode_str;
use gateway_mcp::list::{self, ListKind};
use gateway_mcp::version::Era;
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::Reply;
use super::authenticate::Authenticated;
use super::forward::failure;
use super::inject::{advice, context_for};
use super::open::SERVER_META;
use crate::error::{Failure, Reason, with_causes};
use crate::exposure::{Prepared, PreparedItem};
use crate::request::ClientRequest;
use crate::upstream::{CacheHints, Listed, Upstream};

/// What the servers offer.
pub(super) struct Offer {
    prepared: Arc<Prepared>,
    /// Where the page begins, among the prepared items.
    first: usize,
    pub(super) hints: CacheHints,
}

impl Offer {
    /// What is offered from the beginning of the page on.
    pub(super) fn items(&self) -> &[PreparedItem] {
        self.prepared.items.get(self.first..).unwrap_or_default()
    }
}

/// What a client may see of an offer.
pub(super) struct Visible {
    pub(super) offer: Offer,
    /// For each item whether it is shown; `None`: all are.
    pub(super) shown: Option<Vec<bool>>,
}

impl Visible {
    fn items(&self) -> impl Iterator<Item = &PreparedItem> {
        let items = self.offer.items().iter().enumerate();
        let is_shown = |place: usize| match &self.shown {
            Some(shown) => shown.get(place) == Some(&true),
            None => true,
        };
        items.filter_map(move |(place, item)| is_shown(place).then_some(item))
    }
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
    // Servers before the page's first one have nothing on it.
    let mut sources = vec![None; first];
    for (server, listed) in listed {
        sources.push(match listed {
            Ok(listed) => Some(listed.items),
            // Where there is nothing else to show, the user sees what to do.
            Err(failure)
                if servers.len() == 1 && failure.reason() == Reason::CredentialsRequired =>
            {
                return Err(failure);
            }
            Err(failure) => {
                let (server, error) = (server.name(), with_causes(&failure));
                debug!(%server, error, "a server is left out of a list");
                None
            }
        });
    }
    let prepared = caller.view.prepared(kind, request.dialect.era(), sources);
    let begins = |item: &PreparedItem| {
        let first = servers.get(first).map(|server| server.name());
        first != Some(item.server.name()) || item.place >= place
    };
    let first = prepared.items.iter().position(begins);
    Ok(Offer {
        first: first.unwrap_or(prepared.items.len()),
        prepared,
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
    listed.map_err(|error| failure(error, server, advice(caller, server).as_ref()))
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
    visible: &Visible,
) -> Result<Reply, Failure> {
    let size = caller.limits.page_items;
    let cursor = cursor_of(request, kind)?;
    let hints = with_scope_of_first_page(visible.offer.hints, cursor.as_ref())?;
    let next = visible.items().nth(size).map(|first| {
        let cursor = Cursor {
            l: kind.key().to_owned(),
            s: first.server.name().clone(),
            p: first.place,
            o: hints.is_public,
        };
        encode_str(&cursor.encode())
    });
    let is_whole = visible.shown.is_none() && visible.offer.first == 0 && next.is_none();
    let joined = match is_whole {
        true => visible.offer.prepared.joined.clone(),
        false => list::join(visible.items().take(size).map(|item| &item.bytes)),
    };
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
    let id = request.message.id().unwrap_or("null");
    let answer = list::answer(id, kind.key(), &joined, &further);
    Ok(Reply::Whole(answer))
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
