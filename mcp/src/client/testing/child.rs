//! A command server for tests.

use http::HeaderMap;

use super::{PATIENCE, all, hello, soon};
use crate::client::{ChildCommand, ClientError, Peer};
use crate::message::Message;

/// A small server that behaves in the ways that are named.
pub(in crate::client) fn command(ways: &[&str]) -> ChildCommand {
    let mut command = ChildCommand::new("test", "python3");
    command.args = vec!["-c".into(), include_str!("server.py").into()];
    command.args.extend(ways.iter().map(ToString::to_string));
    command.max_line_bytes = 64 * 1024;
    command.probe_timeout = PATIENCE;
    command
}

pub(in crate::client) async fn spawn(command: ChildCommand) -> Peer {
    Peer::spawn(command, hello(), None, soon()).await.unwrap()
}

/// Everything that comes back for a request, the response last.
pub(in crate::client) async fn ask(
    peer: &Peer,
    message: &Message,
) -> Result<Vec<String>, ClientError> {
    all(peer.request(message, HeaderMap::new(), soon()).await?).await
}
