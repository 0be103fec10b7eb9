//! The way to the servers of plugins, within what the process permits.

use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::config::{ServerSpec, TenantConfig, Violation};
use gateway_core::plugin::PluginKind;
use gateway_core::{Deadline, TenantId};
use gateway_mcp::client::{ClientError, ClientHello, Peer};
use gateway_mcp::version::Version;
use gateway_plugins::{Dial, PluginServers};

use super::target::{Transport, Way};
use crate::config::{Outbound, Permits};

/// One plugin's server. Its secrets are looked up at each connection: one that has been replaced meanwhile lets the
/// old connection be refused, and the next one in.
struct PluginTarget {
    outbound: Outbound,
    tenant: TenantId,
    path: String,
    spec: ServerSpec,
}

impl PluginTarget {
    fn way(&self) -> Result<Way, Vec<Violation>> {
        let (path, spec) = (self.path.as_str(), &self.spec);
        Way::of(&self.outbound, &self.tenant, (path, path), spec)
    }
}

impl Permits {
    /// For what the servers of plugins would be refused.
    pub(crate) fn plugin_servers(&self, config: &TenantConfig) -> Vec<Violation> {
        let mut violations = Vec::new();
        for kind in PluginKind::ALL {
            for (path, plugin) in config.plugins.of_kind(kind) {
                let Some(spec) = &plugin.server else { continue };
                let found = self.find(&config.tenant, &format!("{path}.server"), spec);
                violations.extend(found.err().unwrap_or_default());
            }
        }
        violations
    }
}

impl PluginServers for Permits {
    fn find(
        &self,
        tenant: &TenantId,
        path: &str,
        spec: &ServerSpec,
    ) -> Result<Arc<dyn Dial>, Vec<Violation>> {
        let target = PluginTarget {
            outbound: self.outbound(),
            tenant: tenant.clone(),
            path: path.to_owned(),
            spec: spec.clone(),
        };
        target.way()?;
        Ok(Arc::new(target))
    }
}

#[async_trait]
impl Dial for PluginTarget {
    async fn dial(&self, deadline: Deadline) -> Result<Peer, ClientError> {
        let hello = ClientHello {
            name: "mcp-gateway".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: "{}".to_owned(),
            legacy_version: Version::LATEST_LEGACY,
        };
        let way = self.way().map_err(|violations| ClientError::NotReached {
            server: self.path.as_str().into(),
            reason: said(&violations),
        })?;
        match way.transport {
            Transport::Http(endpoint) => Peer::connect_http(endpoint, hello, None, deadline).await,
            Transport::Command(command) => Peer::spawn(command, hello, None, deadline).await,
        }
    }
}

fn said(violations: &[Violation]) -> String {
    let said = violations.iter();
    let said = said.map(|violation| format!("{}: {}", violation.path, violation.reason));
    said.collect::<Vec<_>>().join("; ")
}
