//! A control plane in a directory of its own, and a replica that records what it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::config::{TenantConfig, Violation};
use gateway_core::{Deadline, Revision, TenantId};
use gateway_proto::Refusal;
use gateway_proto::push::v1 as pb;
use gateway_proto::push::v1::config_push_client::ConfigPushClient;
use gateway_proto::push::v1::subscribe_request::Message;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::{change, tenant};
use crate::grpc::{self, Audience, Limits};
use crate::{
    ControlPlane, Database, Options, ServeError, TenantStatus, Verdict, VerdictError, pipe,
};

/// More than anything here takes; who waits longer waits for what does not come.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Plane {
    pub(crate) control_plane: ControlPlane,
    pub(crate) channel: Channel,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), ServeError>>,
    _dir: TempDir,
}

impl Plane {
    /// Serves from an empty store. The plugin check refuses the implementation `unknown`.
    pub(crate) async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub(crate) async fn start_with(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("gateway.db").into();
        Self::start_on("test", database, limits, dir).await
    }

    /// One of several on a database.
    pub(crate) async fn start_at(name: &str, url: &str) -> Self {
        let database = Database::Postgres(url.parse().unwrap());
        let dir = tempfile::tempdir().unwrap();
        Self::start_on(name, database, Limits::default(), dir).await
    }

    async fn start_on(name: &str, database: Database, limits: Limits, dir: TempDir) -> Self {
        let options = Options {
            name: name.to_owned(),
            database,
            check_plugins: Arc::new(|plugins| {
                let sink = plugins.audit_sink.first();
                let unknown = sink.filter(|s| s.implementation.as_deref() == Some("unknown"));
                let refuse = |_| Violation::new("plugins.audit_sink.implementation", "unknown");
                unknown.map(refuse).into_iter().collect()
            }),
        };
        let control_plane = ControlPlane::open(options).await.unwrap();
        let (incoming, channel) = pipe::pipe();
        let shutdown = CancellationToken::new();
        let serving = {
            let (hub, shutdown) = (Arc::clone(&control_plane.hub), shutdown.clone());
            tokio::spawn(async move {
                grpc::serve(&hub, Audience::OwnProcess, incoming, shutdown, limits).await
            })
        };
        Self {
            control_plane,
            channel,
            shutdown,
            serving,
            _dir: dir,
        }
    }

    pub(crate) async fn apply(&self, name: &str, command: &str) -> Revision {
        let applied = self.control_plane.apply(change(name, command)).await;
        applied.unwrap().revision
    }

    pub(crate) async fn verdict(
        &self,
        name: &str,
        revision: Revision,
        deadline: Deadline,
    ) -> Result<Verdict, VerdictError> {
        let tenant = tenant(name);
        self.control_plane
            .verdict(&tenant, revision, deadline)
            .await
    }

    pub(crate) fn client(&self) -> ConfigPushClient<Channel> {
        ConfigPushClient::new(self.channel.clone())
    }

    /// Where a connected replica is with a tenant.
    pub(crate) fn status(&self, replica: &str, name: &str) -> TenantStatus {
        let replicas = self.control_plane.replicas();
        let status = replicas.iter().find(|status| status.replica == replica);
        status.expect("is connected").tenant(&tenant(name))
    }

    /// The same, once the replica is connected.
    pub(crate) async fn status_of(&self, replica: &str, name: &str) -> TenantStatus {
        let connected = || {
            let replicas = self.control_plane.replicas();
            replicas.iter().any(|status| status.replica == replica)
        };
        self.until(connected).await;
        self.status(replica, name)
    }

    pub(crate) async fn until(&self, mut condition: impl FnMut() -> bool) {
        let wait = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("never came true");
    }

    /// Shuts down as a program does; streams must not hold it up.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let served = tokio::time::timeout(PATIENCE, self.serving).await;
        served.expect("shutdown hangs").unwrap().unwrap();
        self.control_plane.close().await;
    }
}

/// What a replica keeps between connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    name: String,
    pub(crate) store: String,
    pub(crate) cursor: u64,
    held: BTreeMap<String, u64>,
    /// Where it says that others reach it.
    pub(crate) advertise: String,
}

impl Memory {
    pub(crate) async fn reconnect(self, plane: &Plane) -> Replica {
        let mut held = self.held.iter().map(|(tenant, revision)| pb::HeldDocument {
            tenant: tenant.clone(),
            revision: *revision,
        });
        let hello = pb::Hello {
            replica: self.name.clone(),
            version: "test".to_owned(),
            store: self.store.clone(),
            cursor: self.cursor,
            held: held.by_ref().take(1).collect(),
            advertise: self.advertise.clone(),
            more_held: held.len() > 0,
        };
        let conversation = Conversation::open(plane).await;
        conversation.say(Message::Hello(hello)).await;
        while let Some(document) = held.next() {
            let documents = vec![document];
            let more = held.len() > 0;
            let part = pb::Held { documents, more };
            conversation.say(Message::Held(part)).await;
        }
        Replica {
            memory: self,
            conversation,
        }
    }
}

/// A batch as a replica reads it.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) nonce: u64,
    store: String,
    pub(crate) sequence: u64,
    pub(crate) documents: Vec<(u64, TenantConfig)>,
    pub(crate) encoded: Vec<Bytes>,
    pub(crate) removed: Vec<TenantId>,
    /// The tenants of which it is to report.
    pub(crate) canaries: Vec<String>,
    /// The table of replicas by their names, where the batch has one.
    pub(crate) peers: Option<Vec<(String, String)>>,
}

pub(crate) struct Replica {
    pub(crate) memory: Memory,
    pub(crate) conversation: Conversation,
}

impl Replica {
    pub(crate) async fn connect(plane: &Plane, name: &str) -> Self {
        let memory = Memory {
            name: name.to_owned(),
            ..Memory::default()
        };
        memory.reconnect(plane).await
    }

    /// One that others reach.
    pub(crate) async fn reachable(plane: &Plane, name: &str, advertise: &str) -> Self {
        let memory = Memory {
            name: name.to_owned(),
            advertise: advertise.to_owned(),
            ..Memory::default()
        };
        memory.reconnect(plane).await
    }

    /// A replica that has everything in force.
    pub(crate) async fn synced(plane: &Plane, name: &str) -> Self {
        let mut replica = Self::connect(plane, name).await;
        replica.take().await;
        replica
    }

    pub(crate) fn disconnect(self) -> Memory {
        self.memory
    }

    pub(crate) async fn next(&mut self) -> Batch {
        let next = tokio::time::timeout(PATIENCE, self.next_or_end()).await;
        next.expect("nothing came").expect("the stream ended")
    }

    /// The next batch, however long that takes; `None` once the stream has ended.
    pub(crate) async fn next_or_end(&mut self) -> Option<Batch> {
        let response = self.conversation.responses.message().await.ok()??;
        let mut documents = Vec::new();
        let mut encoded = Vec::new();
        let mut canaries = Vec::new();
        for document in response.documents {
            let config = gateway_proto::decode(&document.config).unwrap();
            assert_eq!(config.tenant.as_str(), document.tenant);
            if document.canary {
                canaries.push(document.tenant);
            }
            documents.push((document.revision, config));
            encoded.push(document.config);
        }
        let removed = response.removed_tenants.iter();
        let peers = response.peers.map(|table| {
            let peers = table.peers.into_iter();
            peers.map(|peer| (peer.replica, peer.advertise)).collect()
        });
        Some(Batch {
            nonce: response.nonce,
            store: response.store,
            sequence: response.sequence,
            documents,
            encoded,
            removed: removed.map(|name| tenant(name)).collect(),
            canaries,
            peers,
        })
    }

    /// The next batch, put in force.
    pub(crate) async fn take(&mut self) -> Batch {
        let batch = self.next().await;
        self.acknowledge(&batch).await;
        batch
    }

    pub(crate) async fn acknowledge(&mut self, batch: &Batch) {
        self.answer(batch, Vec::new()).await;
    }

    pub(crate) async fn refuse(
        &mut self,
        batch: &Batch,
        name: &str,
        revision: Revision,
        violation: Violation,
    ) {
        let refusal = Refusal {
            tenant: tenant(name),
            revision,
            violations: vec![violation],
        };
        self.answer(batch, vec![refusal]).await;
    }

    async fn answer(&mut self, batch: &Batch, refusals: Vec<Refusal>) {
        self.memory.store.clone_from(&batch.store);
        self.memory.cursor = batch.sequence;
        for (revision, config) in &batch.documents {
            if refusals
                .iter()
                .all(|refusal| refusal.tenant != config.tenant)
            {
                let name = config.tenant.to_string();
                self.memory.held.insert(name, *revision);
            }
        }
        for tenant in &batch.removed {
            self.memory.held.remove(tenant.as_str());
        }
        let answer = pb::Acknowledge {
            nonce: batch.nonce,
            refusals: refusals.into_iter().map(Into::into).collect(),
        };
        self.conversation.say(Message::Acknowledge(answer)).await;
    }
}

/// A stream on which anything can be said.
pub(crate) struct Conversation {
    requests: mpsc::Sender<pb::SubscribeRequest>,
    responses: Streaming<pb::SubscribeResponse>,
}

impl Conversation {
    pub(crate) async fn open(plane: &Plane) -> Self {
        let (requests, outbound) = mpsc::channel(4);
        let response = plane
            .client()
            .subscribe(ReceiverStream::new(outbound))
            .await;
        Self {
            requests,
            responses: response.unwrap().into_inner(),
        }
    }

    pub(crate) async fn say(&self, message: Message) {
        let message = Some(message);
        self.requests
            .send(pb::SubscribeRequest { message })
            .await
            .unwrap();
    }

    pub(crate) async fn say_nothing_in_a_message(&self) {
        let request = pb::SubscribeRequest { message: None };
        self.requests.send(request).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> Result<Option<pb::SubscribeResponse>, Status> {
        let next = tokio::time::timeout(PATIENCE, self.responses.message());
        next.await.expect("nothing was said")
    }

    /// Reads on until the stream ends, and says how it ended.
    pub(crate) async fn end(&mut self) -> Option<Status> {
        loop {
            match self.hear().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }
}
