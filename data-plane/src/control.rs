//! The control listener of a desktop: a unix socket that only its user reaches, with MCP and the
//! operations endpoints on it.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::Gateway;
use crate::body::ReplyBody;
use crate::endpoint::Endpoint;
use crate::operations;
use crate::server::{self, ACCEPT_PAUSE};

/// Serves until told to stop; connections then finish what they have begun.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    in_sync: watch::Receiver<bool>,
    listener: UnixListener,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (shared, in_sync) = (Arc::clone(&gateway), in_sync.clone());
                let service = service_fn(move |request| {
                    let (gateway, in_sync) = (Arc::clone(&shared), in_sync.clone());
                    async move { Ok::<_, Infallible>(answer(&gateway, &in_sync, request).await) }
                });
                let connection = server::speak_http(stream, service, stop.clone());
                drop(gateway.requests.spawn(connection));
            }
            Err(error) => {
                debug!(%error, "a control connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(
    gateway: &Arc<Gateway>,
    in_sync: &watch::Receiver<bool>,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    match Endpoint::parse(request.uri().path()) {
        Some(_) => server::answer(gateway, request).await,
        None => operations::answer(gateway, *in_sync.borrow(), &request),
    }
}
