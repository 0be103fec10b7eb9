//! What happens to a client's request, from top to bottom. Each step takes what the step before
//! it made, so that none can be left out.

mod audit;
mod authenticate;
mod authorize;
mod forward;
mod inject;
mod list;
mod open;
mod reply;
mod route;
mod tenant;
mod trail;

use std::sync::Arc;

use futures_util::TryFutureExt as _;
use gateway_core::RequestId;
use gateway_mcp::version::Era;
use http::HeaderMap;

use crate::Gateway;
use crate::detach::Detached;
use crate::endpoint::Endpoint;
use crate::error::{Failure, Reason};
use crate::request::{ClientRequest, find_session};

pub(crate) use audit::AuditGate;
pub(crate) use reply::Reply;
use trail::Trail;

/// Answers a client's request.
pub(crate) async fn answer(
    gateway: &Arc<Gateway>,
    request: ClientRequest,
) -> Result<Reply, Failure> {
    let era = request.dialect.era();
    let work = run(Arc::clone(gateway), request);
    match era {
        // A lost connection cancels a modern request and leaves a legacy one alone: the answer is
        // waited for, and if it is a stream, that is read to its end.
        Era::Modern => Box::pin(work).await,
        Era::Legacy => {
            let requests = gateway.requests.clone();
            let work = work.map_ok(move |reply| reply.detached(&requests));
            Detached::new(Box::pin(work), &gateway.requests).await
        }
    }
}

async fn run(gateway: Arc<Gateway>, request: ClientRequest) -> Result<Reply, Failure> {
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
    gateway: &Gateway,
    request: &ClientRequest,
    trail: &mut Trail,
) -> Result<Reply, Failure> {
    match (request.method(), request.dialect.era()) {
        ("tools/call", _) => call(gateway, request, trail).await,
        ("tools/list", _) => list(gateway, request, trail).await,
        ("initialize", Era::Legacy) => initialize(gateway, request, trail).await,
        ("ping", Era::Legacy) => ping(gateway, request, trail).await,
        ("server/discover", Era::Modern) => discover(gateway, request, trail).await,
        (method, _) => unknown_method(gateway, request, trail, method),
    }
}

/// `tools/call`: the whole way to a server and back.
async fn call(
    gateway: &Gateway,
    request: &ClientRequest,
    trail: &mut Trail,
) -> Result<Reply, Failure> {
    let scoped = tenant::resolve(gateway, request, trail)?;
    let caller = authenticate::authenticate(scoped, request, trail).await?;
    let routed = route::route(caller, request, trail).await?;
    let authorized = authorize::authorize(routed).await?;
    let equipped = inject::inject(authorized, request).await?;
    let reserved = audit::reserve(equipped, trail)?;
    let answer = forward::forward(gateway, reserved, request).await?;
    audit::record(answer, trail).await
}

/// `tools/list`: what the caller may call, of every server that the endpoint shows.
async fn list(
    gateway: &Gateway,
    request: &ClientRequest,
    trail: &mut Trail,
) -> Result<Reply, Failure> {
    let scoped = tenant::resolve(gateway, request, trail)?;
    let caller = authenticate::authenticate(scoped, request, trail).await?;
    let offered = list::collect(&caller, request).await?;
    let visible = authorize::visible(&caller, offered).await?;
    trail.finish().await;
    Ok(list::assemble(&caller, request, visible))
}

/// `initialize`: opens a legacy session.
async fn initialize(
    gateway: &Gateway,
    request: &ClientRequest,
    trail: &mut Trail,
) -> Result<Reply, Failure> {
    let scoped = tenant::resolve(gateway, request, trail)?;
    let caller = authenticate::authenticate(scoped, request, trail).await?;
    let reply = open::initialize(gateway, &caller, request)?;
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
    trail.finish().await;
    Ok(open::discover(&caller, request))
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

/// DELETE: ends a legacy session here and at the servers that it opened sessions at.
pub(crate) async fn end_session(
    gateway: &Arc<Gateway>,
    endpoint: &Endpoint,
    headers: &HeaderMap,
) -> Result<(), Failure> {
    let session = find_session(endpoint, headers, &gateway.sessions)?;
    let snapshot = tenant::snapshot(gateway, endpoint)?;
    authenticate::authenticate_owner(&snapshot, headers, &session, &gateway.limits).await?;
    gateway.sessions.end(&session);
    for server in snapshot.servers.values() {
        server.end_sessions_of(session.id);
    }
    Ok(())
}
