//! Step 6: that the headers which repeat a call's arguments agree with them.

use gateway_core::plugin::ItemKind;

use super::forward::failure;
use super::inject::{Equipped, advice};
use crate::error::{Failure, Reason};
use crate::request::ClientRequest;

/// A request whose headers can be believed, or are its server's to check.
pub(crate) struct Checked {
    pub(super) equipped: Equipped,
}

/// Checks the `Mcp-Param-` headers of a call.
///
/// A modern server over HTTP does this itself, by its tool's definition as it is now; a check
/// here could only be by an older one, and wrongly refuse. All other servers never see headers
/// that mean anything to them, so it is done here for them. Legacy clients send none, nor do clients
/// over standard streams.
pub(super) async fn check(equipped: Equipped, request: &ClientRequest) -> Result<Checked, Failure> {
    let routed = &equipped.authorized.routed;
    if routed.kind != ItemKind::Tool {
        return Ok(Checked { equipped });
    }
    let (server, tool, context) = (&routed.server, &routed.name, &equipped.context);
    let checks = server.checks_params(context, request.deadline).await;
    let checks = checks.map_err(|error| {
        let advice = advice(&routed.caller, server);
        failure(error, server, advice.as_ref())
    })?;
    match (request.lacks_param_headers, checks) {
        (false, true) | (true, false) => {}
        // The gateway writes them.
        (true, true) => server.learn_tools(context).await,
        (false, false) => {
            // A plugin may have changed the arguments: the client's headers are about its own.
            let arguments = request.params.arguments();
            let checked = server.check_params(tool, context, arguments, &request.headers);
            checked.await.map_err(|error| {
                Failure::new(Reason::HeaderMismatch, error.to_string()).caused_by(error)
            })?;
        }
    }
    match server.refusal_of(tool, context) {
        None => Ok(Checked { equipped }),
        Some(error) => {
            let server = server.name();
            let message = format!(
                "tool `{tool}` of server `{server}` cannot be called: its definition is invalid: {error}"
            );
            Err(Failure::new(Reason::InvalidParams, message).caused_by(error))
        }
    }
}
