//! A load balancer such as stands before data planes: connections in turn to those that are ready.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::planes::DataPlane;
use crate::raw::RawClient;

/// How often each backend is asked whether it is ready.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    backends: Arc<watch::Sender<Vec<Backend>>>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

#[derive(Debug, Clone)]
struct Backend {
    mcp: SocketAddr,
    operations: SocketAddr,
    is_ready: bool,
}

impl Balancer {
    /// One without backends. It ends when it is dropped.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let backends: Arc<watch::Sender<Vec<Backend>>> = Arc::default();
        Ok(Self {
            address: listener.local_addr()?,
            _tasks: [
                AbortOnDropHandle::new(tokio::spawn(check(Arc::clone(&backends)))),
                AbortOnDropHandle::new(tokio::spawn(accept(listener, Arc::clone(&backends)))),
            ],
            backends,
        })
    }

    /// Sends connections to a data plane from now on, whenever it is ready.
    pub fn add(&self, plane: &DataPlane) {
        self.backends.send_modify(|backends| {
            backends.push(Backend {
                mcp: plane.mcp(),
                operations: plane.operations(),
                is_ready: true,
            });
        });
    }

    /// Forgets a data plane, whose port may be another's from now on.
    pub fn remove(&self, mcp: SocketAddr) {
        self.backends
            .send_modify(|backends| backends.retain(|backend| backend.mcp != mcp));
    }

    /// `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn check(backends: Arc<watch::Sender<Vec<Backend>>>) {
    let client = RawClient::default();
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        let known = backends.borrow().clone();
        for backend in known {
            let url = format!("http://{}/readyz", backend.operations);
            let answer = client.get(&url).await;
            let is_ready = answer.is_ok_and(|answer| answer.status == 200);
            note(&backends, backend.mcp, is_ready);
        }
    }
}

fn note(backends: &watch::Sender<Vec<Backend>>, mcp: SocketAddr, is_ready: bool) {
    backends.send_modify(|backends| {
        let backend = backends.iter_mut().find(|backend| backend.mcp == mcp);
        if let Some(backend) = backend {
            backend.is_ready = is_ready;
        }
    });
}

async fn accept(listener: TcpListener, backends: Arc<watch::Sender<Vec<Backend>>>) {
    let turn = Arc::new(AtomicUsize::new(0));
    while let Ok((client, _)) = listener.accept().await {
        let (backends, turn) = (Arc::clone(&backends), Arc::clone(&turn));
        tokio::spawn(async move { carry(client, &backends, &turn).await });
    }
}

/// Carries a connection to the next backend that takes it; without any it is closed.
async fn carry(mut client: TcpStream, backends: &watch::Sender<Vec<Backend>>, turn: &AtomicUsize) {
    loop {
        let known = backends.borrow().clone();
        let ready: Vec<_> = known.iter().filter(|backend| backend.is_ready).collect();
        let next = turn.fetch_add(1, Ordering::Relaxed);
        let Some(backend) = ready.get(next % ready.len().max(1)) else {
            return;
        };
        match TcpStream::connect(backend.mcp).await {
            Ok(mut server) => {
                // How it ends is for client and server to see.
                tokio::io::copy_bidirectional(&mut client, &mut server)
                    .await
                    .ok();
                return;
            }
            Err(_) => note(backends, backend.mcp, false),
        }
    }
}
