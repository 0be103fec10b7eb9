//! For monitors: whether the plugin's server lives, and what was measured.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use gateway_data_plane::Access;
use gateway_plugins::Metrics;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::http::{Body, said};

/// For the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until told to stop; without a listener it only waits for that.
pub(super) async fn serve(
    listener: Option<TcpListener>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let Some(listener) = listener else {
        return stop.cancelled().await;
    };
    let access = Arc::new(Access::new([]));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (metrics, access) = (Arc::clone(&metrics), Arc::clone(&access));
        let service = service_fn(move |request| {
            let answer = answer(&metrics, &access, &request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let stop = stop.clone();
        drop(tokio::spawn(async move {
            if let Some(Err(error)) = stop.run_until_cancelled(connection).await {
                debug!(%error, "an operations connection ended early");
            }
        }));
    }
}

fn answer(metrics: &Metrics, access: &Access, request: &Request<Incoming>) -> Response<Body> {
    if let Err(refusal) = access.check(request.uri(), request.headers()) {
        return said(StatusCode::FORBIDDEN, format!("{refusal}\n"));
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => said(StatusCode::OK, "ok\n"),
        (&Method::GET, "/readyz") => said(StatusCode::OK, "ready\n"),
        (&Method::GET, "/metrics") => match metrics.render(&[]) {
            Ok(text) => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                let mut response = said(StatusCode::OK, text);
                let kind = HeaderValue::from_static(kind);
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            Err(_) => said(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics cannot be written\n",
            ),
        },
        _ => said(
            StatusCode::NOT_FOUND,
            "there are /healthz, /readyz and /metrics\n",
        ),
    }
}
