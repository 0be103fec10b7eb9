//! The control listener of a desktop: a unix socket that only its user reaches, with MCP and the
//! operations endpoints on it.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::Gateway;
use crate::body::ReplyBody;
use crate::connection::Ending;
use crate::endpoint::Endpoint;
use crate::operations;
use crate::request::ByControl;
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
                let connection =
                    serve_connection(Arc::clone(&gateway), in_sync.clone(), stream, stop.clone());
                drop(gateway.requests.spawn(connection));
            }
            Err(error) => {
                debug!(%error, "a control connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(
    gateway: Arc<Gateway>,
    in_sync: watch::Receiver<bool>,
    stream: UnixStream,
    stop: CancellationToken,
) {
    let limits = gateway.limits;
    let ending = Ending {
        draining: gateway.draining.clone(),
        stop,
    };
    let answer = move |request| {
        let (gateway, in_sync) = (Arc::clone(&gateway), in_sync.clone());
        async move { answer(&gateway, &in_sync, request).await }
    };
    server::speak_http(stream, &limits, answer, ending).await;
}

async fn answer(
    gateway: &Arc<Gateway>,
    in_sync: &watch::Receiver<bool>,
    mut request: Request<Incoming>,
) -> Response<ReplyBody> {
    request.extensions_mut().insert(ByControl);
    match Endpoint::parse(request.uri().path()) {
        Some(_) => server::answer(gateway, request).await,
        None => {
            let in_sync = *in_sync.borrow();
            operations::answer(gateway, in_sync, &request.into_parts().0).await
        }
    }
}
