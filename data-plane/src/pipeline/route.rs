//! Step 3: which server is meant, and what it calls the tool.

use std::sync::Arc;

use gateway_core::ExposedName;

use super::Trail;
use super::authenticate::Authenticated;
use crate::error::{Failure, Reason};
use crate::request::ClientRequest;
use crate::upstream::Upstream;

/// A request that knows where it goes.
pub(crate) struct Routed {
    pub(super) caller: Authenticated,
    pub(super) server: Arc<Upstream>,
    /// The tool's original name.
    pub(super) tool: String,
}

/// Finds the server and the original name of the tool that the request calls.
pub(super) async fn route(
    caller: Authenticated,
    request: &ClientRequest,
    trail: &mut Trail,
) -> Result<Routed, Failure> {
    let Some(name) = request.params.name() else {
        return Err(Failure::new(
            Reason::InvalidParams,
            "params.name is missing",
        ));
    };
    trail.tool(name);
    let (server, tool) = find(&caller, request, name)
        .await
        .ok_or_else(|| Failure::new(Reason::InvalidParams, format!("unknown tool: {name}")))?;
    trail.route(server.name(), &tool);
    Ok(Routed {
        caller,
        server,
        tool,
    })
}

async fn find(
    caller: &Authenticated,
    request: &ClientRequest,
    name: &str,
) -> Option<(Arc<Upstream>, String)> {
    let view = &request.endpoint.view;
    let servers = caller.snapshot.servers_of(view)?;
    if !caller.snapshot.is_prefixed(view) {
        let server = servers.first()?;
        return Some((Arc::clone(server), name.to_owned()));
    }
    let (server_name, tool) = ExposedName::split(name)?;
    let server = Arc::clone(
        servers
            .into_iter()
            .find(|server| *server.name() == server_name)?,
    );
    if !ExposedName::may_be_shortened(name) {
        return Some((server, tool.to_owned()));
    }
    // The name may be a shortened one: what it stands for is found among the server's tools.
    let tools = server.tools(caller.limits.list_patience).await;
    let original = tools.as_ref().and_then(|tools| {
        let mut names = tools.iter().map(gateway_mcp::list::Item::name);
        names.find(|tool| ExposedName::of(&server_name, tool).as_str() == name)
    });
    let tool = original.unwrap_or(tool).to_owned();
    Some((server, tool))
}
