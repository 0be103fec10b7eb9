//! Lists as clients see them: made when a server's list is new, and used for every request until it
//! is another one. What a request adds is the policy's word and the page.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use gateway_core::plugin::ItemKind;
use gateway_mcp::bridge;
use gateway_mcp::list::{self, Item, ListKind};
use gateway_mcp::version::Era;

use super::{Exposure, expose_tool_links};
use crate::upstream::Upstream;

/// How many lists of one kind and era are kept: lists that are a user's own are many.
const KEPT: usize = 8;

/// A server's list as it was said; `None`: the server is left out.
pub(crate) type Source = Option<Arc<Vec<Item>>>;

/// One item as clients see it.
#[derive(Debug)]
pub(crate) struct PreparedItem {
    pub(crate) server: Arc<Upstream>,
    item: Item,
    /// Its place in the server's own list.
    pub(crate) place: usize,
    /// Under the name that the endpoint shows, in the client's era.
    pub(crate) bytes: Bytes,
}

impl PreparedItem {
    /// The server's own name for it.
    pub(crate) fn name(&self) -> &str {
        self.item.name()
    }
}

/// The lists of all servers of an endpoint as one.
#[derive(Debug)]
pub(crate) struct Prepared {
    kind: ListKind,
    era: Era,
    /// What it was made of, by server; held, so that no other list can be taken for one of these.
    sources: Vec<Source>,
    pub(crate) items: Vec<PreparedItem>,
    /// All items as they stand in an answer.
    pub(crate) joined: Bytes,
}

/// The lists of an endpoint that are kept, the latest first.
#[derive(Debug, Default)]
pub(super) struct Shelf(ArcSwap<Vec<Arc<Prepared>>>);

impl Exposure {
    /// The lists of the servers, which stand in `sources` in their order, as clients of an era see
    /// them.
    pub(crate) fn prepared(&self, kind: ListKind, era: Era, sources: Vec<Source>) -> Arc<Prepared> {
        let kept = self.prepared.0.load();
        let found = kept
            .iter()
            .find(|prepared| prepared.is_for(kind, era) && is_same(&prepared.sources, &sources));
        if let Some(found) = found {
            return Arc::clone(found);
        }
        let made = Arc::new(self.prepare(kind, era, sources));
        self.prepared.0.rcu(|kept| {
            let mut alike = 0;
            let mut all = vec![Arc::clone(&made)];
            let others = kept.iter().filter(|prepared| {
                alike += usize::from(prepared.is_for(kind, era));
                !prepared.is_for(kind, era) || alike < KEPT
            });
            all.extend(others.cloned());
            all
        });
        made
    }

    fn prepare(&self, kind: ListKind, era: Era, sources: Vec<Source>) -> Prepared {
        let mut items = Vec::new();
        for (server, source) in self.servers.iter().zip(&sources) {
            let source = source.iter().flat_map(|source| source.iter());
            items.extend(source.enumerate().filter_map(|(place, item)| {
                let exposed = self.name_of(item_kind(kind), server.name(), item.name())?;
                Some(PreparedItem {
                    bytes: self.exposed(kind, era, server, item, &exposed),
                    server: Arc::clone(server),
                    item: item.clone(),
                    place,
                })
            }));
        }
        Prepared {
            kind,
            era,
            sources,
            joined: list::join(items.iter().map(|item| &item.bytes)),
            items,
        }
    }

    fn exposed(
        &self,
        kind: ListKind,
        era: Era,
        server: &Upstream,
        item: &Item,
        exposed: &str,
    ) -> Bytes {
        let bytes = if exposed == item.name() {
            item.bytes().clone()
        } else {
            item.renamed(exposed)
        };
        let bytes = match (kind, era) {
            (ListKind::Tools, Era::Legacy) => bridge::tool_to_legacy(&bytes),
            _ => bytes,
        };
        if kind == ListKind::Tools && self.is_prefixed() {
            expose_tool_links(&bytes, server.name())
        } else {
            bytes
        }
    }
}

impl Prepared {
    fn is_for(&self, kind: ListKind, era: Era) -> bool {
        self.kind == kind && self.era == era
    }
}

/// The kind of item that a list holds, as policies and names see it.
pub(crate) fn item_kind(kind: ListKind) -> ItemKind {
    match kind {
        ListKind::Tools => ItemKind::Tool,
        ListKind::Prompts => ItemKind::Prompt,
        ListKind::Resources => ItemKind::Resource,
        ListKind::ResourceTemplates => ItemKind::ResourceTemplate,
    }
}

fn is_same(one: &[Source], other: &[Source]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|pair| match pair {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        })
}
