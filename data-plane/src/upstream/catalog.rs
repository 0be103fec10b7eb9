//! A server's lists of tools, prompts, resources and templates: asked for when a client asks, once
//! for all who ask at the same time.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use gateway_core::Deadline;
use gateway_mcp::author;
use gateway_mcp::bridge;
use gateway_mcp::client::{ClientError, Peer};
use gateway_mcp::code;
use gateway_mcp::json::{Fields, encode_str};
use gateway_mcp::list::{Item, ListKind, Page};
use gateway_mcp::message::{Kind, Message};
use gateway_mcp::version::Era;
use http::HeaderMap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::needs_new_connection;
use super::supervisor::Links;
use super::target::CLIENT_INFO;
use super::tool_headers::ToolHeaders;
use super::turns::Turns;
use crate::error::with_causes;

/// How long a server may take for all its pages.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that pages without end is cut off here.
const MAX_PAGES: usize = 1_000;
const MAX_ITEMS: usize = 20_000;

type Items = Arc<Vec<Item>>;

/// What is known of a server's lists.
#[derive(Debug)]
pub(super) struct Catalog {
    tools: Known,
    prompts: Known,
    resources: Known,
    templates: Known,
    /// Cancelled with the server.
    stop: CancellationToken,
}

/// What is known of one list.
#[derive(Debug, Default)]
struct Known {
    /// `None`: it cannot be had.
    turns: Turns<Option<Items>>,
    /// The last complete list; what is shown while a server hangs.
    last: Arc<ArcSwapOption<Vec<Item>>>,
}

impl Catalog {
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self {
            tools: Known::default(),
            prompts: Known::default(),
            resources: Known::default(),
            templates: Known::default(),
            stop,
        }
    }

    /// The list, as the server says it now. A server that hangs is waited for at most `patience`
    /// once; while it goes on hanging, what it said last is shown at once.
    pub(super) async fn list(
        &self,
        kind: ListKind,
        links: &Links,
        tool_headers: &Arc<ToolHeaders>,
        tasks: &TaskTracker,
        patience: Duration,
    ) -> Option<Items> {
        let peer = links.ready_soon(patience).await?;
        let known = self.known(kind);
        let label = peer.name().to_owned();
        let (links, last, stop) = (links.clone(), Arc::clone(&known.last), self.stop.clone());
        let tool_headers = Arc::clone(tool_headers);
        let question = async move {
            let asking = ask(kind, &peer, &links, &tool_headers);
            let asked = stop.run_until_cancelled(asking).await;
            let items = asked.flatten()?;
            last.store(Some(Arc::clone(&items)));
            Some(items)
        };
        let turn = known.turns.take(tasks, patience, question);
        match tokio::time::timeout_at(turn.since + patience, turn.answer).await {
            Ok(answer) => answer.flatten(),
            Err(_) => {
                debug!(
                    server = label,
                    list = kind.key(),
                    "the list did not come in time"
                );
                known.last.load_full()
            }
        }
    }

    fn known(&self, kind: ListKind) -> &Known {
        match kind {
            ListKind::Tools => &self.tools,
            ListKind::Prompts => &self.prompts,
            ListKind::Resources => &self.resources,
            ListKind::ResourceTemplates => &self.templates,
        }
    }
}

async fn ask(
    kind: ListKind,
    peer: &Arc<Peer>,
    links: &Links,
    tool_headers: &ToolHeaders,
) -> Option<Items> {
    let mut asked = all_pages(kind, peer, tool_headers).await;
    if let Err(AskError::Client(error)) = &asked
        && needs_new_connection(error)
    {
        // Restarted, perhaps: connect anew and ask once more.
        links.give_up(peer);
        if let Ok(peer) = links.ready(Deadline::after(PATIENCE)).await {
            asked = all_pages(kind, &peer, tool_headers).await;
        }
    }
    match asked {
        Ok(items) => Some(Arc::new(items)),
        Err(error) => {
            let error = with_causes(&error);
            warn!(
                server = peer.name(),
                list = kind.key(),
                error,
                "a list cannot be had"
            );
            None
        }
    }
}

/// Why a server's list cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the server refused: {0}")]
    Refused(String),
    #[error("the server's list cannot be read: {0}")]
    Unreadable(String),
}

/// The whole list, without the tools that must not be offered.
pub(super) async fn all_pages(
    kind: ListKind,
    peer: &Peer,
    tool_headers: &ToolHeaders,
) -> Result<Vec<Item>, AskError> {
    let as_of = tool_headers.now();
    let items = all_items(kind, peer).await?;
    Ok(match kind {
        ListKind::Tools => tool_headers.learn(peer.name(), items, as_of),
        _ => items,
    })
}

async fn all_items(kind: ListKind, peer: &Peer) -> Result<Vec<Item>, AskError> {
    let capabilities = peer.hello().capabilities.get();
    let declared = Fields::scan(capabilities.as_bytes(), 0..capabilities.len());
    if declared.is_ok_and(|fields| fields.get(capability(kind)).is_none()) {
        return Ok(Vec::new());
    }
    let deadline = Deadline::after(PATIENCE);
    let mut items: Vec<Item> = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let page = one_page(kind, peer, cursor.as_deref(), deadline).await?;
        if page.dropped > 0 {
            warn!(
                server = peer.name(),
                dropped = page.dropped,
                "items without a clear name are left out"
            );
        }
        items.extend(page.items);
        match page.next_cursor {
            Some(next) if cursor.as_ref() == Some(&next) => {
                return Err(AskError::Unreadable(
                    "a page names itself as the next one".into(),
                ));
            }
            Some(next) if items.len() <= MAX_ITEMS => cursor = Some(next),
            Some(_) => break,
            None => return Ok(without_repeats(items)),
        }
    }
    warn!(
        server = peer.name(),
        items = items.len(),
        "the list is cut off here"
    );
    Ok(without_repeats(items))
}

async fn one_page(
    kind: ListKind,
    peer: &Peer,
    cursor: Option<&str>,
    deadline: Deadline,
) -> Result<Page, AskError> {
    let unreadable = |error: &dyn std::fmt::Display| AskError::Unreadable(error.to_string());
    let params = cursor.map(|cursor| format!(r#"{{"cursor":{}}}"#, encode_str(cursor)));
    let mut request = author::request("0", kind.method(), params.as_deref());
    let hello = peer.hello();
    if hello.era == Era::Modern {
        request = bridge::request_to_modern(&request, CLIENT_INFO, "{}", hello.version)
            .map_err(|error| unreadable(&error))?;
    }
    let mut exchange = peer.request(&request, HeaderMap::new(), deadline).await?;
    while let Some(message) = exchange.next().await {
        let message = message?;
        if message.kind() == Kind::Response {
            return read_page(kind, &message);
        }
    }
    Err(AskError::Unreadable("it ended early".into()))
}

fn read_page(kind: ListKind, response: &Message) -> Result<Page, AskError> {
    match response.rpc_error() {
        // Many servers with resources have no templates, and do not know the method.
        Some(error) if error.code == code::METHOD_NOT_FOUND => Ok(Page::empty()),
        Some(error) => Err(AskError::Refused(error.message)),
        None => Page::scan(response, kind).map_err(|error| AskError::Unreadable(error.to_string())),
    }
}

/// The capability under which servers declare that they have a list.
fn capability(kind: ListKind) -> &'static str {
    match kind {
        ListKind::Tools => "tools",
        ListKind::Prompts => "prompts",
        ListKind::Resources | ListKind::ResourceTemplates => "resources",
    }
}

/// Of items with one name only the first can be meant.
fn without_repeats(mut items: Vec<Item>) -> Vec<Item> {
    let mut seen = std::collections::HashSet::new();
    items.retain(|item| seen.insert(item.name().to_owned()));
    items
}
