//! The fixture on standard input and output.

use rmcp::ServiceExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::server::Server;
use crate::fixture::Eras;

/// Serves until standard input ends.
pub async fn serve_stdio(eras: Eras) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let server = Server::new(eras, stop.clone(), TaskTracker::new());
    let transport = (tokio::io::stdin(), tokio::io::stdout());
    server.serve(transport).await?.waiting().await?;
    stop.cancel();
    Ok(())
}
