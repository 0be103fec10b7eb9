//! A balancer as simple as can be: each HTTP request goes to the next backend, whatever session it
//! belongs to and whatever connection it came by.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Serves until it is dropped.
#[derive(Debug)]
pub struct RoundRobin {
    address: SocketAddr,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Backends {
    addresses: Vec<SocketAddr>,
    next: AtomicUsize,
    client: Client<HttpConnector, Incoming>,
}

impl RoundRobin {
    pub async fn start(backends: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr().context("it has no address")?;
        let backends = Arc::new(Backends {
            addresses: backends,
            next: AtomicUsize::new(0),
            client: Client::builder(TokioExecutor::new()).build_http(),
        });
        let stop = CancellationToken::new();
        let serving = serve(listener, backends, stop.clone());
        drop(tokio::spawn(
            stop.clone().run_until_cancelled_owned(serving),
        ));
        Ok(Self {
            address,
            _stop: stop.drop_guard(),
        })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn serve(listener: TcpListener, backends: Arc<Backends>, stop: CancellationToken) {
    while let Ok((stream, _)) = listener.accept().await {
        let backends = Arc::clone(&backends);
        let service = service_fn(move |request| {
            let backends = Arc::clone(&backends);
            async move { Ok::<_, Infallible>(backends.answer(request).await) }
        });
        let serving = async move {
            // A client that goes away early is no failure of the balancer's.
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        };
        drop(tokio::spawn(
            stop.clone().run_until_cancelled_owned(serving),
        ));
    }
}

impl Backends {
    async fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> Response<Either<Incoming, Empty<Bytes>>> {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.addresses.len();
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let uri = format!("http://{}{path}", self.addresses[next]).parse::<Uri>();
        if let Ok(uri) = uri {
            *request.uri_mut() = uri;
        }
        match self.client.request(request).await {
            Ok(response) => response.map(Either::Left),
            Err(_) => {
                let mut response = Response::new(Either::Right(Empty::new()));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            }
        }
    }
}
