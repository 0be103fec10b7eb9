//! The way to a running desktop for the commands of its user.

use super::planes::Planes;
use crate::data_dir::DataDir;

/// Commands reach the gateway here, where the system has such a thing.
pub(super) struct Control {
    #[cfg(unix)]
    socket: Option<crate::control_socket::ControlSocket>,
}

impl Control {
    /// Without it the gateway serves its clients all the same, but for one on standard streams,
    /// where it is `needed`.
    #[cfg(unix)]
    pub(super) fn listen(data_dir: &DataDir, needed: bool) -> anyhow::Result<Self> {
        let socket = match crate::control_socket::ControlSocket::bind(data_dir) {
            Err(error) if !needed => {
                tracing::warn!("{error:#}");
                None
            }
            bound => Some(bound?),
        };
        Ok(Self { socket })
    }

    #[cfg(not(unix))]
    pub(super) fn listen(_: &DataDir, _: bool) -> anyhow::Result<Self> {
        Ok(Self {})
    }

    /// Serves until the planes are shut down.
    #[cfg(unix)]
    pub(super) async fn serve(self, planes: &Planes) {
        let Some(mut socket) = self.socket else {
            return;
        };
        if let Some(listener) = socket.listener() {
            planes.data.serve_control(listener).await;
        }
    }

    #[cfg(not(unix))]
    pub(super) async fn serve(self, _: &Planes) {}
}
