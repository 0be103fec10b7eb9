//! The host names that stand for tenants, as the control plane gives them.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use gateway_core::{HostName, TenantId};

/// Swapped as a whole. Names are in lower case.
#[derive(Debug, Default)]
pub(crate) struct Hosts(ArcSwap<HashMap<HostName, TenantId>>);

impl Hosts {
    /// From now on these names stand for tenants, and no other.
    pub(crate) fn replace(&self, names: HashMap<HostName, TenantId>) {
        self.0.store(Arc::new(names));
    }

    /// The tenant that a host name stands for, as a client writes it.
    pub(crate) fn tenant(&self, host: &str) -> Option<TenantId> {
        let host: HostName = host.to_ascii_lowercase().parse().ok()?;
        self.0.load().get(&host).cloned()
    }

    /// Whether there are none, as with most gateways: then nothing has to be looked up.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }
}
