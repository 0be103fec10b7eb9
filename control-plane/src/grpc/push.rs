//! The push service: one task for each stream, between a replica and the hub.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::{Revision, TenantId};
use gateway_proto::Refusal;
use gateway_proto::push::v1 as pb;
use gateway_proto::push::v1::config_push_server::ConfigPush;
use gateway_proto::push::v1::subscribe_request::Message;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use super::Admission;
use super::admission::{Authority, Caller, Presented};
use crate::push::{Batch, Feed, Hello, Hub, Index, Seat, Step};
use crate::store::HostTable;
use crate::token::Scope;

/// For how long changes are put together before they are sent.
const COALESCE: Duration = Duration::from_millis(50);

/// A batch and, should the stream end before it was read, the reason. There is never a second
/// batch before the first was answered.
const QUEUE: usize = 2;

const MAX_NAME_CHARS: usize = 128;

/// Of a name in DNS.
const MAX_HOST_CHARS: usize = 253;

type Outbound = mpsc::Sender<Result<pb::SubscribeResponse, Status>>;

pub(super) struct Service {
    pub(super) hub: Arc<Hub>,
    pub(super) admission: Admission,
    /// Owns the streams' tasks.
    pub(super) streams: TaskTracker,
    pub(super) shutdown: CancellationToken,
    /// How long a replica may take to say who it is.
    pub(super) hello_timeout: Duration,
}

#[tonic::async_trait]
impl ConfigPush for Service {
    type SubscribeStream = ReceiverStream<Result<pb::SubscribeResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<pb::SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let (presented, inbound) = Presented::with(request);
        let (scope, admitted) = match self.admission.admit_replica(&presented).await {
            Ok(admitted) => admitted,
            Err(refused) => {
                let peer = presented.peer().and_then(|peer| peer.address);
                tracing::warn!(?peer, reason = refused.message(), "a replica was refused");
                self.hub.metrics.came(false);
                return Err(refused);
            }
        };
        let (outbound, responses) = mpsc::channel(QUEUE);
        let stream = Stream {
            hub: Arc::clone(&self.hub),
            inbound,
            admitted,
            scope,
            outbound,
            hello_timeout: self.hello_timeout,
        };
        // Answered before the replica said anything, because a client may wait for that.
        self.streams.spawn(stream.run(self.shutdown.clone()));
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}

/// One replica's stream.
struct Stream {
    hub: Arc<Hub>,
    inbound: Streaming<pb::SubscribeRequest>,
    outbound: Outbound,
    /// By what it was let in; `None`: it is of this process.
    admitted: Option<(Arc<Authority>, Caller)>,
    /// The tenants of which it is told.
    scope: Scope,
    hello_timeout: Duration,
}

impl Stream {
    async fn run(mut self, shutdown: CancellationToken) {
        let outbound = self.outbound.clone();
        let expelled = expelled(self.admitted.take());
        let ended = tokio::select! {
            ended = self.converse() => ended,
            status = expelled => Err(status),
            () = outbound.closed() => Ok(()),
            () = shutdown.cancelled() => {
                Err(Status::unavailable("the control plane is shutting down"))
            }
        };
        if let Err(status) = ended {
            tracing::debug!(code = ?status.code(), reason = status.message(), "ended a stream");
            if outbound.try_send(Err(status)).is_err() {
                tracing::debug!("a replica that reads nothing was not told why its stream ended");
            }
        }
    }

    /// Ends without an error when the replica ends the stream.
    async fn converse(&mut self) -> Result<(), Status> {
        let first = tokio::time::timeout(self.hello_timeout, self.inbound.message());
        let Ok(first) = first.await else {
            return Err(Status::deadline_exceeded("the replica did not say hello"));
        };
        let Some(first) = first? else { return Ok(()) };
        let hello = read_hello(first)?;
        // Followed before joining, so that no change falls between.
        let mut index = self.hub.follow();
        let joined = self.hub.join(hello, self.scope.clone());
        let (seat, mut feed) = joined.map_err(|taken| {
            tracing::warn!(reason = %taken, "a replica was refused");
            self.hub.metrics.came(false);
            Status::already_exists(taken.to_string())
        })?;
        self.hub.metrics.came(true);
        let tenants = self.scope.tenants().map(|_| self.scope.to_string());
        tracing::info!(replica = seat.replica(), tenants, "a replica connected");
        let ended = self.follow(&seat, &mut feed, &mut index).await;
        tracing::info!(replica = seat.replica(), "a replica disconnected");
        ended
    }

    async fn follow(
        &mut self,
        seat: &Seat,
        feed: &mut Feed,
        index: &mut watch::Receiver<Arc<Index>>,
    ) -> Result<(), Status> {
        let mut hosts = self.hub.follow_hosts();
        let mut told: Option<HostTable> = None;
        loop {
            let current = Arc::clone(&index.borrow_and_update());
            let own = feed.recipient().hosts(&hosts.borrow_and_update().1);
            let news = Some(own).filter(|own| told.as_ref() != Some(own));
            let mut batch = feed.next_batch(&current);
            if batch.is_none() && news.is_some() {
                batch = feed.bare_batch();
            }
            if let Some(batch) = batch {
                self.send(batch, news.as_ref()).await?;
                told = news.or(told);
                if let Some(position) = feed.target() {
                    seat.delivered(position.clone());
                }
            }
            // Neither a message nor a change is lost when another arm wins: the inbound stream
            // keeps what it has read, and the change stays unseen.
            tokio::select! {
                message = self.inbound.message() => {
                    let Some(message) = message? else { return Ok(()) };
                    self.acknowledge(message, seat, feed)?;
                }
                changed = index.changed(), if !feed.is_waiting() => {
                    if changed.is_err() {
                        return Err(Status::unavailable("the control plane has stopped"));
                    }
                    tokio::time::sleep(COALESCE).await;
                }
                changed = hosts.changed(), if !feed.is_waiting() => {
                    if changed.is_err() {
                        return Err(Status::unavailable("the control plane has stopped"));
                    }
                }
                () = seat.superseded() => {
                    return Err(Status::aborted(format!(
                        "a later stream of replica {} has taken over",
                        seat.replica()
                    )));
                }
            }
        }
    }

    async fn send(&self, batch: Batch, hosts: Option<&HostTable>) -> Result<(), Status> {
        self.hub.metrics.sent(&batch);
        let mut response = response(batch, self.hub.store_id());
        response.host_names = hosts.map(host_names);
        let response = Ok(response);
        let sent = self.outbound.send(response).await;
        sent.map_err(|_| Status::cancelled("the replica ended the stream"))
    }

    fn acknowledge(
        &self,
        request: pb::SubscribeRequest,
        seat: &Seat,
        feed: &mut Feed,
    ) -> Result<(), Status> {
        let Some(Message::Acknowledge(answer)) = request.message else {
            return Err(Status::invalid_argument(
                "only the first message is a hello; every later one acknowledges a batch",
            ));
        };
        let refusals = answer.refusals.into_iter().map(Refusal::try_from);
        let refusals: Vec<_> = refusals.collect::<Result<_, _>>().map_err(invalid)?;
        for refusal in &refusals {
            tracing::warn!(
                replica = seat.replica(),
                tenant.id = %refusal.tenant,
                revision = %refusal.revision,
                violations = ?refusal.violations,
                "a replica refused a revision"
            );
        }
        let refused = refusals.len();
        let arrival = feed.acknowledge(answer.nonce, refusals).map_err(invalid)?;
        self.hub.metrics.answered(refused);
        if let Some(arrival) = arrival {
            seat.arrived(arrival);
        }
        Ok(())
    }
}

/// Ends when who was let in must not stay.
async fn expelled(admitted: Option<(Arc<Authority>, Caller)>) -> Status {
    let Some((authority, caller)) = admitted else {
        return std::future::pending().await;
    };
    let status = authority.expelled(&caller).await;
    let (token, reason) = (&caller.name, status.message());
    tracing::warn!(token, reason, "a replica is cut off");
    status
}

fn read_hello(request: pb::SubscribeRequest) -> Result<Hello, Status> {
    let Some(Message::Hello(hello)) = request.message else {
        return Err(Status::invalid_argument(
            "the first message must be a hello",
        ));
    };
    let mut held = BTreeMap::new();
    for document in hello.held {
        let tenant: TenantId = document.tenant.parse().map_err(invalid)?;
        held.insert(tenant, Revision(document.revision));
    }
    if hello.replica.is_empty() {
        return Err(Status::invalid_argument("the replica has no name"));
    }
    for (field, text) in [("name", &hello.replica), ("version", &hello.version)] {
        if text.chars().count() > MAX_NAME_CHARS || text.chars().any(char::is_control) {
            return Err(Status::invalid_argument(format!(
                "the replica's {field} must be at most {MAX_NAME_CHARS} printable characters"
            )));
        }
    }
    Ok(Hello {
        replica: hello.replica,
        version: hello.version,
        advertise: advertised(hello.advertise)?,
        store: hello.store,
        cursor: hello.cursor,
        held,
    })
}

/// Where a replica says that others reach it.
fn advertised(address: String) -> Result<Option<String>, Status> {
    let is_place = |(host, port): (&str, &str)| {
        let has_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        let fits = (1..=MAX_HOST_CHARS).contains(&host.len());
        has_port && fits && host.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match address.as_str() {
        "" => Ok(None),
        text if text.rsplit_once(':').is_some_and(is_place) => Ok(Some(address)),
        _ => Err(Status::invalid_argument(
            "where the replica is reached by others must be HOST:PORT",
        )),
    }
}

fn response(batch: Batch, store: &str) -> pb::SubscribeResponse {
    let mut documents = Vec::new();
    let mut removed_tenants = Vec::new();
    for step in batch.steps {
        match step {
            Step::Put {
                tenant,
                revision: Revision(revision),
                config,
            } => documents.push(pb::Document {
                tenant: tenant.into(),
                revision,
                config,
                canary: false,
            }),
            Step::Remove(tenant) => removed_tenants.push(tenant.into()),
        }
    }
    pb::SubscribeResponse {
        nonce: batch.nonce,
        store: store.to_owned(),
        sequence: batch.sequence,
        documents,
        removed_tenants,
        more: batch.more,
        peers: None,
        host_names: None,
    }
}

fn host_names(table: &HostTable) -> pb::HostNames {
    let names = table.iter().map(|(host, tenant)| pb::HostName {
        host: host.to_string(),
        tenant: tenant.to_string(),
    });
    pb::HostNames {
        host_names: names.collect(),
    }
}

fn invalid(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}
