//! A gateway for the length of one command: both planes, no listener that others reach.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use gateway_data_plane::{Access, Limits};

use super::permits;
use super::planes::Planes;
use crate::config_file::ConfigFile;
use crate::control_socket::ControlSocket;
use crate::data_dir::DataDir;
use crate::exit::Failure;

/// Runs the gateway of a configuration file while `work` speaks to it at a socket, and ends it in
/// good order.
pub(crate) async fn briefly<T>(
    file: &ConfigFile,
    data_dir: DataDir,
    limits: Limits,
    work: impl AsyncFnOnce(PathBuf) -> Result<T, Failure>,
) -> Result<T, Failure> {
    // Nobody else reaches the gateway, so that every `auth_provider` is safe enough.
    let mut permits = permits(true, data_dir.path())?;
    // The command's result stands there.
    permits.registry = permits.registry.with_stdout_taken();
    let document = file
        .read()
        .and_then(|document| document.check(&permits))
        .map_err(super::invalid)?;
    let mut socket = ControlSocket::bind_hidden(&data_dir)?;
    let listener = socket.listener().context("the socket was taken already")?;
    let access = Access::new(std::iter::empty());
    let (planes, revision) = Planes::start(&data_dir, permits, access, limits, &document).await?;
    let working = async {
        planes.in_force(&document, revision).await?;
        work(socket.path().to_owned()).await
    };
    let ended = tokio::select! {
        ended = working => ended,
        () = planes.data.serve_control(listener) => {
            Err(Failure::Failed(anyhow!("the gateway ended before the command was done")))
        }
    };
    planes.shut_down().await;
    ended
}
