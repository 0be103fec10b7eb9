//! The data plane's end of the push: takes batches, puts them in force, says so.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::config::Violation;
use gateway_core::{Revision, TenantId};
use gateway_proto::push::v1::config_push_client::ConfigPushClient;
use gateway_proto::push::v1::subscribe_request::Message as Said;
use gateway_proto::push::v1::{
    Acknowledge, Document, HeldDocument, Hello, Peers, Refusal, SubscribeRequest, SubscribeResponse,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tracing::{info, warn};

use super::Compiler;
use super::outage::Outage;
use super::report::Reporter;
use crate::Gateway;
use crate::fleet;
use crate::snapshot::Origin;

/// The pause before the stream is opened again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long a replica that starts waits for what others know of sessions.
const INTRODUCTION: Duration = Duration::from_secs(2);

/// Where the replica stands in the control plane's store.
#[derive(Debug, Clone, Default)]
struct Position {
    store: Arc<str>,
    sequence: u64,
}

/// Follows the control plane for as long as it is not stopped. While the control plane is away,
/// what is in force stays.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) replica: String,
    /// What the control plane lets replicas in by, ready to be sent; `None` where it asks for nothing.
    pub(crate) authorization: Option<AsciiMetadataValue>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) compiler: Compiler,
    /// Set when a first batch is in force.
    pub(crate) in_sync: watch::Sender<bool>,
}

impl Follower {
    pub(crate) async fn run(self, channel: Channel, stop: CancellationToken) {
        let client = ConfigPushClient::new(channel);
        let mut position = Position::default();
        let mut pause = FIRST_PAUSE;
        let mut outage = Outage::default();
        loop {
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.subscribe(client.clone(), &mut position, &mut pause, &mut outage) => ended,
            };
            if let Err(status) = ended {
                outage.report(&status);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(jittered(pause)) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn subscribe(
        &self,
        mut client: ConfigPushClient<Channel>,
        position: &mut Position,
        pause: &mut Duration,
        outage: &mut Outage,
    ) -> Result<(), Status> {
        let (says, said) = mpsc::channel(4);
        let hello = Said::Hello(self.hello(position));
        send(&says, hello).await?;
        let mut request = Request::new(ReceiverStream::new(said));
        if let Some(authorization) = &self.authorization {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", authorization.clone());
        }
        let mut batches = client.subscribe(request).await?.into_inner();
        let mut reporter = Reporter::new();
        loop {
            // Neither a batch nor a report is lost when the other one wins.
            let batch = tokio::select! {
                batch = batches.message() => batch?,
                report = reporter.next(&self.gateway.tenants) => {
                    send(&says, Said::Report(report)).await?;
                    continue;
                }
            };
            let Some(mut batch) = batch else {
                return Ok(());
            };
            *pause = FIRST_PAUSE;
            outage.end();
            let (nonce, more) = (batch.nonce, batch.more);
            let reached = Position {
                store: batch.store.as_str().into(),
                sequence: batch.sequence,
            };
            for document in &batch.documents {
                reporter.note(&document.tenant, document.canary);
            }
            self.meet(batch.peers.take()).await;
            let refusals = self.put_in_force(batch, &reached.store);
            if !more {
                *position = reached;
                self.in_sync.send_replace(true);
            }
            send(&says, Said::Acknowledge(Acknowledge { nonce, refusals })).await?;
        }
    }

    fn hello(&self, position: &Position) -> Hello {
        let held = self.gateway.tenants.all().into_iter();
        let fleet = self.gateway.fleet.as_ref();
        Hello {
            replica: self.replica.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store: position.store.to_string(),
            cursor: position.sequence,
            advertise: fleet.map_or(String::new(), |fleet| fleet.advertise().to_string()),
            held: held
                .map(|snapshot| HeldDocument {
                    tenant: snapshot.tenant.to_string(),
                    // Another store counts its revisions from 1 as well.
                    revision: match snapshot.origin.store == position.store {
                        true => snapshot.origin.revision.0,
                        false => 0,
                    },
                })
                .collect(),
        }
    }

    /// Takes note of the other replicas, and asks those that are new what they know of sessions. They
    /// have a moment before this one says that it is ready; afterwards they are listened to on the side.
    async fn meet(&self, peers: Option<Peers>) {
        let (Some(fleet), Some(Peers { peers })) = (&self.gateway.fleet, peers) else {
            return;
        };
        let told = peers.into_iter().filter_map(|peer| {
            let address = peer.advertise.parse();
            Some((peer.replica, address.ok()?))
        });
        let new = fleet.update(told);
        if new.is_empty() {
            return;
        }
        let gateway = Arc::clone(&self.gateway);
        let stop = gateway.stopping.clone();
        let learning = stop.run_until_cancelled_owned(fleet::learn(gateway, new));
        let learnt = self.gateway.tasks.spawn(learning);
        if !*self.in_sync.borrow() {
            tokio::time::timeout(INTRODUCTION, learnt).await.ok();
        }
    }

    /// Compiles and swaps in what a batch brings. What is refused leaves the last good
    /// configuration of its tenant in force, and the other tenants alone.
    fn put_in_force(&self, batch: SubscribeResponse, store: &Arc<str>) -> Vec<Refusal> {
        for tenant in batch
            .removed_tenants
            .iter()
            .filter_map(|tenant| tenant.parse().ok())
        {
            info!(%tenant, "the tenant was removed");
            self.gateway.tenants.remove(&tenant);
        }
        batch
            .documents
            .into_iter()
            .filter_map(|document| self.replace(document, store))
            .collect()
    }

    fn replace(&self, document: Document, store: &Arc<str>) -> Option<Refusal> {
        let (name, revision) = (document.tenant.clone(), Revision(document.revision));
        let origin = Origin {
            store: Arc::clone(store),
            revision,
        };
        match self.compile(document, origin) {
            Ok(None) => None,
            Ok(Some((tenant, servers))) => {
                info!(%tenant, servers, "configuration in force revision={revision}");
                None
            }
            Err(violations) => {
                for Violation { path, reason } in &violations {
                    warn!(tenant = name, %revision, path, reason, "the configuration was not put in force");
                }
                Some(Refusal {
                    tenant: name,
                    revision: revision.0,
                    violations: violations
                        .into_iter()
                        .map(
                            |Violation { path, reason }| gateway_proto::push::v1::Violation {
                                path,
                                reason,
                            },
                        )
                        .collect(),
                })
            }
        }
    }

    /// `None`: it is in force already, and said again only for whether it is a canary's.
    fn compile(
        &self,
        document: Document,
        origin: Origin,
    ) -> Result<Option<(TenantId, usize)>, Vec<Violation>> {
        let unreadable = |error: &dyn std::fmt::Display| {
            vec![Violation::new(
                "",
                format!("the document cannot be read: {error}"),
            )]
        };
        let config = gateway_proto::decode(&document.config).map_err(|error| unreadable(&error))?;
        if config.tenant.as_str() != document.tenant {
            return Err(vec![Violation::new(
                "tenant",
                "the document is another tenant's",
            )]);
        }
        let previous = self.gateway.tenants.get(&config.tenant);
        if let Some(same) = previous.as_ref().filter(|kept| kept.origin == origin) {
            same.tally.ask(document.canary);
            return Ok(None);
        }
        let snapshot = self.compiler.compile(config, origin, previous.as_deref())?;
        snapshot.tally.ask(document.canary);
        let summary = (snapshot.tenant.clone(), snapshot.servers.len());
        self.gateway.tenants.put(snapshot);
        Ok(Some(summary))
    }
}

async fn send(says: &mpsc::Sender<SubscribeRequest>, message: Said) -> Result<(), Status> {
    let request = SubscribeRequest {
        message: Some(message),
    };
    says.send(request)
        .await
        .map_err(|_| Status::unavailable("the stream has ended"))
}

/// Between half and all of a pause, so that many replicas do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let share = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    pause.mul_f64(0.5 + share / 2.0)
}
