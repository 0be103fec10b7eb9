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

use std::sync::Arc;

use gateway_mcp::version::Era;
use http::HeaderMap;

use crate::Gateway;
use crate::detach::{Detached, DetachedStream};
use crate::endpoint::Endpoint;
use crate::error::Failure;
use crate::request::{ClientRequest, find_session};

pub(crate) use audit::{AuditGate, Trail};
pub(crate) use reply::Reply;

/// Answers a client's request.
pub(crate) async fn answer(
    gateway: &Arc<Gateway>,
    request: ClientRequest,
) -> Result<Reply, Failure> {
    let era = request.dialect.era();
    let work = Box::pin(run(Arc::clone(gateway), request));
    match era {
        // A lost connection cancels a modern request and leaves a legacy one alone.
        Era::Modern => work.await,
        Era::Legacy => match Detached::new(work, &gateway.tasks).await? {
            Reply::Events(events) => Ok(Reply::Events(Box::pin(DetachedStream::new(
                events,
                &gateway.tasks,
            )))),
            reply => Ok(reply),
        },
    }
}

async fn run(gateway: Arc<Gateway>, request: ClientRequest) -> Result<Reply, Failure> {
    let mut trail = Trail::begin(&request, &gateway);
    let result = match (request.method(), request.dialect.era()) {
        ("tools/call", _) => call(&gateway, &request, &mut trail).await,
        ("tools/list", _) => list(&gateway, &request, &mut trail).await,
        ("initialize", Era::Legacy) => initialize(&gateway, &request, &mut trail).await,
        ("ping", Era::Legacy) => ping(&gateway, &request, &mut trail).await,
        ("server/discover", Era::Modern) => discover(&gateway, &request, &mut trail).await,
        (method, _) => Err(Failure::unknown_method(method)),
    };
    if let Err(failure) = &result {
        trail.refuse(failure).await;
    }
    result
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
    let reserved = audit::reserve(gateway, equipped, trail)?;
    let answer = forward::forward(reserved, request).await?;
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
    Ok(open::pong(request))
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
