//! Unix sockets as the way to an HTTP endpoint: a server of the same machine or the same pod.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tower_service::Service;

use super::connector::ConnectError;
use super::error::BoxError;

/// Opens connections to one socket, whatever host a request names.
#[derive(Debug, Clone)]
pub(super) struct SocketDialer {
    path: Arc<Path>,
}

impl SocketDialer {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.into() }
    }
}

impl Service<Uri> for SocketDialer {
    type Response = TokioIo<UnixStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = Arc::clone(&self.path);
        Box::pin(async move {
            let stream = UnixStream::connect(&path).await;
            Ok(TokioIo::new(stream.map_err(|source| {
                let path = path.to_path_buf();
                ConnectError::Socket { path, source }
            })?))
        })
    }
}
