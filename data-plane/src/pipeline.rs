//! What happens to a client's request, from top to bottom. Each step takes what the step before
//! it made, so that none can be left out.

mod audit;
mod authenticate;
mod authorize;
mod batch;
mod forward;
mod inject;
mod list;
mod listen;
mod news;
mod open;
mod params;
mod reply;
mod route;
mod standing;
mod strangers;
mod tenant;
mod trail;
mod watch;

use std::sync::Arc;

use futures_util::{StreamExt as _, TryFutureExt as _};
use gateway_core::{Deadline, RequestId};
use gateway_mcp::list::ListKind;
use gateway_mcp::message::Message;
use gateway_mcp::place::Step::Field;
use gateway_mcp::place::find;
use gateway_mcp::version::Era;
use http::HeaderMap;
use tracing::debug;

use crate::Gateway;
use crate::detach::Detached;
use crate::endpoint::Endpoint;
use crate::error::{Failure, Reason};
use crate::fleet::{self, Word};
use crate::live::LiveSession;
use crate::request::{ClientRequest, find_session, unknown_session};
use crate::session::Session;

pub(crate) use audit::AuditGate;
pub(crate) use batch::answer_batch;
#[cfg(feature = "fuzzing")]
pub use list::rewrite_cursor;
pub(crate) use reply::{EventStream, Reply};
use route::Subject;
pub(crate) use standing::open_stream;
pub(crate) use strangers::Strangers;
use trail::Trail;
pub(crate) use watch::Watch;

/// Answers a client's request.
pub(crate) async fn answer(
    gateway: &Arc<Gateway>,
    request: Box<ClientRequest>,
) -> Result<Reply, Failure> {
    match request.dialect.era() {
        // A lost connection cancels a modern request and leaves a legacy one alone: the answer is
        // waited for, and if it is a stream, the client may come back to it.
        Era::Modern => Box::pin(run(Arc::clone(gateway), request)).await,
        Era::Legacy => {
            let (live, keeper) = (live_of(gateway, &request), Arc::clone(gateway));
            let work = run(Arc::clone(gateway), request).map_ok(move |reply| match reply {
                Reply::Events(events) => resumable(&keeper, &live, events),
                reply => reply,
            });
            Detached::new(Box::pin(work), &gateway.requests).await
        }
    }
}

/// The live state of the session that a request belongs to.
fn live_of(gateway: &Gateway, request: &ClientRequest) -> Arc<LiveSession> {
    match request.dialect.session() {
        Some(session) => gateway.live.of(&request.endpoint.tenant, session.id),
        None => Arc::default(),
    }
}

/// Lets a stream go on whether or not the client is connected, who may come back to it.
fn resumable(gateway: &Gateway, live: &LiveSession, mut events: EventStream) -> Reply {
    let feed = live.keep().feeds.open();
    let body = feed.read_on();
    drop(gateway.requests.spawn(async move {
        while let Some(message) = events.next().await {
            feed.deliver(&message).await;
        }
        feed.close();
    }));
    Reply::Feed(Box::pin(body))
}

/// Takes a notification that the owner of a legacy session sends.
pub(crate) async fn take_notification(
    gateway: &Arc<Gateway>,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    session: &Session,
    message: &Message,
) -> Result<(), Failure> {
    let (snapshot, view) = tenant::in_force(gateway, endpoint)?;
    authenticate::authenticate_owner(&snapshot, headers, session, &gateway.limits).await?;
    if message.method() == Some("notifications/cancelled") {
        let place = [Field("params"), Field("requestId")];
        let bytes = message.bytes();
        let found = find(bytes, 0..bytes.len(), &place)
            .pop()
            .and_then(|range| bytes.get(range));
        if let Some(id) = found.and_then(|id| std::str::from_utf8(id).ok()) {
            cancel(gateway, endpoint, session, id).await;
        }
    }
    if message.method() == Some("notifications/roots/list_changed") {
        for server in view.servers() {
            server.tell(session.id, message).await;
        }
    }
    Ok(())
}

/// Cancels a call of a session, at whichever replica it is under way.
async fn cancel(gateway: &Arc<Gateway>, endpoint: &Endpoint, session: &Session, id: &str) {
    let live = gateway.live.find(session.id);
    if !live.is_some_and(|live| live.calls.cancel(id)) {
        let cancelled = Word::Cancelled {
            session: session.id,
            request: id.to_owned(),
        };
        fleet::tell(gateway, &endpoint.tenant, cancelled).await;
    }
}

/// Takes the answer of a client to what a server asked.
pub(crate) async fn take_answer(
    gateway: &Gateway,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    session: &Session,
    answer: &Message,
) -> Result<(), Failure> {
    let (snapshot, _) = tenant::in_force(gateway, endpoint)?;
    authenticate::authenticate_owner(&snapshot, headers, session, &gateway.limits).await?;
    let live = gateway.live.find(session.id);
    let kept = live.as_ref().and_then(|live| live.kept());
    let Some((peer, answer)) = kept.and_then(|kept| kept.questions.answer(answer)) else {
        debug!("an answer to a question that nobody waits for");
        return Ok(());
    };
    let deadline = Deadline::after(gateway.limits.plugin_timeout);
    peer.respond(&answer, deadline).await.map_err(|error| {
        Failure::new(Reason::Unavailable, "the server did not take the answer").caused_by(error)
    })
}

async fn run(gateway: Arc<Gateway>, request: Box<ClientRequest>) -> Result<Reply, Failure> {
    let (method, tenant) = (request.method(), &request.endpoint.tenant);
    let mut trail = Trail::begin(method, tenant, &request.id, &gateway.tasks);
    let result = tokio::select! {
        result = dispatch(&gateway, &request, &mut trail) => result,
        () = gateway.giving_up.cancelled() => Err(stopping()),
    };
    if let Err(failure) = &result {
        trail.refuse(failure).await;
    }
    result
}

async fn dispatch(
    gateway: &Arc<Gateway>,
    request: &ClientRequest,
    trail: &mut Trail,
) -> Result<Reply, Failure> {
    match (request.method(), request.dialect.era()) {
        ("initialize", Era::Legacy) => initialize(gateway, request, trail).await,
        ("ping", Era::Legacy) => ping(gateway, request, trail).await,
        ("server/discover", Era::Modern) => discover(gateway, request, trail).await,
        // On the heap, because calls would have the size of these.
        ("subscriptions/listen", Era::Modern) => Box::pin(listen(gateway, request, trail)).await,
        ("logging/setLevel", Era::Legacy) => Box::pin(set_level(gateway, request, trail)).await,
        (method, era) => match (ListKind::of_method(method), Subject::of_method(method, era)) {
            (Some(kind), _) => list(gateway, request, kind, trail).await,
            (None, Some(subject)) => call(gateway, request, subject, trail).await,
            (None, None) => unknown_method(gateway, request, trail, method),
        },
    }
}

/// `tools/call`, `prompts/get`, `resources/read`, `completion/complete`: the whole way to a server
/// and back.
async fn call(
    gateway: &Arc<Gateway>,
    request: &ClientRequest,
    subject: Subject,
    trail: &mut Trail,
) -> Result<Reply, Failure> {
    let scoped = tenant::resolve(gateway, request, trail)?;
    let caller = authenticate::authenticate(scoped, request, trail).await?;
    let routed = route::route(caller, request, subject, trail).await?;
    let authorized = authorize::authorize(routed, request).await?;
    let equipped = inject::inject(authorized, request).await?;
    let checked = params::check(equipped, request).await?;
    let reserved = audit::reserve(checked, trail).await?;
    let answer = match request.method() {
        // Kept for as long as the session, whatever becomes of the connection to the server.
        "resources/subscribe" => Box::pin(watch::subscribe(gateway, reserved, request)).await?,
        "resources/unsubscribe" => Box::pin(watch::unsubscribe(gateway, reserved, request)).await?,
        _ => forward::forward(gateway, reserved, request).await?,
    };
    audit::record(answer, trail).await
}

/// `tools/list` and its like: what the caller may use, of every server that the endpoint shows.
async fn list(
    gateway: &Gateway,
    request: &ClientRequest,
    kind: ListKind,
    trail: &mut Trail,
) -> Result<Reply, Failure> {
    let scoped = tenant::resolve(gateway, request, trail)?;
    let caller = authenticate::authenticate(scoped, request, trail).await?;
    let offer = list::collect(&caller, request, kind).await?;
    let visible = authorize::visible(&caller, kind, offer).await?;
    let reply = list::assemble(&caller, request, kind, &visible)?;
    trail.finish().await;
    Ok(reply)
}

/// `initialize`: opens a legacy session.
async fn initialize(
    gateway: &Gateway,
    request: &ClientRequest,
    trail: &mut Trail,
) -> Result<Reply, Failure> {
    let scoped = tenant::resolve(gateway, request, trail)?;
    let caller = authenticate::authenticate(scoped, request, trail).await?;
    let reply = open::initialize(gateway, &caller, request).await?;
    trail.finish().await;
    Ok(reply)
}

/// `server/discover`: what a modern client may ask before anything else.
async fn discover(
    gateway: &Gateway,
    request: &ClientRequest,
    trail: &mut Trail,
) -> Result<Reply, Failure> {
    let scoped = tenant::resolve(gateway, request, trail)?;
    let caller = authenticate::authenticate(scoped, request, trail).await?;
    let reply = open::discover(&caller, request).await;
    trail.finish().await;
    Ok(reply)
}

/// `logging/setLevel`: for this session, at the servers that it has sessions with now or later,
/// through whichever replica.
async fn set_level(
    gateway: &Arc<Gateway>,
    request: &ClientRequest,
    trail: &mut Trail,
) -> Result<Reply, Failure> {
    let scoped = tenant::resolve(gateway, request, trail)?;
    let caller = authenticate::authenticate(scoped, request, trail).await?;
    let Some(session) = request.dialect.session() else {
        return Err(unknown_session());
    };
    let level = open::level_of(request)?;
    let live = gateway.live.of(&request.endpoint.tenant, session.id);
    live.set_level(&level);
    for server in caller.view.servers() {
        server.set_level(session.id, &level).await;
    }
    let session = session.id;
    fleet::tell(
        gateway,
        &request.endpoint.tenant,
        Word::Level { session, level },
    )
    .await;
    trail.forget();
    Ok(open::pong(request))
}

/// `subscriptions/listen`: what changes, while the client listens.
async fn listen(
    gateway: &Arc<Gateway>,
    request: &ClientRequest,
    trail: &mut Trail,
) -> Result<Reply, Failure> {
    let scoped = tenant::resolve(gateway, request, trail)?;
    let caller = authenticate::authenticate(scoped, request, trail).await?;
    let slot = gateway.load.stream(&caller.snapshot.load)?;
    Ok(listen::listen(gateway, caller, request, slot, trail).await)
}

/// `ping`: is the session alive. Not worth an audit event.
async fn ping(
    gateway: &Gateway,
    request: &ClientRequest,
    trail: &mut Trail,
) -> Result<Reply, Failure> {
    let scoped = tenant::resolve(gateway, request, trail)?;
    authenticate::authenticate(scoped, request, trail).await?;
    trail.forget();
    Ok(open::pong(request))
}

/// Any other method. At an endpoint that does not exist, that is what is wrong.
fn unknown_method(
    gateway: &Gateway,
    request: &ClientRequest,
    trail: &mut Trail,
    method: &str,
) -> Result<Reply, Failure> {
    tenant::resolve(gateway, request, trail)?;
    Err(Failure::unknown_method(method))
}

/// What a request ends with that is still under way when the gateway gives up waiting for it.
fn stopping() -> Failure {
    Failure::new(Reason::Unavailable, "the gateway is shutting down")
}

/// Records a request that is refused for the way in which it is said: a session that is not, or
/// headers that contradict the body, may be an attempt to get past something.
pub(crate) async fn record_refusal(
    gateway: &Gateway,
    endpoint: &Endpoint,
    id: &RequestId,
    method: &str,
    failure: &Failure,
) {
    let mut trail = Trail::begin(method, &endpoint.tenant, id, &gateway.tasks);
    if let Some(snapshot) = gateway.tenants.get(&endpoint.tenant) {
        trail.in_force(&snapshot);
        trail.refuse(failure).await;
    }
}

/// DELETE: ends a legacy session at every replica, and at the servers that it opened sessions at.
pub(crate) async fn end_session(
    gateway: &Arc<Gateway>,
    endpoint: &Endpoint,
    headers: &HeaderMap,
) -> Result<(), Failure> {
    let id = RequestId::new(uuid::Uuid::now_v7().to_string());
    let mut trail = Trail::begin("DELETE", &endpoint.tenant, &id, &gateway.tasks);
    let ended = end(gateway, endpoint, headers, &mut trail).await;
    match &ended {
        Ok(()) => trail.finish().await,
        Err(failure) => trail.refuse(failure).await,
    }
    ended
}

async fn end(
    gateway: &Arc<Gateway>,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    trail: &mut Trail,
) -> Result<(), Failure> {
    let (snapshot, _) = tenant::in_force(gateway, endpoint)?;
    trail.in_force(&snapshot);
    let session = find_session(endpoint, headers, &gateway.sessions)?;
    let caller = authenticate::authenticate_caller(&snapshot, headers, &gateway.limits).await?;
    trail.caller(&caller);
    authenticate::check_owner(&caller, &session)?;
    let session = session.id;
    let until = gateway.sessions.end(session);
    gateway.live.end(session);
    for server in snapshot.servers.values() {
        server.end_sessions_of(session);
    }
    fleet::tell(gateway, &endpoint.tenant, Word::Ended { session, until }).await;
    Ok(())
}
