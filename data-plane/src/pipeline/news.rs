//! What changes in the lists of an endpoint while a client is connected: its servers say so, a
//! server comes or goes, or another configuration is in force.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select_all;
use gateway_core::UserId;
use gateway_mcp::author;
use gateway_mcp::list::ListKind;
use tokio::sync::watch;

use super::tenant;
use crate::Gateway;
use crate::endpoint::Endpoint;
use crate::exposure::Exposure;
use crate::upstream::Changes;

/// Changes that follow each other this fast are told as one.
const COALESCE: Duration = Duration::from_millis(50);

/// The notifications that there are, by the list that they speak of. Templates have none of their
/// own.
pub(super) const TOLD: [(ListKind, &str, &str); 3] = [
    (
        ListKind::Tools,
        "toolsListChanged",
        "notifications/tools/list_changed",
    ),
    (
        ListKind::Prompts,
        "promptsListChanged",
        "notifications/prompts/list_changed",
    ),
    (
        ListKind::Resources,
        "resourcesListChanged",
        "notifications/resources/list_changed",
    ),
];

/// Follows the lists of one endpoint.
pub(super) struct News {
    gateway: Arc<Gateway>,
    endpoint: Endpoint,
    user: UserId,
    revisions: watch::Receiver<u64>,
    view: Option<Arc<Exposure>>,
    servers: Vec<(watch::Receiver<Changes>, Changes)>,
}

impl News {
    /// Follows from now on, as far as a user can notice.
    pub(super) fn of(gateway: &Arc<Gateway>, endpoint: &Endpoint, user: &UserId) -> Self {
        let mut news = Self {
            gateway: Arc::clone(gateway),
            endpoint: endpoint.clone(),
            user: user.clone(),
            revisions: gateway.tenants.changes(),
            view: None,
            servers: Vec::new(),
        };
        news.look_again();
        news
    }

    /// The notifications of the lists that have changed, once one has.
    pub(super) async fn next(&mut self) -> Vec<&'static str> {
        loop {
            self.wait().await;
            tokio::time::sleep(COALESCE).await;
            let mut changed = self.look_again();
            for (receiver, known) in &mut self.servers {
                let now = *receiver.borrow_and_update();
                changed.extend(now.since(known));
                *known = now;
            }
            let told = TOLD
                .iter()
                .filter(|(kind, _, _)| changed.contains(kind.key()));
            let told: Vec<_> = told.map(|(_, _, method)| *method).collect();
            if !told.is_empty() {
                return told;
            }
        }
    }

    async fn wait(&mut self) {
        let servers = self
            .servers
            .iter_mut()
            .map(|(changes, _)| Box::pin(changes.changed()));
        let servers: Vec<_> = servers.collect();
        let any_server = async {
            match servers.is_empty() {
                true => std::future::pending().await,
                // A server that is gone will be missing from the next configuration.
                false => match select_all(servers).await {
                    (Ok(()), _, _) => {}
                    (Err(_), _, _) => std::future::pending().await,
                },
            }
        };
        tokio::select! {
            () = any_server => {}
            changed = self.revisions.changed() => {
                if changed.is_err() {
                    std::future::pending().await
                }
            }
        }
    }

    /// Takes note of what is in force now. Where that is another view than before, every list may
    /// have changed.
    fn look_again(&mut self) -> BTreeSet<&'static str> {
        let now = tenant::in_force(&self.gateway, &self.endpoint)
            .ok()
            .map(|(_, view)| view);
        let same = match (&self.view, &now) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (None, None) => true,
            _ => false,
        };
        if same {
            return BTreeSet::new();
        }
        let servers = now.iter().flat_map(|view| view.servers());
        self.servers = servers
            .map(|server| {
                let receiver = server.changes(&self.user);
                let known = *receiver.borrow();
                (receiver, known)
            })
            .collect();
        self.view = now;
        TOLD.iter().map(|(kind, _, _)| kind.key()).collect()
    }
}

/// The notification of a change for a legacy session.
pub(super) fn plain(method: &str) -> Bytes {
    author::notification(method, None).into_bytes()
}
