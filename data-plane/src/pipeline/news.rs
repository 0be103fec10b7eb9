//! What changes in the lists of an endpoint while a client is connected: its servers say so, a
//! server comes or goes, or another configuration is in force.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select_all;
use gateway_core::UserId;
use gateway_mcp::author;
use gateway_mcp::json::Fields;
use gateway_mcp::list::ListKind;
use gateway_mcp::meta::SUBSCRIPTION_ID;
use gateway_mcp::place::Step::Field;
use gateway_mcp::place::find;
use serde_json::json;
use tokio::sync::watch;

use super::authenticate::Authenticated;
use super::{Reply, Trail, tenant};
use crate::Gateway;
use crate::endpoint::Endpoint;
use crate::exposure::Exposure;
use crate::request::ClientRequest;
use crate::upstream::Changes;

/// Changes that follow each other this fast are told as one.
const COALESCE: Duration = Duration::from_millis(50);

/// The notifications that there are, by the list that they speak of. Templates have none of their
/// own.
const TOLD: [(ListKind, &str, &str); 3] = [
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

/// `subscriptions/listen`: first what is agreed on, then what the client asked to be told, until
/// it goes away or the gateway stops.
pub(super) async fn listen(
    gateway: &Arc<Gateway>,
    caller: Authenticated,
    request: &ClientRequest,
    trail: &mut Trail,
) -> Reply {
    let user = caller.principal.user_id.clone();
    // The stream outlives many configurations; it holds none of them.
    drop(caller);
    trail.finish().await;
    let id = request.message.id().unwrap_or("null").to_owned();
    let wanted: Vec<_> = TOLD
        .iter()
        .filter(|(_, field, _)| asks_for(request, field))
        .collect();
    let agreed: serde_json::Map<_, _> = wanted
        .iter()
        .map(|(_, field, _)| ((*field).to_owned(), json!(true)))
        .collect();
    let acknowledged = notification(
        "notifications/subscriptions/acknowledged",
        &id,
        &format!(r#","notifications":{}"#, serde_json::Value::from(agreed)),
    );
    let methods: Vec<_> = wanted.into_iter().map(|(_, _, method)| *method).collect();
    let news = News::of(gateway, &request.endpoint, &user);
    let stop = gateway.stopping.clone();
    let start = (news, vec![acknowledged], false);
    Reply::Events(Box::pin(futures_util::stream::unfold(
        start,
        move |(mut news, mut waiting, ended)| {
            let (id, methods, stop) = (id.clone(), methods.clone(), stop.clone());
            async move {
                loop {
                    if !waiting.is_empty() {
                        let message = waiting.remove(0);
                        return Some((message, (news, waiting, ended)));
                    }
                    if ended {
                        return None;
                    }
                    tokio::select! {
                        changed = news.next() => {
                            let told = changed.into_iter().filter(|method| methods.contains(method));
                            waiting.extend(told.map(|method| notification(method, &id, "")));
                        }
                        () = stop.cancelled() => {
                            let meta = format!(r#"{{"resultType":"complete","_meta":{{"{SUBSCRIPTION_ID}":{id}}}}}"#);
                            return Some((author::result(&id, &meta).into_bytes(), (news, waiting, true)));
                        }
                    }
                }
            }
        },
    )))
}

/// The notification of a change for a legacy session.
pub(super) fn plain(method: &str) -> Bytes {
    author::notification(method, None).into_bytes()
}

/// A notification on a subscription; `further` begins with a comma.
fn notification(method: &str, id: &str, further: &str) -> Bytes {
    let params = format!(r#"{{"_meta":{{"{SUBSCRIPTION_ID}":{id}}}{further}}}"#);
    author::notification(method, Some(&params)).into_bytes()
}

fn asks_for(request: &ClientRequest, field: &str) -> bool {
    let bytes = request.message.bytes();
    let place = [Field("params"), Field("notifications")];
    let filter = find(bytes, 0..bytes.len(), &place).pop();
    let fields = filter.and_then(|range| Fields::scan(bytes, range).ok());
    fields
        .and_then(|fields| fields.get(field))
        .and_then(|range| bytes.get(range))
        == Some(b"true")
}
