//! The connections to a server that all with the same rights have in common.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::Deadline;
use gateway_mcp::client::Peer;
use tokio::sync::watch;

use super::UpstreamError;
use super::authorization::AuthorizationContext;
use super::changes::Changes;
use super::on_demand::OnDemand;
use super::supervisor::Links;

/// Where what belongs to no client alone is asked for.
#[derive(Debug, Clone)]
pub(super) enum Common {
    /// Everybody has the same: one is kept.
    Kept(Links),
    /// Users differ: each has one from when they ask until it is idle.
    OnDemand(OnDemand),
}

/// A connection, and what is heard of changes on it.
pub(super) struct Source {
    pub(super) peer: Arc<Peer>,
    pub(super) changes: watch::Sender<Changes>,
    /// What had been heard before the connection was used.
    pub(super) before: Changes,
}

impl Common {
    /// Waits for the connection with these rights, as long as a request may.
    pub(super) async fn ready(
        &self,
        context: &AuthorizationContext,
        deadline: Deadline,
    ) -> Result<Arc<Peer>, UpstreamError> {
        match self {
            Self::Kept(links) => links.ready(deadline).await,
            Self::OnDemand(users) => users.ready(context, deadline).await,
        }
    }

    /// Waits for the connection only while it is being made, and at most for `patience`.
    pub(super) async fn ready_soon(
        &self,
        context: &AuthorizationContext,
        patience: Duration,
    ) -> Result<Arc<Peer>, UpstreamError> {
        match self {
            Self::Kept(links) => {
                let peer = links.ready_soon(patience).await;
                peer.ok_or_else(|| UpstreamError::Down {
                    reason: "it is not there".into(),
                })
            }
            Self::OnDemand(users) => users.ready(context, Deadline::after(patience)).await,
        }
    }

    /// Like [`Self::ready_soon`], for asking what may change.
    pub(super) async fn source(
        &self,
        context: &AuthorizationContext,
        patience: Duration,
    ) -> Result<Source, UpstreamError> {
        self.ready_soon(context, patience).await?;
        let changes = self.changes_sender(context);
        let before = *changes.borrow();
        // Looked up once more after that: what had been heard must not be of a later connection.
        let peer = self.ready_soon(context, patience).await?;
        Ok(Source {
            peer,
            changes,
            before,
        })
    }

    /// By which it is told that the lists have changed that one with these rights sees.
    pub(super) fn changes_sender(&self, context: &AuthorizationContext) -> watch::Sender<Changes> {
        match self {
            Self::Kept(links) => links.changes_sender(),
            Self::OnDemand(users) => users.changes_sender(context),
        }
    }

    /// Says that a connection is of no use any more.
    pub(super) fn give_up(&self, context: &AuthorizationContext, peer: &Arc<Peer>) {
        match self {
            Self::Kept(links) => links.give_up(peer),
            Self::OnDemand(users) => users.give_up(context, peer),
        }
    }
}
