//! Unix sockets as the way to an HTTP endpoint: a server of the same machine or the same pod.

#[cfg(unix)]
mod beneath;

use std::path::{Component, Path};
use std::sync::Arc;
#[cfg(unix)]
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(unix)]
use http::Uri;
#[cfg(unix)]
use hyper_util::rt::TokioIo;
#[cfg(unix)]
use tokio::net::UnixStream;
#[cfg(unix)]
use tower_service::Service;

#[cfg(unix)]
use super::connector::ConnectError;
#[cfg(unix)]
use super::error::BoxError;
use super::network::NetworkRule;

/// Which unix sockets may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sockets {
    /// Those that the process reaches.
    Any,
    None,
    /// Those below a folder.
    Below(Arc<Path>),
}

impl Sockets {
    /// What can be said of a path by itself.
    pub(super) fn check(&self, path: &Path) -> Result<(), NetworkRule> {
        match self {
            Self::Any => Ok(()),
            Self::None => Err(NetworkRule::Socket),
            Self::Below(folder) => match inner(folder, path) {
                Some(_) => Ok(()),
                None => Err(NetworkRule::Socket),
            },
        }
    }

    /// Connects, and follows no link below the folder: whoever may write there cannot lead out of it.
    #[cfg(unix)]
    async fn connect(&self, path: &Path) -> io::Result<UnixStream> {
        match self {
            Self::Any => UnixStream::connect(path).await,
            Self::None => Err(refused()),
            Self::Below(folder) => {
                let inner = inner(folder, path).ok_or_else(refused)?;
                beneath::connect(folder, inner).await
            }
        }
    }
}

/// Where below a folder a path leads, if it does, and if it is written as directly as can be.
fn inner<'a>(folder: &Path, path: &'a Path) -> Option<&'a Path> {
    let inner = path.strip_prefix(folder).ok()?;
    let is_plain = |component| matches!(component, Component::Normal(_));
    let is_inside = inner.components().next().is_some() && inner.components().all(is_plain);
    is_inside.then_some(inner)
}

#[cfg(unix)]
fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, NetworkRule::Socket.text())
}

/// Opens connections to one socket, whatever host a request names.
#[cfg(unix)]
#[derive(Debug, Clone)]
pub(super) struct SocketDialer {
    path: Arc<Path>,
    sockets: Sockets,
}

#[cfg(unix)]
impl SocketDialer {
    pub(super) fn new(path: &Path, sockets: Sockets) -> Self {
        let path = path.into();
        Self { path, sockets }
    }
}

#[cfg(unix)]
impl Service<Uri> for SocketDialer {
    type Response = TokioIo<UnixStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { path, sockets } = self.clone();
        Box::pin(async move {
            let stream = sockets.connect(&path).await;
            Ok(TokioIo::new(stream.map_err(|source| {
                let path = path.to_path_buf();
                ConnectError::Socket { path, source }
            })?))
        })
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
