//! The way to a running desktop for the commands of its user.

use super::planes::Planes;
use crate::data_dir::DataDir;

/// Commands reach the gateway here, where the system has such a thing.
pub(super) struct Control {
    #[cfg(unix)]
    socket: Option<crate::control_socket::ControlSocket>,
}

impl Control {
    /// Without it the gateway serves its clients all the same.
    #[cfg(unix)]
    pub(super) fn listen(data_dir: &DataDir) -> Self {
        let socket = crate::control_socket::ControlSocket::bind(data_dir);
        let socket = socket.inspect_err(|error| tracing::warn!("{error:#}"));
        Self {
            socket: socket.ok(),
        }
    }

    #[cfg(not(unix))]
    pub(super) fn listen(_: &DataDir) -> Self {
        Self {}
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
