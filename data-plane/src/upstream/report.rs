//! What operators are told of a server.

use std::sync::Arc;
use std::time::Duration;

use gateway_mcp::list::ListKind;
use tracing::debug;

use super::Upstream;
use super::authorization::AuthorizationContext;
use super::common::Common;
use super::supervisor::{LastOutage, Link};

impl Upstream {
    /// `idle` while nobody has asked for it, `starting`, `ready`, `down` and why, or `per-user`, for operators.
    pub(crate) fn state(&self) -> (&'static str, Option<Arc<str>>) {
        match &self.common {
            Common::Kept(links) => match links.now() {
                Link::Asleep => ("idle", None),
                Link::Starting(_) => ("starting", None),
                Link::Ready(_) => ("ready", None),
                Link::Down(outage) => ("down", Some(outage.reason)),
            },
            Common::OnDemand(_) => ("per-user", None),
        }
    }

    /// The last time that the server was not there, and why, for operators.
    pub(crate) fn last_outage(&self) -> Option<Arc<LastOutage>> {
        match &self.common {
            Common::Kept(links) => links.last_outage(),
            Common::OnDemand(_) => None,
        }
    }

    /// The server's own names of the tools that everybody is offered; `None` where users differ, or
    /// where it cannot be had within `patience`.
    pub(crate) async fn shared_tools(&self, patience: Duration) -> Option<Vec<String>> {
        if self.hello().is_some() && self.catalog.tools().is_empty() {
            let context = AuthorizationContext::GATEWAY;
            let asked = self.list(ListKind::Tools, &context, None, patience);
            if let Err(error) = asked.await {
                debug!(server = %self.target.name, %error, "its tools are not known yet");
            }
        }
        self.catalog.tools().shared_names()
    }

    /// How many sessions or children there are beside the one that is kept for everybody.
    pub(crate) fn sessions(&self) -> usize {
        self.private.count()
    }

    /// What is kept of the server's lists, for operators.
    pub(crate) fn kept_lists(&self) -> serde_json::Value {
        self.catalog.describe()
    }
}
