//! The push service: one task for each stream, between a replica and the hub.

mod hello;
mod turn;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use gateway_proto::Refusal;
use gateway_proto::push::v1 as pb;
use gateway_proto::push::v1::config_push_server::ConfigPush;
use gateway_proto::push::v1::subscribe_request::Message;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use super::Admission;
use super::admission::{Authority, Caller, Presented};
use crate::push::{Batch, Feed, Following, Hub, Index, Seat, Table};
use crate::store::HostTable;
use crate::token::Scope;
use hello::read_hello;
pub(super) use turn::Turns;
use turn::{Turn, overdue};
use wire::{host_names, invalid, peers, read_report, response};

/// How much time there is at least between two batches; what changes meanwhile is put together.
const COALESCE: Duration = Duration::from_millis(50);

/// A batch and, should the stream end before it was read, the reason. There is never a second
/// batch before the first was answered.
const QUEUE: usize = 2;

type Outbound = mpsc::Sender<Result<pb::SubscribeResponse, Status>>;

pub(super) struct Service {
    pub(super) hub: Arc<Hub>,
    pub(super) admission: Admission,
    /// Of those who hold much when they come.
    pub(super) hellos: Turns,
    /// Of those who are sent much.
    pub(super) turns: Turns,
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
            hellos: self.hellos.clone(),
            turns: self.turns.clone(),
            hello_timeout: self.hello_timeout,
        };
        // Answered before the replica said anything, because a client may wait for that.
        self.streams.spawn(stream.run(self.shutdown.clone()));
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}

/// What a replica is told beside documents, where it is another than it was told before.
struct News {
    fleet: Option<Table>,
    hosts: Option<HostTable>,
}

impl News {
    fn is_empty(&self) -> bool {
        self.fleet.is_none() && self.hosts.is_none()
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
    hellos: Turns,
    turns: Turns,
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
        let hub = Arc::clone(&self.hub);
        // What is sent ends with these.
        drop((self, outbound));
        shutdown
            .run_until_cancelled(hub.fleet.forget_departed())
            .await;
    }

    /// Ends without an error when the replica ends the stream.
    async fn converse(&mut self) -> Result<(), Status> {
        let hello = read_hello(&mut self.inbound, &self.hellos, self.hello_timeout);
        let Some((hello, being_read)) = hello.await? else {
            return Ok(());
        };
        let turn = match self.hub.lacks_most(&hello, &self.scope) {
            true => self.turns.take().await,
            false => None,
        };
        // Followed before joining, so that no change falls between.
        let mut index = self.hub.follow();
        let mut fleet = self.hub.fleet.follow();
        let joined = self.hub.join(hello, self.scope.clone());
        let (seat, mut feed) = joined.map_err(|taken| {
            tracing::warn!(reason = %taken, "a replica was refused");
            self.hub.metrics.came(false);
            Status::already_exists(taken.to_string())
        })?;
        // What it holds is in memory no more.
        drop(being_read);
        self.hub.metrics.came(true);
        let tenants = self.scope.tenants().map(|_| self.scope.to_string());
        tracing::info!(replica = seat.replica(), tenants, "a replica connected");
        let ended = self
            .follow(&seat, &mut feed, &mut index, &mut fleet, turn)
            .await;
        tracing::info!(replica = seat.replica(), "a replica disconnected");
        ended
    }

    async fn follow(
        &mut self,
        seat: &Seat,
        feed: &mut Feed,
        index: &mut watch::Receiver<Arc<Index>>,
        fleet: &mut Following,
        mut turn: Option<Turn>,
    ) -> Result<(), Status> {
        let mut hosts = self.hub.follow_hosts();
        let mut told: (Option<Table>, Option<HostTable>) = (None, None);
        let mut last_sent: Option<Instant> = None;
        loop {
            let current = Arc::clone(&index.borrow_and_update());
            let own = feed.recipient().hosts(&hosts.borrow_and_update().1);
            let news = News {
                fleet: Some(fleet.look()).filter(|table| told.0.as_ref() != Some(table)),
                hosts: Some(own).filter(|own| told.1.as_ref() != Some(own)),
            };
            let mut batch = feed.next_batch(&current);
            if batch.is_none() && !news.is_empty() {
                batch = feed.bare_batch();
            }
            if let Some(batch) = batch {
                self.send(batch, &news).await?;
                last_sent = Some(Instant::now());
                told = (news.fleet.or(told.0), news.hosts.or(told.1));
                if let Some(position) = feed.target() {
                    seat.delivered(position.clone());
                }
            }
            // Neither a message nor a change is lost when another arm wins: the inbound stream
            // keeps what it has read, and the change stays unseen.
            tokio::select! {
                message = self.inbound.message() => {
                    let Some(message) = message? else { return Ok(()) };
                    self.take(message, seat, feed)?;
                    if feed.has_arrived() {
                        turn = None;
                    }
                }
                () = overdue(turn.as_ref()) => turn = None,
                changed = index.changed(), if !feed.is_waiting() => {
                    if changed.is_err() {
                        return Err(Status::unavailable("the control plane has stopped"));
                    }
                    gather(last_sent).await;
                }
                _ = fleet.changed(), if !feed.is_waiting() => gather(last_sent).await,
                changed = hosts.changed(), if !feed.is_waiting() => {
                    if changed.is_err() {
                        return Err(Status::unavailable("the control plane has stopped"));
                    }
                    gather(last_sent).await;
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

    async fn send(&self, batch: Batch, news: &News) -> Result<(), Status> {
        self.hub.metrics.sent(&batch);
        let mut response = response(batch, self.hub.store_id());
        let fleet = news.fleet.as_ref();
        response.peers = fleet.map(|table| peers(table, &self.scope));
        response.host_names = news.hosts.as_ref().map(host_names);
        let response = Ok(response);
        let sent = self.outbound.send(response).await;
        sent.map_err(|_| Status::cancelled("the replica ended the stream"))
    }

    /// Takes what a replica says behind its hello.
    fn take(
        &self,
        request: pb::SubscribeRequest,
        seat: &Seat,
        feed: &mut Feed,
    ) -> Result<(), Status> {
        match request.message {
            Some(Message::Acknowledge(answer)) => self.acknowledge(answer, seat, feed),
            Some(Message::Report(report)) => {
                seat.reported(read_report(report)?);
                Ok(())
            }
            _ => Err(Status::invalid_argument(
                "only the first message is a hello; every later one acknowledges a batch or reports",
            )),
        }
    }

    fn acknowledge(
        &self,
        answer: pb::Acknowledge,
        seat: &Seat,
        feed: &mut Feed,
    ) -> Result<(), Status> {
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

/// Puts together what comes shortly after something was sent. A change at rest is sent at once.
async fn gather(last_sent: Option<Instant>) {
    if let Some(last_sent) = last_sent {
        tokio::time::sleep_until(last_sent + COALESCE).await;
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
