//! Subscriptions to resources: asked for by a legacy client with `resources/subscribe`, by a modern
//! one with `subscriptions/listen`, and kept at the servers for as long as the client wants them.

mod keeper;
mod recipient;
mod updates;
mod wanted;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use gateway_core::ServerName;
use gateway_core::plugin::{AuditOutcome, ItemKind};
use gateway_mcp::message::Message;
use tokio::sync::{mpsc, oneshot};

use super::Reply;
use super::audit::Reserved;
use super::authenticate::Authenticated;
use super::forward::Answer;
use super::open::pong;
use super::route::Routed;
use crate::Gateway;
use crate::error::{Failure, Reason};
use crate::exposure::Found;
use crate::live::LiveSession;
use crate::request::{ClientRequest, unknown_session};
use keeper::Keeper;
use recipient::Recipient;

pub(crate) use updates::Updates;

/// How long a modern client waits for its acknowledgment while servers do not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Wishes that may wait.
const WAITING: usize = 64;

/// The resources of one server that one client watches, for as long as this is held.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    wishes: mpsc::Sender<Wish>,
}

/// What a client wants of resources, under the server's own URIs.
#[derive(Debug)]
enum Wish {
    /// Each with where the answer goes.
    Watch(Vec<(String, Answered)>),
    /// Done when the server has been told.
    Leave(String, oneshot::Sender<()>),
}

type Answered = oneshot::Sender<Result<(), Refusal>>;

/// Why a resource is not watched.
#[derive(Debug)]
enum Refusal {
    /// The server's own answer.
    Server(Box<Message>),
    /// It cannot be.
    Final(Failure),
    /// It cannot be now; it is tried again.
    Passing(Failure),
}

impl Refusal {
    /// The same once more, for another who waits.
    fn again(&self) -> Self {
        let same = |failure: &Failure| Failure::new(failure.reason(), failure.to_string());
        match self {
            Self::Server(message) => Self::Server(message.clone()),
            Self::Final(failure) => Self::Final(same(failure)),
            Self::Passing(failure) => Self::Passing(same(failure)),
        }
    }
}

impl Watch {
    fn start(gateway: &Arc<Gateway>, keeper: Keeper) -> Self {
        let (wishes, waiting) = mpsc::channel(WAITING);
        let stop = gateway.stopping.clone();
        let keeping = Box::pin(keeper.run(waiting));
        drop(gateway.tasks.spawn(stop.run_until_cancelled_owned(keeping)));
        Self { wishes }
    }

    /// Watches resources; the answers in the same order.
    async fn add(&self, uris: Vec<String>) -> Vec<Result<(), Refusal>> {
        let (mut asked, mut answers) = (Vec::new(), Vec::new());
        for uri in uris {
            let (answer, answered) = oneshot::channel();
            asked.push((uri, answer));
            answers.push(async move {
                let stopped = || Err(Refusal::Final(super::stopping()));
                answered.await.unwrap_or_else(|_| stopped())
            });
        }
        // Whoever is not there answers nothing.
        self.wishes.send(Wish::Watch(asked)).await.ok();
        join_all(answers).await
    }

    async fn remove(&self, uri: String) {
        let (done, is_done) = oneshot::channel();
        if self.wishes.send(Wish::Leave(uri, done)).await.is_ok() {
            // That nobody is there to do it is as good.
            drop(is_done.await);
        }
    }
}

/// `resources/subscribe` of a legacy client.
pub(super) async fn subscribe(
    gateway: &Arc<Gateway>,
    reserved: Reserved,
    request: &ClientRequest,
) -> Result<Answer, Failure> {
    let routed = reserved.equipped.authorized.routed;
    let uri = routed.name.clone();
    let watch = watch_of(gateway, routed, request)?;
    let answered = tokio::time::timeout_at(
        request.deadline.instant().into(),
        Box::pin(watch.add(vec![uri.clone()])),
    );
    let answer = match answered.await {
        Ok(mut answers) => answers.pop().unwrap_or(Ok(())),
        Err(_) => {
            let message = "the server did not answer in time";
            let failure = Failure::new(Reason::DeadlineExceeded, message);
            Err(Refusal::Passing(failure))
        }
    };
    match answer {
        Ok(()) => Ok(done(request)),
        Err(Refusal::Server(error)) => Ok(Answer::Whole {
            reply: Reply::Whole(
                error
                    .with_id(request.message.id().unwrap_or("null"))
                    .into_bytes(),
            ),
            outcome: AuditOutcome::Error,
        }),
        Err(Refusal::Final(failure)) => Err(failure),
        Err(Refusal::Passing(failure)) => {
            // The client has been told that it has no subscription.
            watch.remove(uri).await;
            Err(failure)
        }
    }
}

/// `resources/unsubscribe` of a legacy client.
pub(super) async fn unsubscribe(
    gateway: &Arc<Gateway>,
    reserved: Reserved,
    request: &ClientRequest,
) -> Result<Answer, Failure> {
    let routed = reserved.equipped.authorized.routed;
    let uri = routed.name.clone();
    watch_of(gateway, routed, request)?.remove(uri).await;
    Ok(done(request))
}

fn done(request: &ClientRequest) -> Answer {
    Answer::Whole {
        reply: pong(request),
        outcome: AuditOutcome::Ok,
    }
}

/// The watch of the request's session at the server.
fn watch_of(
    gateway: &Arc<Gateway>,
    routed: Routed,
    request: &ClientRequest,
) -> Result<Watch, Failure> {
    let session = request.dialect.session().ok_or_else(unknown_session)?;
    let live: Arc<LiveSession> = gateway.live.of(&request.endpoint.tenant, session.id);
    let server = routed.server.name().clone();
    let watch = live.keep().watches.at(&server, || {
        let recipient = Recipient::Session(Arc::downgrade(&live));
        let keeper = Keeper::new(gateway, &routed.caller, request, server.clone(), recipient);
        Watch::start(gateway, keeper)
    });
    watch.ok_or_else(unknown_session)
}

/// What of a modern client's wishes is fulfilled.
pub(super) struct Watched {
    /// Under the client's own names.
    pub(super) uris: Vec<String>,
    pub(super) watches: Vec<Watch>,
}

/// Watches resources for a modern client. What no server of the endpoint has, the policy denies or
/// the server refuses is left out. What cannot be watched now is, as soon as it can be.
pub(super) async fn subscribe_all(
    gateway: &Arc<Gateway>,
    caller: &Authenticated,
    request: &ClientRequest,
    uris: &[String],
    updates: &Arc<Updates>,
) -> Watched {
    let mut by_server = BTreeMap::<ServerName, Vec<(&String, String)>>::new();
    for exposed in uris {
        if let Some(Found::Item(server, uri)) = caller.view.find(ItemKind::Resource, exposed) {
            let wanted = by_server.entry(server.name().clone()).or_default();
            wanted.push((exposed, uri));
        }
    }
    let (mut watches, mut asked) = (Vec::new(), Vec::new());
    for (server, wanted) in by_server {
        let recipient = Recipient::Subscription(Arc::clone(updates));
        let keeper = Keeper::new(gateway, caller, request, server, recipient);
        let watch = Watch::start(gateway, keeper);
        watches.push(watch.clone());
        asked.push(async move {
            let (exposed, uris): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
            match tokio::time::timeout(PATIENCE, watch.add(uris)).await {
                Ok(answers) => exposed
                    .into_iter()
                    .zip(answers)
                    .filter(|(_, answer)| matches!(answer, Ok(()) | Err(Refusal::Passing(_))))
                    .map(|(exposed, _)| exposed)
                    .collect(),
                Err(_) => exposed,
            }
        });
    }
    let agreed = join_all(asked).await.concat();
    let uris = uris.iter().filter(|uri| agreed.contains(uri)).cloned();
    Watched {
        uris: uris.collect(),
        watches,
    }
}
