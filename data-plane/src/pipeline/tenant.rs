//! Step 1: the endpoint's tenant, and what is in force for it.

use std::sync::Arc;

use gateway_core::Deadline;

use super::Trail;
use crate::Gateway;
use crate::endpoint::{Endpoint, View};
use crate::error::{Failure, Reason};
use crate::exposure::Exposure;
use crate::limits::Limits;
use crate::request::ClientRequest;
use crate::snapshot::Snapshot;

/// A request whose tenant, revision and view are settled.
pub(crate) struct Scoped {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) view: Arc<Exposure>,
    pub(super) limits: Limits,
}

/// Finds what is in force at the request's endpoint.
pub(super) fn resolve(
    gateway: &Gateway,
    request: &ClientRequest,
    trail: &mut Trail,
) -> Result<Scoped, Failure> {
    let (snapshot, view) = in_force(gateway, &request.endpoint)?;
    trail.in_force(&snapshot);
    trail.occupy(gateway.load.request(&snapshot.load)?);
    Ok(Scoped {
        snapshot,
        view,
        limits: gateway.limits,
    })
}

/// What is in force at an endpoint. A tenant or view that does not exist is not found, and so is
/// everything before a first configuration.
pub(super) fn in_force(
    gateway: &Gateway,
    endpoint: &Endpoint,
) -> Result<(Arc<Snapshot>, Arc<Exposure>), Failure> {
    let Some(snapshot) = gateway.tenants.get(&endpoint.tenant) else {
        return Err(if gateway.tenants.is_empty() {
            Failure::new(Reason::NotReady, "no configuration is in force yet")
        } else {
            Failure::new(Reason::NotFound, "there is no such endpoint")
        });
    };
    match snapshot.exposure(&endpoint.view) {
        Some(view) => Ok((snapshot, view)),
        None => Err(Failure::new(
            Reason::NotFound,
            match &endpoint.view {
                View::Server(name) => format!("there is no server `{name}`"),
                View::Profile(name) => format!("there is no profile `{name}`"),
                View::All => "there is no such endpoint".to_owned(),
            },
        )),
    }
}

/// The deadline for asking a plugin: the request's own, or the plugin's where that is nearer.
pub(super) fn plugin_deadline(
    deadline: Deadline,
    configured: Option<&gateway_core::config::PluginConfig>,
    limits: &Limits,
) -> Deadline {
    let timeout = configured.and_then(|plugin| plugin.timeout);
    deadline.within(timeout.map_or(limits.plugin_timeout, |timeout| timeout.as_duration()))
}
