//! The control plane as one object: what the binary and the tests hold.

use std::io;
use std::sync::Arc;

use gateway_core::{Deadline, Revision, TenantId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinError;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::Connected;

use crate::apply::{Applied, ApplyError, Change, Decision, PluginCheck, Removal, Rollback, Writer};
use crate::grpc::{self, Audience, Authority, CertificateRole, Limits, ServeError, ServerTls};
use crate::metrics::Action;
use crate::operations;
use crate::push::{Follower, Hub, ReplicaStatus, Verdict, VerdictError};
use crate::rollout::{Driver, Rollout};
use crate::store::{
    self, AddHostError, Answered, Database, HostRecord, HostRemoval, NewHost, OpenError,
    RequestRecord, RevisionRecord, Store, StoreError,
};
use crate::token::Tokens;

/// What a control plane is opened with.
#[derive(Clone)]
pub struct Options {
    /// How it is called, where several share a store: by 1 to 128 printable characters.
    pub name: String,
    /// Where configuration is kept.
    pub database: Database,
    /// Says what is wrong with the `plugins:` part of a configuration.
    pub check_plugins: PluginCheck,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("name", &self.name)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

/// How a control plane is open to a network: by what peers are let in, beside the tokens that it
/// keeps itself.
#[derive(Debug, Clone)]
pub struct Network {
    /// The tokens that it was started with.
    pub tokens: Arc<Tokens>,
    /// `None`: in plain text.
    pub tls: Option<ServerTls>,
    /// The roles of those who present a certificate that `tls` accepts, and no token. Of several
    /// that fit the first counts.
    pub certificate_roles: Vec<CertificateRole>,
}

impl Network {
    /// In plain text, by tokens alone.
    pub fn plain(tokens: Arc<Tokens>) -> Self {
        Self {
            tokens,
            tls: None,
            certificate_roles: Vec::new(),
        }
    }
}

/// A running control plane. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hub: Arc<Hub>,
    writer: Arc<Writer>,
    /// The writes under way. They end by themselves; `close` waits for them.
    writes: TaskTracker,
    follower: Arc<Follower>,
    driver: Arc<Driver>,
}

impl ControlPlane {
    /// Opens the store and reads what is current.
    ///
    /// # Errors
    /// The database cannot be used; the text says why.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let Options {
            name,
            database,
            check_plugins,
        } = options;
        let store = store::open(&database).await?;
        let hub = Hub::open(store.as_ref(), &name).await;
        let hub = hub.map_err(|source| OpenError::Unreadable {
            place: database.to_string(),
            source,
        })?;
        let hub = Arc::new(hub);
        let follower = Follower::start(&store, &hub);
        let driver = Driver::start(&store, &hub);
        let writer = Writer::new(Arc::clone(&store), Arc::clone(&hub), check_plugins);
        Ok(Self {
            store,
            hub,
            writer: Arc::new(writer),
            writes: TaskTracker::new(),
            follower: Arc::new(follower),
            driver: Arc::new(driver),
        })
    }

    /// Checks a configuration, keeps it as the tenant's next revision and pushes it. A
    /// configuration that is current already stays the revision that it is.
    ///
    /// A caller that stops waiting does not stop the change.
    ///
    /// # Errors
    /// Nothing was changed, except after [`ApplyError::Interrupted`] and
    /// [`ApplyError::Unpublished`], where it is right to apply again.
    pub async fn apply(&self, change: Change) -> Result<Applied, ApplyError> {
        self.apply_once(change, None).await
    }

    /// The same by a request that may come again, which is kept with what it led to.
    pub(crate) async fn apply_once(
        &self,
        change: Change,
        request: Option<RequestRecord>,
    ) -> Result<Applied, ApplyError> {
        let writer = Arc::clone(&self.writer);
        let is_asked = !change.validate_only;
        let made = self
            .write(Box::pin(async move { writer.apply(change, request).await }))
            .await;
        if is_asked {
            let outcome = made.as_ref().map(|made| made.changed);
            self.hub.metrics.asked(Action::Apply, outcome);
        }
        made
    }

    /// Makes an earlier revision's document the tenant's next revision and pushes it. A caller that
    /// stops waiting does not stop it.
    ///
    /// # Errors
    /// As for [`ControlPlane::apply`].
    pub async fn roll_back(&self, rollback: Rollback) -> Result<Applied, ApplyError> {
        self.roll_back_once(rollback, None).await
    }

    /// The same by a request that may come again.
    pub(crate) async fn roll_back_once(
        &self,
        rollback: Rollback,
        request: Option<RequestRecord>,
    ) -> Result<Applied, ApplyError> {
        let writer = Arc::clone(&self.writer);
        let is_asked = !rollback.validate_only;
        let made = self
            .write(Box::pin(async move {
                writer.roll_back(rollback, request).await
            }))
            .await;
        if is_asked {
            let outcome = made.as_ref().map(|made| made.changed);
            self.hub.metrics.asked(Action::Rollback, outcome);
        }
        made
    }

    /// Takes a tenant out of service on every replica; its revisions stay. Says whether there was
    /// one to remove. A caller that stops waiting does not stop the removal.
    ///
    /// # Errors
    /// As for [`ControlPlane::apply`].
    pub async fn remove(&self, removal: Removal) -> Result<bool, ApplyError> {
        self.remove_once(removal, None).await
    }

    /// The same by a request that may come again.
    pub(crate) async fn remove_once(
        &self,
        removal: Removal,
        request: Option<RequestRecord>,
    ) -> Result<bool, ApplyError> {
        let writer = Arc::clone(&self.writer);
        let made = self
            .write(Box::pin(
                async move { writer.remove(removal, request).await },
            ))
            .await;
        let outcome = made.as_ref().map(|was_there| *was_there);
        self.hub.metrics.asked(Action::Delete, outcome);
        made
    }

    /// Begins a rollout anew that was halted. A caller that stops waiting does not stop it.
    ///
    /// # Errors
    /// No rollout of the tenant is halted, or as for [`ControlPlane::apply`].
    pub async fn resume(&self, decision: Decision) -> Result<Rollout, ApplyError> {
        let writer = Arc::clone(&self.writer);
        self.write(async move { writer.resume(decision).await })
            .await
    }

    /// Gives up a revision that is being rolled out, and makes current again what replicas have kept
    /// meanwhile; `None`: that was nothing. A caller that stops waiting does not stop it.
    ///
    /// # Errors
    /// No rollout of the tenant is under way, or as for [`ControlPlane::apply`].
    pub async fn abort(&self, decision: Decision) -> Result<Option<Applied>, ApplyError> {
        let writer = Arc::clone(&self.writer);
        self.write(Box::pin(async move { writer.abort(decision).await }))
            .await
    }

    /// What an earlier request led to, as it was answered then.
    pub(crate) async fn applied_before(
        &self,
        tenant: &TenantId,
        answered: &Answered,
    ) -> Result<Applied, StoreError> {
        self.writer.applied_before(tenant, answered).await
    }

    /// In a task of its own: were it dropped with the caller between commit and push, a change
    /// would be kept that no replica hears of.
    async fn write<T: Send + 'static>(
        &self,
        write: impl Future<Output = Result<T, ApplyError>> + Send + 'static,
    ) -> Result<T, ApplyError> {
        match self.writes.spawn(write).await {
            Ok(outcome) => outcome,
            Err(error) => Err(ApplyError::Interrupted {
                source: error.into(),
            }),
        }
    }

    /// Gives a host name to a tenant, and pushes that.
    pub(crate) async fn add_host(&self, host: NewHost) -> Result<(), AddHostError> {
        let (store, hub) = (Arc::clone(&self.store), Arc::clone(&self.hub));
        let added = self.writes.spawn(async move {
            store.add_host(host).await?;
            Ok(hub.refresh(store.as_ref()).await?)
        });
        added
            .await
            .unwrap_or_else(|error| Err(interrupted(error).into()))
    }

    /// Takes a host name away, and pushes that; `None`: there is none.
    pub(crate) async fn remove_host(
        &self,
        removal: HostRemoval,
    ) -> Result<Option<HostRecord>, StoreError> {
        let (store, hub) = (Arc::clone(&self.store), Arc::clone(&self.hub));
        let removed = self.writes.spawn(async move {
            let removed = store.remove_host(removal).await?;
            hub.refresh(store.as_ref()).await?;
            Ok(removed)
        });
        removed
            .await
            .unwrap_or_else(|error| Err(interrupted(error)))
    }

    /// The tenants that have a configuration, in the order of their names.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.hub.tenants()
    }

    /// Waits until every connected replica, and at least one, has answered to a revision.
    ///
    /// # Errors
    /// Not every replica answered by the deadline, or the tenant has no such revision.
    pub async fn verdict(
        &self,
        tenant: &TenantId,
        revision: Revision,
        deadline: Deadline,
    ) -> Result<Verdict, VerdictError> {
        self.hub.verdict(tenant, revision, deadline).await
    }

    /// The connected replicas, those of other control planes on the same store too, and what each has in
    /// force, in the order of their names.
    pub fn replicas(&self) -> Vec<ReplicaStatus> {
        self.hub.replicas()
    }

    /// A tenant's revisions, newest first: at the most `limit`, those before `before` if given.
    ///
    /// # Errors
    /// The store failed.
    pub async fn revisions(
        &self,
        tenant: &TenantId,
        before: Option<Revision>,
        limit: u32,
    ) -> Result<Vec<RevisionRecord>, StoreError> {
        self.store.revisions(tenant, before, limit).await
    }

    /// Which revision of a tenant is current; `None`: it has none.
    pub(crate) fn current_revision(&self, tenant: &TenantId) -> Option<Revision> {
        self.hub.current(tenant)
    }

    /// A tenant's current revision and what was submitted for it; `None` if it has none.
    pub(crate) async fn submitted(
        &self,
        tenant: &TenantId,
    ) -> Result<Option<(Revision, String)>, StoreError> {
        let Some(document) = self.store.document(tenant).await? else {
            return Ok(None);
        };
        let stored = self.store.revision(tenant, document.revision).await?;
        Ok(stored.map(|stored| (document.revision, stored.record.submitted)))
    }

    /// Serves the replicas of this process on the connections of a pipe until `shutdown`. Nobody
    /// is asked for a token.
    ///
    /// # Errors
    /// `incoming` failed.
    pub async fn serve<IO>(
        &self,
        incoming: impl Stream<Item = io::Result<IO>>,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError>
    where
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let (audience, limits) = (Audience::OwnProcess, Limits::default());
        grpc::serve(&self.hub, audience, incoming, shutdown, limits).await
    }

    /// Serves gRPC on a listener until `shutdown`, to those whom `network` lets in. May be called for
    /// several listeners at once.
    ///
    /// # Errors
    /// The listener failed.
    pub async fn serve_network(
        &self,
        listener: TcpListener,
        network: Network,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        let Network {
            tokens,
            tls,
            certificate_roles,
        } = network;
        let authority = Authority {
            store: Arc::clone(&self.store),
            first: tokens,
            certificate_roles,
        };
        let audience = Audience::Network {
            control: self.clone(),
            authority: Arc::new(authority),
        };
        let accepting = TaskTracker::new();
        let incoming = grpc::accept(listener, tls, shutdown.clone(), &accepting);
        let limits = Limits::default();
        let served = grpc::serve(&self.hub, audience, incoming, shutdown, limits).await;
        accepting.close();
        accepting.wait().await;
        served
    }

    /// Answers whether it lives and is ready, and what it measures, on a listener until `shutdown`.
    /// Nobody is asked who they are, so that the listener should be on a loopback address.
    pub async fn serve_operations(&self, listener: TcpListener, shutdown: CancellationToken) {
        operations::serve(self.clone(), listener, shutdown).await;
    }

    /// Waits for the writes under way and closes the store. Ends the use of every clone.
    pub async fn close(&self) {
        self.writes.close();
        self.writes.wait().await;
        self.driver.stop().await;
        self.follower.stop().await;
        self.store.close().await;
    }
}

/// Of a change of host names that ended halfway.
fn interrupted(error: JoinError) -> StoreError {
    StoreError::Uncertain {
        doing: "changing host names",
        source: error.into(),
    }
}
