//! A server's list of tools: asked for when a client asks, once for all who ask at the same time.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use gateway_core::Deadline;
use gateway_mcp::author;
use gateway_mcp::bridge;
use gateway_mcp::client::{ClientError, Peer};
use gateway_mcp::json::{Fields, encode_str};
use gateway_mcp::list::{Item, ListKind, Page};
use gateway_mcp::message::{Kind, Message};
use gateway_mcp::version::Era;
use http::HeaderMap;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::supervisor::Links;
use super::target::CLIENT_INFO;

/// How long a server may take for all its pages.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that pages without end is cut off here.
const MAX_PAGES: usize = 1_000;
const MAX_TOOLS: usize = 20_000;

type Tools = Arc<Vec<Item>>;
type Outcome = Result<Tools, Arc<str>>;

/// What is known of a server's tools.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    shared: Arc<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The last complete list; what is shown while a server hangs.
    last: ArcSwapOption<Vec<Item>>,
    #[expect(
        clippy::disallowed_types,
        reason = "held for a few lines, never over an await"
    )]
    asking: std::sync::Mutex<Option<Asking>>,
}

/// A request for the list that is under way.
#[derive(Debug, Clone)]
struct Asking {
    since: Instant,
    outcome: Shared<BoxFuture<'static, Outcome>>,
}

impl Catalog {
    /// The tools, as the server says them now. A server that hangs is waited for at most
    /// `patience` once; while it goes on hanging, what it said last is shown at once.
    pub(super) async fn tools(
        &self,
        links: &Links,
        tasks: &TaskTracker,
        patience: Duration,
    ) -> Option<Tools> {
        let peer = links.ready_soon(patience).await?;
        let asking = self.join(&peer, links, tasks);
        let until = asking.since + patience;
        match tokio::time::timeout_at(until, asking.outcome).await {
            Ok(outcome) => outcome.ok(),
            Err(_) => {
                debug!(
                    server = peer.name(),
                    "the list of tools did not come in time"
                );
                self.shared.last.load_full()
            }
        }
    }

    /// Joins a request that is under way, or starts one. It runs in a task, so that it comes to
    /// its end even if nobody waits so long.
    fn join(&self, peer: &Arc<Peer>, links: &Links, tasks: &TaskTracker) -> Asking {
        let Ok(mut asking) = self.shared.asking.lock() else {
            // A panic while the lock was held, which its few lines cannot cause.
            return Asking {
                since: Instant::now(),
                outcome: lost().boxed().shared(),
            };
        };
        if let Some(asking) = &*asking {
            return asking.clone();
        }
        let (known, peer, links) = (Arc::clone(&self.shared), Arc::clone(peer), links.clone());
        let task = tasks.spawn(async move { ask(&known, &peer, &links).await });
        let outcome = async move {
            task.await
                .unwrap_or_else(|_| Err("the request ended".into()))
        };
        let begun = Asking {
            since: Instant::now(),
            outcome: outcome.boxed().shared(),
        };
        *asking = Some(begun.clone());
        begun
    }
}

async fn lost() -> Outcome {
    Err("the list cannot be asked for".into())
}

async fn ask(known: &Known, peer: &Arc<Peer>, links: &Links) -> Outcome {
    let mut asked = all_pages(peer).await;
    if let Err(AskError::Client(error)) = &asked
        && (error.is_before_send() || error.is_peer_lost())
    {
        // Restarted, perhaps: connect anew and ask once more.
        links.give_up(peer);
        if let Ok(peer) = links.ready(Deadline::after(PATIENCE)).await {
            asked = all_pages(&peer).await;
        }
    }
    let outcome = asked.map(Arc::new).map_err(|error| {
        warn!(server = peer.name(), %error, "the list of tools cannot be had");
        Arc::from(error.to_string())
    });
    if let Ok(tools) = &outcome {
        known.last.store(Some(Arc::clone(tools)));
    }
    if let Ok(mut asking) = known.asking.lock() {
        *asking = None;
    }
    outcome
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the server refused: {0}")]
    Refused(String),
    #[error("the server's list cannot be read: {0}")]
    Unreadable(String),
}

async fn all_pages(peer: &Peer) -> Result<Vec<Item>, AskError> {
    let capabilities = peer.hello().capabilities.get();
    let declared = Fields::scan(capabilities.as_bytes(), 0..capabilities.len());
    if declared.is_ok_and(|fields| fields.get("tools").is_none()) {
        return Ok(Vec::new());
    }
    let deadline = Deadline::after(PATIENCE);
    let mut items: Vec<Item> = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let page = one_page(peer, cursor.as_deref(), deadline).await?;
        if page.dropped > 0 {
            warn!(
                server = peer.name(),
                dropped = page.dropped,
                "tools without a clear name are left out"
            );
        }
        items.extend(page.items);
        match page.next_cursor {
            Some(next) if cursor.as_ref() == Some(&next) => {
                return Err(AskError::Unreadable(
                    "a page names itself as the next one".into(),
                ));
            }
            Some(next) if items.len() <= MAX_TOOLS => cursor = Some(next),
            Some(_) => break,
            None => return Ok(without_repeats(items)),
        }
    }
    warn!(
        server = peer.name(),
        tools = items.len(),
        "the list of tools is cut off here"
    );
    Ok(without_repeats(items))
}

async fn one_page(peer: &Peer, cursor: Option<&str>, deadline: Deadline) -> Result<Page, AskError> {
    let unreadable = |error: &dyn std::fmt::Display| AskError::Unreadable(error.to_string());
    let params = cursor.map(|cursor| format!(r#"{{"cursor":{}}}"#, encode_str(cursor)));
    let mut request = author::request("0", ListKind::Tools.method(), params.as_deref());
    let hello = peer.hello();
    if hello.era == Era::Modern {
        request = bridge::request_to_modern(&request, CLIENT_INFO, "{}", hello.version)
            .map_err(|error| unreadable(&error))?;
    }
    let mut exchange = peer.request(&request, HeaderMap::new(), deadline).await?;
    while let Some(message) = exchange.next().await {
        let message = message?;
        if message.kind() == Kind::Response {
            return read_page(&message);
        }
    }
    Err(AskError::Unreadable("it ended early".into()))
}

fn read_page(response: &Message) -> Result<Page, AskError> {
    match response.rpc_error() {
        Some(error) => Err(AskError::Refused(error.message)),
        None => Page::scan(response, ListKind::Tools)
            .map_err(|error| AskError::Unreadable(error.to_string())),
    }
}

/// Of tools with one name only the first can be meant by a call.
fn without_repeats(mut items: Vec<Item>) -> Vec<Item> {
    let mut seen = std::collections::HashSet::new();
    items.retain(|item| seen.insert(item.name().to_owned()));
    items
}
