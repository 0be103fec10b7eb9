//! The data plane's end of the push: takes batches, puts them in force, says so.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::config::Violation;
use gateway_core::{HostName, Revision, TenantId};
use gateway_proto::push::v1::config_push_client::ConfigPushClient;
use gateway_proto::push::v1::subscribe_request::Message as Said;
use gateway_proto::push::v1::{
    Acknowledge, Document, HeldDocument, Hello, HostNames, Refusal, SubscribeRequest,
    SubscribeResponse,
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
use crate::Gateway;
use crate::snapshot::Origin;

/// The pause before the stream is opened again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

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
        while let Some(batch) = batches.message().await? {
            *pause = FIRST_PAUSE;
            outage.end();
            let (nonce, more) = (batch.nonce, batch.more);
            let reached = Position {
                store: batch.store.as_str().into(),
                sequence: batch.sequence,
            };
            let refusals = self.put_in_force(batch, &reached.store);
            if !more {
                *position = reached;
                self.in_sync.send_replace(true);
            }
            send(&says, Said::Acknowledge(Acknowledge { nonce, refusals })).await?;
        }
        Ok(())
    }

    fn hello(&self, position: &Position) -> Hello {
        let held = self.gateway.tenants.all().into_iter();
        Hello {
            replica: self.replica.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store: position.store.to_string(),
            cursor: position.sequence,
            advertise: String::new(),
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

    /// Compiles and swaps in what a batch brings. What is refused leaves the last good
    /// configuration of its tenant in force, and the other tenants alone.
    fn put_in_force(&self, batch: SubscribeResponse, store: &Arc<str>) -> Vec<Refusal> {
        if let Some(names) = batch.host_names {
            self.gateway.hosts.replace(read_hosts(names));
        }
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
            Ok((tenant, servers)) => {
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

    fn compile(
        &self,
        document: Document,
        origin: Origin,
    ) -> Result<(TenantId, usize), Vec<Violation>> {
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
        let snapshot = self.compiler.compile(config, origin, previous.as_deref())?;
        let summary = (snapshot.tenant.clone(), snapshot.servers.len());
        self.gateway.tenants.put(snapshot);
        Ok(summary)
    }
}

/// A name that is none, which no control plane of this version gives, stands for nobody.
fn read_hosts(names: HostNames) -> HashMap<HostName, TenantId> {
    let names = names.host_names.into_iter();
    let names = names.filter_map(|name| Some((name.host.parse().ok()?, name.tenant.parse().ok()?)));
    names.collect()
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
