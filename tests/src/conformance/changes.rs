//! Tools that change what the server has, and the news of it to every client that listens.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rmcp::RoleServer;
use rmcp::model::{
    PromptListChangedNotification, ResourceListChangedNotification, ResourceUpdatedNotification,
    ResourceUpdatedNotificationParam, ServerNotification, Tool, ToolListChangedNotification,
};
use rmcp::service::{Peer, SubscriptionContext, SubscriptionSendError};
use serde_json::json;
use tokio::sync::{Mutex, broadcast};
use tokio_util::sync::CancellationToken;

use super::catalog::{Answer, Call, plain, text, tool};

/// More changes than a client falls behind by.
const CAPACITY: usize = 64;
/// What a change of a list adds to it, and the next change takes away.
pub(super) const ADDED_TOOL: &str = "test_added_tool";
pub(super) const ADDED_PROMPT: &str = "test_added_prompt";
pub(super) const ADDED_RESOURCE: &str = "test://added-resource";

#[derive(Debug, Clone)]
pub(super) enum Change {
    Tools,
    Prompts,
    Resources,
    Resource(String),
}

/// What has been added, and who wants to know.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) tool: AtomicBool,
    pub(super) prompt: AtomicBool,
    pub(super) resource: AtomicBool,
    /// How many resources clients have subscribed to.
    pub(super) watched: Arc<AtomicUsize>,
    news: broadcast::Sender<Change>,
}

/// One client's view of the changes since it connected.
#[derive(Debug)]
pub(super) struct Listener {
    /// Taken by whoever forwards the news.
    news: Mutex<Option<broadcast::Receiver<Change>>>,
    /// The resources that a legacy client has subscribed to.
    resources: Mutex<HashSet<String>>,
    watched: Arc<AtomicUsize>,
}

/// Counts the resources of a subscription for as long as it lasts.
struct Counted<'a>(&'a AtomicUsize, usize);

impl<'a> Counted<'a> {
    fn new(watched: &'a AtomicUsize, count: usize) -> Self {
        watched.fetch_add(count, Ordering::SeqCst);
        Self(watched, count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::SeqCst);
    }
}

pub(super) fn tools() -> Vec<Tool> {
    vec![
        plain("test_trigger_tool_change", "Adds a tool, or takes it away"),
        plain(
            "test_trigger_prompt_change",
            "Adds a prompt, or takes it away",
        ),
        plain(
            "test_trigger_resource_change",
            "Adds a resource, or takes it away",
        ),
        tool(
            "test_trigger_resource_update",
            "Says that a resource has changed",
            json!({
                "type": "object",
                "properties": { "uri": { "type": "string" } },
                "required": ["uri"],
            }),
        ),
    ]
}

impl Changes {
    pub(super) fn new() -> Self {
        Self {
            tool: AtomicBool::new(false),
            prompt: AtomicBool::new(false),
            resource: AtomicBool::new(false),
            watched: Arc::default(),
            news: broadcast::Sender::new(CAPACITY),
        }
    }

    /// Made before the client is told anything, so that it misses nothing.
    pub(super) fn listener(&self) -> Listener {
        Listener {
            news: Mutex::new(Some(self.news.subscribe())),
            resources: Mutex::default(),
            watched: Arc::clone(&self.watched),
        }
    }

    /// None for the tools of other areas.
    pub(super) fn call(&self, call: &Call) -> Option<Answer> {
        let change = match call.name.as_str() {
            "test_trigger_tool_change" => {
                self.tool.fetch_xor(true, Ordering::SeqCst);
                Change::Tools
            }
            "test_trigger_prompt_change" => {
                self.prompt.fetch_xor(true, Ordering::SeqCst);
                Change::Prompts
            }
            "test_trigger_resource_change" => {
                self.resource.fetch_xor(true, Ordering::SeqCst);
                Change::Resources
            }
            "test_trigger_resource_update" => Change::Resource(call.text("uri").to_owned()),
            ADDED_TOOL => return Some(text("Added by a change.")),
            _ => return None,
        };
        // It is an error only when nobody listens.
        self.news.send(change).ok();
        Some(text("Changed."))
    }
}

impl Listener {
    pub(super) async fn subscribe(&self, uri: String) {
        if self.resources.lock().await.insert(uri) {
            self.watched.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) async fn unsubscribe(&self, uri: &str) {
        if self.resources.lock().await.remove(uri) {
            self.watched.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Forwards news on a modern subscription until it ends.
    pub(super) async fn serve_subscription(
        &self,
        subscription: &SubscriptionContext,
        stop: &CancellationToken,
    ) {
        let Some(mut news) = self.news.lock().await.take() else {
            return;
        };
        let resources = subscription.accepted().resource_subscriptions.as_ref();
        let _counted = Counted::new(&self.watched, resources.map_or(0, Vec::len));
        loop {
            let change = tokio::select! {
                () = stop.cancelled() => return,
                () = subscription.cancelled() => return,
                change = next(&mut news) => change,
            };
            let Some(change) = change else { return };
            match subscription.sink().send(change.into()).await {
                Ok(()) | Err(SubscriptionSendError::NotificationNotAccepted(_)) => {}
                Err(_) => return,
            }
        }
    }

    /// Forwards news to a legacy session until it ends.
    pub(super) async fn serve_session(&self, peer: &Peer<RoleServer>, stop: &CancellationToken) {
        let Some(mut news) = self.news.lock().await.take() else {
            return;
        };
        loop {
            let change = tokio::select! {
                () = stop.cancelled() => return,
                change = next(&mut news) => change,
            };
            let Some(change) = change else { return };
            if let Change::Resource(uri) = &change
                && !self.resources.lock().await.contains(uri)
            {
                continue;
            }
            if peer.send_notification(change.into()).await.is_err() {
                return;
            }
        }
    }
}

impl From<Change> for ServerNotification {
    fn from(change: Change) -> Self {
        match change {
            Change::Tools => {
                Self::ToolListChangedNotification(ToolListChangedNotification::default())
            }
            Change::Prompts => {
                Self::PromptListChangedNotification(PromptListChangedNotification::default())
            }
            Change::Resources => {
                Self::ResourceListChangedNotification(ResourceListChangedNotification::default())
            }
            Change::Resource(uri) => Self::ResourceUpdatedNotification(
                ResourceUpdatedNotification::new(ResourceUpdatedNotificationParam::new(uri)),
            ),
        }
    }
}

/// None when there will be no more; what a slow client missed is left out.
async fn next(news: &mut broadcast::Receiver<Change>) -> Option<Change> {
    loop {
        match news.recv().await {
            Ok(change) => return Some(change),
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return None,
        }
    }
}
