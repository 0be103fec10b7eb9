//! A server's lists of tools, prompts, resources and templates: asked for when a client asks and
//! nothing that is kept still holds.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::Deadline;
use gateway_mcp::author;
use gateway_mcp::bridge;
use gateway_mcp::client::{ClientError, Peer};
use gateway_mcp::code;
use gateway_mcp::json::{Fields, encode_str};
use gateway_mcp::list::{Item, ListKind, Page};
use gateway_mcp::message::{Kind, Message};
use gateway_mcp::place::Step::Field;
use gateway_mcp::place::find;
use gateway_mcp::version::Era;
use http::HeaderMap;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::authorization::AuthorizationContext;
use super::common::{Common, Source};
use super::listing::{Lifetime, Listed, Listing, UNSAID, end_of_ttl};
use super::readers::Reader;
use super::shelf::Shelf;
use super::target::{CLIENT_INFO, Target};
use super::tool_headers::ToolHeaders;
use super::{UpstreamError, needs_new_connection};
use crate::error::with_causes;

/// How long a server may take for all its pages.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that pages without end is cut off here.
const MAX_PAGES: usize = 1_000;
const MAX_ITEMS: usize = 20_000;
const MAX_LIST_BYTES: usize = 16 * 1024 * 1024;

/// What is known of a server's lists.
#[derive(Debug)]
pub(super) struct Catalog {
    tools: Arc<Shelf>,
    prompts: Arc<Shelf>,
    resources: Arc<Shelf>,
    templates: Arc<Shelf>,
    common: Common,
    /// Whether the server is asked with nobody's own rights, and answers all alike.
    is_impersonal: bool,
    /// Cancelled with the server.
    stop: CancellationToken,
}

impl Catalog {
    pub(super) fn new(
        target: &Target,
        common: &Common,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let shelf = |kind| Shelf::new(target.name.clone(), kind, tasks.clone());
        Self {
            tools: shelf(ListKind::Tools),
            prompts: shelf(ListKind::Prompts),
            resources: shelf(ListKind::Resources),
            templates: shelf(ListKind::ResourceTemplates),
            common: common.clone(),
            is_impersonal: !target.tells_users_apart(),
            stop: stop.clone(),
        }
    }

    /// The list as it is kept for the user, or else as the server says it now. A server that hangs
    /// is waited for at most `patience` once.
    pub(super) async fn list(
        &self,
        kind: ListKind,
        reader: &Reader,
        tool_headers: &Arc<ToolHeaders>,
        patience: Duration,
    ) -> Result<Listed, Arc<UpstreamError>> {
        let peer = self.common.ready_soon(&reader.context, patience).await?;
        // A legacy server cannot say whom its lists are for, but it does not know who asks either.
        let is_for_all = self.is_impersonal && peer.hello().era == Era::Legacy;
        let ask = || {
            let question = Question {
                kind,
                reader: reader.clone(),
                tool_headers: Arc::clone(tool_headers),
                is_impersonal: self.is_impersonal,
            };
            let (common, stop) = (self.common.clone(), self.stop.clone());
            async move {
                let asked = stop.run_until_cancelled(question.ask(&common, patience));
                asked.await.unwrap_or_else(|| Err(removed()))
            }
        };
        let shelf = self.shelf(kind);
        shelf.list(reader, is_for_all, patience, ask).await
    }

    /// Makes a list be asked for anew by those with these rights, though it should hold.
    pub(super) fn distrust(&self, kind: ListKind, context: &AuthorizationContext) {
        self.shelf(kind).distrust(context);
    }

    /// The same for all lists.
    pub(super) fn distrust_all(&self, context: &AuthorizationContext) {
        for kind in ListKind::ALL {
            self.distrust(*kind, context);
        }
    }

    fn shelf(&self, kind: ListKind) -> &Arc<Shelf> {
        match kind {
            ListKind::Tools => &self.tools,
            ListKind::Prompts => &self.prompts,
            ListKind::Resources => &self.resources,
            ListKind::ResourceTemplates => &self.templates,
        }
    }

    /// The list of tools, for operators.
    pub(super) fn tools(&self) -> &Shelf {
        &self.tools
    }

    /// What is kept, by the lists' keys, for operators.
    pub(super) fn describe(&self) -> serde_json::Value {
        let kept = ListKind::ALL.iter().filter_map(|kind| {
            let kept = self.shelf(*kind).describe()?;
            Some((kind.key().to_owned(), kept))
        });
        json!(kept.collect::<serde_json::Map<_, _>>())
    }
}

pub(super) fn removed() -> UpstreamError {
    UpstreamError::Down {
        reason: "it was removed".into(),
    }
}

/// What a server is asked, and on whose behalf.
struct Question {
    kind: ListKind,
    reader: Reader,
    tool_headers: Arc<ToolHeaders>,
    is_impersonal: bool,
}

impl Question {
    async fn ask(self, common: &Common, patience: Duration) -> Result<Listing, UpstreamError> {
        let (kind, context) = (self.kind, &self.reader.context);
        let mut source = common.source(context, patience).await?;
        let mut asked = Instant::now();
        let mut answer = all_pages(kind, &source.peer, &self.tool_headers).await;
        if let Err(AskError::Client(error)) = &answer
            && needs_new_connection(error)
        {
            // Restarted, perhaps: connect anew and ask once more.
            common.give_up(context, &source.peer);
            if common
                .ready(context, Deadline::after(PATIENCE))
                .await
                .is_ok()
            {
                source = common.source(context, patience).await?;
                asked = Instant::now();
                answer = all_pages(kind, &source.peer, &self.tool_headers).await;
            }
        }
        match answer {
            Ok(pages) => Ok(self.listing(pages, source, asked)),
            Err(error) => {
                let (server, why) = (source.peer.name(), with_causes(&error));
                warn!(
                    server,
                    list = kind.key(),
                    error = why,
                    "a list cannot be had"
                );
                Err(error.into())
            }
        }
    }

    fn listing(self, pages: Pages, source: Source, asked: Instant) -> Listing {
        let Source {
            peer,
            changes,
            before,
        } = source;
        let is_modern = peer.hello().era == Era::Modern;
        // Where several connections tell of changes together, it is not known which ones are heard.
        let is_alone = self.is_impersonal || self.reader.context.user().is_some();
        let tells = is_alone && before.is_heard() && declares_changes(self.kind, &peer);
        let lifetime = match pages.hints {
            // As long as the connection.
            None => Lifetime::UntilTold,
            Some(hints) if is_modern => Lifetime::Until(hints.until),
            Some(_) if tells => Lifetime::UntilTold,
            Some(_) => Lifetime::Until(Instant::now() + UNSAID),
        };
        // What has no hints was not asked for, and says nothing of anybody.
        let has_no_list = pages.hints.is_none();
        let says_public = is_modern && pages.hints.is_some_and(|hints| hints.is_public);
        Listing {
            kind: self.kind,
            items: Arc::new(pages.items),
            learnt: (self.kind == ListKind::Tools).then(|| self.tool_headers.learnt()),
            is_public: self.is_impersonal && (says_public || has_no_list),
            is_for_all: self.is_impersonal && (says_public || has_no_list || !is_modern),
            reader: self.reader,
            stamp: before.stamp(self.kind),
            changes,
            asked,
            lifetime,
        }
    }
}

/// Whether a legacy server declares that it says when the list changes. None says so of templates.
fn declares_changes(kind: ListKind, peer: &Peer) -> bool {
    let bytes = peer.hello().capabilities.get().as_bytes();
    let place = [Field(capability(kind)), Field("listChanged")];
    let declared = find(bytes, 0..bytes.len(), &place).pop();
    kind != ListKind::ResourceTemplates
        && declared.and_then(|range| bytes.get(range)) == Some(b"true")
}

/// A whole list.
struct Pages {
    items: Vec<Item>,
    /// `None`: the server has no such lists at all.
    hints: Option<PageHints>,
}

/// What a server says of its pages.
#[derive(Clone, Copy)]
struct PageHints {
    until: Instant,
    is_public: bool,
}

impl PageHints {
    fn of(page: &Page) -> Self {
        Self {
            until: end_of_ttl(Instant::now(), page.ttl_ms),
            is_public: page.is_public,
        }
    }

    /// Of several pages the first that ends and the strictest count.
    fn and(self, other: Option<Self>) -> Self {
        other.map_or(self, |other| Self {
            until: self.until.min(other.until),
            is_public: self.is_public && other.is_public,
        })
    }
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

impl From<AskError> for UpstreamError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Client(error) => Self::Client(error),
            error => Self::Down {
                reason: error.to_string().into(),
            },
        }
    }
}

/// The whole list, without the tools that must not be offered.
async fn all_pages(
    kind: ListKind,
    peer: &Peer,
    tool_headers: &ToolHeaders,
) -> Result<Pages, AskError> {
    let as_of = tool_headers.now();
    let mut pages = all_items(kind, peer).await?;
    if kind == ListKind::Tools {
        pages.items = tool_headers.learn(peer.name(), pages.items, as_of);
    }
    Ok(pages)
}

async fn all_items(kind: ListKind, peer: &Peer) -> Result<Pages, AskError> {
    let capabilities = peer.hello().capabilities.get();
    let declared = Fields::scan(capabilities.as_bytes(), 0..capabilities.len());
    if declared.is_ok_and(|fields| fields.get(capability(kind)).is_none()) {
        return Ok(Pages {
            items: Vec::new(),
            hints: None,
        });
    }
    let deadline = Deadline::after(PATIENCE);
    let mut items: Vec<Item> = Vec::new();
    let mut cursor: Option<String> = None;
    let mut hints = None;
    let mut size = 0_usize;
    for _ in 0..MAX_PAGES {
        let page = one_page(kind, peer, cursor.as_deref(), deadline).await?;
        hints = Some(PageHints::of(&page).and(hints));
        if page.dropped > 0 {
            warn!(
                server = peer.name(),
                dropped = page.dropped,
                "items without a clear name are left out"
            );
        }
        size = size.saturating_add(page.size);
        // What goes beyond is not taken: it would be in memory several times over, in each answer.
        if size > MAX_LIST_BYTES && !items.is_empty() {
            break;
        }
        items.extend(page.items);
        let is_full = items.len() > MAX_ITEMS;
        match page.next_cursor {
            Some(next) if cursor.as_ref() == Some(&next) => {
                return Err(AskError::Unreadable(
                    "a page names itself as the next one".into(),
                ));
            }
            Some(_) if is_full => break,
            Some(next) => cursor = Some(next),
            None => return Ok(whole(items, hints)),
        }
    }
    warn!(
        server = peer.name(),
        items = items.len(),
        "the list is cut off here"
    );
    Ok(whole(items, hints))
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
        Some(error) if error.code == code::METHOD_NOT_FOUND => Ok(Page {
            ttl_ms: UNSAID.as_millis().try_into().ok(),
            ..Page::empty()
        }),
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
fn whole(mut items: Vec<Item>, hints: Option<PageHints>) -> Pages {
    let mut seen = std::collections::HashSet::new();
    items.retain(|item| seen.insert(item.name().to_owned()));
    Pages { items, hints }
}
