//! What is kept of one list of a server: one for all callers, or one for each reader alone. Whoever asks while nothing that is kept still holds takes a turn at asking the server.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use gateway_core::ServerName;
use gateway_mcp::list::ListKind;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::UpstreamError;
use super::authorization::AuthorizationContext;
use super::catalog::removed;
use super::listing::{Listed, Listing};
use super::readers::{Reader, Readers};
use super::turns::Turns;

type Answer = Result<Arc<Listing>, Arc<UpstreamError>>;

/// One list of one server.
#[derive(Debug)]
pub(super) struct Shelf {
    server: ServerName,
    kind: ListKind,
    tasks: TaskTracker,
    /// What is the same for everybody.
    for_all: Arc<Place>,
    own: Readers,
}

/// Where one list is kept and asked for.
#[derive(Debug, Default)]
pub(super) struct Place {
    turns: Turns<Answer>,
    /// What was said last, whether or not it still holds: it is what is shown while the server
    /// hangs.
    last: ArcSwapOption<Listing>,
    /// Since when what was asked for before is not relied on.
    distrusted: ArcSwapOption<Instant>,
}

impl Place {
    /// Keeps a list, unless what is kept was asked for later.
    pub(super) fn put(&self, listing: &Arc<Listing>) {
        self.last.rcu(|last| match last {
            Some(last) if last.asked > listing.asked => Some(Arc::clone(last)),
            _ => Some(Arc::clone(listing)),
        });
    }

    /// What is kept, if it still holds.
    fn kept(&self) -> Option<Arc<Listing>> {
        let last = self.last.load_full()?;
        let distrusted = self.distrusted.load();
        let is_trusted = distrusted.as_ref().is_none_or(|since| **since < last.asked);
        (is_trusted && !last.remaining(Instant::now()).is_zero()).then_some(last)
    }

    /// Makes the list be asked for anew, though it should hold.
    pub(super) fn distrust(&self) {
        self.distrusted.store(Some(Arc::new(Instant::now())));
    }

    /// How many items are kept.
    pub(super) fn items(&self) -> usize {
        self.last.load().as_ref().map_or(0, |last| last.items.len())
    }
}

impl Shelf {
    pub(super) fn new(server: ServerName, kind: ListKind, tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self {
            server,
            kind,
            tasks,
            for_all: Arc::default(),
            own: Readers::default(),
        })
    }

    /// The list as it is kept, or else as `ask` brings it. A server that hangs is waited for at most
    /// `patience` once; while it goes on hanging, what it said last is shown at once.
    ///
    /// `is_for_all` says that whatever it answers is the same for everybody; otherwise the answer
    /// itself says.
    pub(super) async fn list<F>(
        self: &Arc<Self>,
        reader: &Reader,
        is_for_all: bool,
        patience: Duration,
        ask: impl Fn() -> F,
    ) -> Result<Listed, Arc<UpstreamError>>
    where
        F: Future<Output = Result<Listing, UpstreamError>> + Send + 'static,
    {
        // Of a list that was for everybody the last time one caller asks for all.
        if is_for_all || self.for_all.last.load().is_some() {
            let found = self.find(&self.for_all, patience, &ask).await?;
            if found.may_be_seen_by(reader) {
                return Ok(found.shown(Instant::now()));
            }
        }
        let own = self.own.place(reader, Instant::now());
        let found = self.find(&own, patience, &ask).await?;
        Ok(found.shown(Instant::now()))
    }

    async fn find<F>(
        self: &Arc<Self>,
        place: &Arc<Place>,
        patience: Duration,
        ask: &impl Fn() -> F,
    ) -> Answer
    where
        F: Future<Output = Result<Listing, UpstreamError>> + Send + 'static,
    {
        if let Some(kept) = place.kept() {
            return Ok(kept);
        }
        let (shelf, asked_place, asking) = (Arc::clone(self), Arc::clone(place), ask());
        let question = async move {
            // Whoever had to wait may find that the turn before has brought what holds for them too.
            if let Some(kept) = asked_place.kept() {
                return Ok(kept);
            }
            let listing = Arc::new(asking.await?);
            shelf.keep(&listing);
            Ok(listing)
        };
        let turn = place.turns.take(&self.tasks, patience, question);
        match tokio::time::timeout_at(turn.since + patience, turn.answer).await {
            Ok(answer) => answer.unwrap_or_else(|| Err(removed().into())),
            Err(_) => {
                let (server, list) = (&self.server, self.kind.key());
                debug!(%server, list, "the list did not come in time");
                let late = || UpstreamError::Down {
                    reason: "its list did not come in time".into(),
                };
                place.last.load_full().ok_or_else(|| late().into())
            }
        }
    }

    /// Makes the list be asked for anew by those with these rights, though it should hold.
    pub(super) fn distrust(&self, context: &AuthorizationContext) {
        self.for_all.distrust();
        self.own.distrust(context);
    }

    fn keep(&self, listing: &Arc<Listing>) {
        if listing.is_for_all {
            self.for_all.put(listing);
            return;
        }
        // If it was for everybody before, it is not any more.
        self.for_all.last.store(None);
        let own = self.own.place(&listing.reader, Instant::now());
        own.put(listing);
        self.own.shrink();
    }

    /// The names in the list that is the same for everybody; `None` when none such is kept.
    pub(super) fn shared_names(&self) -> Option<Vec<String>> {
        let last = self.for_all.last.load_full()?;
        Some(
            last.items
                .iter()
                .map(|item| item.name().to_owned())
                .collect(),
        )
    }

    /// Whether nothing is kept for anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.for_all.last.load().is_none() && self.own.size().0 == 0
    }

    /// What is kept, for operators, with nobody's name; `None` when nothing is.
    pub(super) fn describe(&self) -> Option<serde_json::Value> {
        let for_all = self.for_all.last.load_full().map(|last| {
            json!({
                "items": last.items.len(),
                "age_seconds": last.asked.elapsed().as_secs(),
                "holds": last.holds(Instant::now()),
            })
        });
        let (users, items) = self.own.size();
        let own = (users > 0).then(|| json!({ "users": users, "items": items }));
        (for_all.is_some() || own.is_some()).then(|| json!({ "shared": for_all, "private": own }))
    }
}

#[cfg(test)]
mod tests;
