//! All spools of a process, by tenant and sink.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use gateway_core::TenantId;
use gateway_core::plugin::AuditSink;
use jiff::Timestamp;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::delivery::Delivery;
use super::folder::{self, Folder};
use super::space::Quota;
use super::{Promises, Spool, SpoolSink};
use crate::{Metrics, Reading};

#[expect(
    clippy::disallowed_types,
    reason = "a spool is opened where nothing can be awaited, and none twice; no request opens one"
)]
type Mutex<T> = std::sync::Mutex<T>;

/// Where audit events wait for sinks that are MCP servers.
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    /// The folder for all of them, of this process alone.
    pub folder: PathBuf,
    /// How many bytes of one tenant's may wait.
    pub max_tenant_bytes: u64,
}

impl SpoolOptions {
    /// How many bytes of one tenant's may wait where nobody says.
    pub const MAX_TENANT_BYTES: u64 = 256 * 1024 * 1024;

    /// A folder, with the usual bounds.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            max_tenant_bytes: Self::MAX_TENANT_BYTES,
        }
    }
}

/// How one sink's spool is.
#[derive(Debug, Clone, Serialize)]
pub struct SpoolState {
    /// Whose sink it is.
    #[serde(skip)]
    pub tenant: TenantId,
    /// The sink's name, or `audit_sink` where it has none.
    pub sink: String,
    /// `delivering`, `down`, or `removed` where no configuration names the sink any more.
    pub state: &'static str,
    /// Why the sink takes no events.
    pub reason: Option<String>,
    /// How many events wait, and how many bytes of the quota they and what was refused take.
    pub waiting: u64,
    /// See `waiting`.
    pub bytes: u64,
    /// How much it may be.
    pub max_bytes: u64,
    /// When the oldest of them happened.
    pub oldest: Option<Timestamp>,
    /// How many bytes of events the sink has refused for good, until somebody takes them away.
    pub refused_bytes: u64,
}

/// All spools of a process.
#[derive(Clone)]
pub struct Spools(Arc<Table>);

struct Table {
    options: SpoolOptions,
    metrics: Arc<Metrics>,
    open: Mutex<Open>,
    deliveries: TaskTracker,
    stop: CancellationToken,
}

#[derive(Default)]
struct Open {
    spools: BTreeMap<(TenantId, String), Arc<Spool>>,
    quotas: BTreeMap<TenantId, Weak<Quota>>,
}

impl std::fmt::Debug for Spools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Spools").field(&self.0.options).finish()
    }
}

impl Spools {
    pub(crate) fn new(options: SpoolOptions, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Table {
            options,
            metrics,
            open: Mutex::default(),
            deliveries: TaskTracker::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// A sink whose events wait here until `target` has them. The spool that there is goes on delivering as it did until
    /// [`take_over`](SpoolSink::take_over). Within a runtime.
    pub(crate) fn sink(
        &self,
        (tenant, name): (&TenantId, &str),
        target: Arc<dyn AuditSink>,
        promises: Promises,
    ) -> io::Result<SpoolSink> {
        let table = &self.0;
        let mut open = table.lock();
        let key = (tenant.clone(), name.to_owned());
        if let Some(spool) = open.spools.get(&key) {
            return Ok(SpoolSink::new(Arc::clone(spool), target, promises));
        }
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let path = folder::place(&table.options.folder, tenant, name);
        let folder = Folder::open(path)?;
        let quota = open.quota(tenant, table.options.max_tenant_bytes);
        let metrics = Arc::clone(&table.metrics);
        let (spool, cursor) = Spool::open((tenant, name), folder, quota, metrics)?;
        let spool = Arc::new(spool);
        let sink = SpoolSink::new(Arc::clone(&spool), target, promises);
        open.spools.insert(key, Arc::clone(&spool));
        let delivery = Delivery::new(spool, cursor, table.stop.clone());
        let all = Arc::downgrade(table);
        let is_over = move |spool: &Arc<Spool>| {
            let table = all.upgrade();
            table.is_none_or(|table| table.close_if_unused(spool))
        };
        drop(table.deliveries.spawn_on(delivery.run(is_over), &runtime));
        Ok(sink)
    }

    /// Gives what waits so long to be delivered, then closes all spools. What is left is sent after the next start.
    pub async fn shut_down(&self, patience: Duration) {
        let spools: Vec<_> = self.0.lock().spools.values().cloned().collect();
        join_all(spools.iter().map(|spool| spool.flush(patience))).await;
        self.0.stop.cancel();
        self.0.deliveries.close();
        self.0.deliveries.wait().await;
        for spool in spools {
            let waiting = spool.waiting();
            if waiting > 0 {
                let folder = spool.folder.path.display();
                warn!(tenant = %spool.tenant, sink = spool.sink, waiting, %folder, "audit events wait for the next start");
            }
            spool.writer.lock().await.give_back();
        }
        // The folders are free for another process.
        self.0.lock().spools.clear();
    }

    /// Warns of events that wait for sinks which nobody configures any more.
    pub async fn warn_of_unclaimed(&self) {
        let dir = self.0.options.folder.clone();
        let found = super::blocking(move || folder::with_events(&dir)).await;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                let folder = self.0.options.folder.display();
                warn!(%folder, %error, "the audit spool cannot be looked through");
                return;
            }
        };
        let claimed: Vec<_> = {
            let open = self.0.lock();
            open.spools
                .values()
                .map(|spool| spool.folder.path.clone())
                .collect()
        };
        for folder in found.into_iter().filter(|folder| !claimed.contains(folder)) {
            let folder = folder.display();
            warn!(%folder, "audit events wait for a sink that no configuration names: configure it again, or see to them yourself");
        }
    }

    /// How all of them are.
    pub fn states(&self) -> Vec<SpoolState> {
        let open = self.0.lock();
        open.spools.values().map(|spool| spool.state()).collect()
    }

    /// The same as measurements.
    pub fn readings(&self) -> Vec<Reading> {
        let states = self.states();
        states.iter().flat_map(SpoolState::readings).collect()
    }
}

impl Table {
    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Closes a spool in which nothing waits and that no configured sink logs to. Says whether it did.
    fn close_if_unused(&self, spool: &Arc<Spool>) -> bool {
        let mut open = self.lock();
        if spool.users.load(Ordering::SeqCst) > 0 || spool.waiting() > 0 {
            return false;
        }
        open.spools.retain(|_, open| !Arc::ptr_eq(open, spool));
        spool.folder.leave();
        true
    }
}

impl Open {
    fn quota(&mut self, tenant: &TenantId, limit: u64) -> Arc<Quota> {
        if let Some(quota) = self.quotas.get(tenant).and_then(Weak::upgrade) {
            return quota;
        }
        self.quotas.retain(|_, quota| quota.strong_count() > 0);
        let quota = Arc::new(Quota::new(limit));
        self.quotas.insert(tenant.clone(), Arc::downgrade(&quota));
        quota
    }
}

impl Spool {
    fn state(&self) -> SpoolState {
        let problem = self.problem.borrow().clone();
        let is_used = self.users.load(Ordering::SeqCst) > 0;
        let state = match (is_used, &problem) {
            (false, _) => "removed",
            (true, Some(_)) => "down",
            (true, None) => "delivering",
        };
        let waiting = self.waiting();
        let oldest = self.oldest.load(Ordering::Relaxed);
        let oldest = (waiting > 0 && oldest != 0).then(|| Timestamp::from_millisecond(oldest).ok());
        SpoolState {
            tenant: self.tenant.clone(),
            sink: self.sink.clone(),
            state,
            reason: problem.map(|problem| problem.to_string()),
            waiting,
            bytes: self.space.held(),
            max_bytes: self.space.limit(),
            oldest: oldest.flatten(),
            refused_bytes: self.refused_bytes.load(Ordering::Relaxed),
        }
    }
}

impl SpoolState {
    fn readings(&self) -> [Reading; 4] {
        let labels = || {
            vec![
                ("sink", self.sink.clone()),
                ("tenant", self.tenant.to_string()),
            ]
        };
        let age = self.oldest.map_or(0, |oldest| {
            oldest.duration_until(Timestamp::now()).as_secs().max(0)
        });
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        [
            ("mcp_gateway_audit_waiting", "Audit events that wait for their sink", number(self.waiting)),
            (
                "mcp_gateway_audit_waiting_bytes",
                "How much of the quota audit events take that wait for their sink, or that it refused",
                number(self.bytes),
            ),
            ("mcp_gateway_audit_oldest_seconds", "How long the oldest audit event waits for its sink", age),
            (
                "mcp_gateway_audit_sink_up",
                "1 as long as the audit sink takes events, 0 while it does not",
                i64::from(self.reason.is_none()),
            ),
        ]
        .map(|(name, help, value)| Reading { name, help, labels: labels(), value })
    }
}
