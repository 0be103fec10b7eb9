//! The data plane's end of the push: takes batches, puts them in force, says so.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use gateway_proto::push::v1::config_push_client::ConfigPushClient;
use gateway_proto::push::v1::subscribe_request::Message as Said;
use gateway_proto::push::v1::{Acknowledge, HeldDocument, Hello, SubscribeRequest};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use super::cache::Cache;
use super::in_force::InForce;
use super::join::{Authorization, ControlPlane};
use super::outage::Outage;
use super::report::Reporter;

/// The pause before the control planes are tried again, once all have been; each further one is
/// twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A stream that broke earlier says nothing for its control plane.
const SETTLED: Duration = Duration::from_secs(5);

/// How often it is noted on disk that a silent control plane is there and has nothing new.
const CONFIRM_INTERVAL: Duration = Duration::from_mins(1);

/// Where the replica stands in the control plane's store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Position {
    pub(crate) store: Arc<str>,
    pub(crate) sequence: u64,
}

/// Follows one control plane after the other for as long as it is not stopped. While all are away,
/// what is in force stays.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) replica: String,
    /// What control planes let replicas in by; `None` where they ask for nothing.
    pub(crate) authorization: Option<Authorization>,
    pub(crate) in_force: InForce,
}

/// How far it has come.
#[derive(Debug)]
struct Progress {
    position: Position,
    pause: Duration,
    outage: Outage,
}

impl Follower {
    /// Begins with what `cache` keeps, and keeps there what comes. At least one control plane.
    pub(crate) async fn run(
        mut self,
        control_planes: Vec<ControlPlane>,
        cache: Option<Cache>,
        stop: CancellationToken,
    ) {
        let mut progress = Progress {
            position: Position::default(),
            pause: FIRST_PAUSE,
            outage: Outage::default(),
        };
        let written = CancellationToken::new();
        let mut writing = None;
        if let Some(cache) = cache {
            let (position, writer) = self.in_force.restore(cache).await;
            progress.position = position;
            writing = writer.map(|writer| tokio::spawn(writer.run(written.clone())));
        }
        self.follow(&control_planes, &mut progress, &stop).await;
        written.cancel();
        if let Some(writing) = writing {
            // What panicked in there has said so.
            writing.await.ok();
        }
    }

    async fn follow(
        &mut self,
        control_planes: &[ControlPlane],
        progress: &mut Progress,
        stop: &CancellationToken,
    ) {
        // Not all replicas at the first one.
        let first = random_share() * control_planes.len() as f64;
        let in_turn = control_planes.iter().cycle().skip(first as usize);
        let mut tried = 0;
        for control_plane in in_turn {
            let began = Instant::now();
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.subscribe(control_plane, progress) => ended,
            };
            if let Err(status) = ended {
                progress.outage.report(control_plane, &status);
            }
            if began.elapsed() >= SETTLED {
                tried = 0;
            }
            tried += 1;
            if tried < control_planes.len() {
                continue;
            }
            tried = 0;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(jittered(progress.pause)) => {}
            }
            progress.pause = (progress.pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn subscribe(
        &mut self,
        control_plane: &ControlPlane,
        progress: &mut Progress,
    ) -> Result<(), Status> {
        let (says, said) = mpsc::channel(4);
        let hello = self.hello(&progress.position).into_requests();
        let said = stream::iter(hello).chain(ReceiverStream::new(said));
        let mut request = Request::new(said);
        if let Some(authorization) = &mut self.authorization {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", authorization.current());
        }
        let mut client = ConfigPushClient::new(control_plane.channel.clone());
        let mut batches = client.subscribe(request).await?.into_inner();
        let mut is_in_sync = false;
        let mut reporter = Reporter::new();
        let mut confirmations = interval_at(Instant::now() + CONFIRM_INTERVAL, CONFIRM_INTERVAL);
        loop {
            // None loses anything when another is first.
            let batch = tokio::select! {
                batch = batches.message() => batch?,
                report = reporter.next(&self.in_force.gateway.tenants) => {
                    send(&says, Said::Report(report)).await?;
                    continue;
                }
                _ = confirmations.tick(), if is_in_sync => {
                    self.in_force.confirm();
                    continue;
                }
            };
            let Some(mut batch) = batch else {
                return Ok(());
            };
            progress.pause = FIRST_PAUSE;
            progress.outage.end(control_plane);
            let (nonce, more) = (batch.nonce, batch.more);
            let reached = Position {
                store: batch.store.as_str().into(),
                sequence: batch.sequence,
            };
            for document in &batch.documents {
                reporter.note(&document.tenant, document.canary);
            }
            self.in_force.meet(batch.peers.take()).await;
            let refusals = self.in_force.take(batch, &reached);
            is_in_sync = !more;
            if is_in_sync {
                progress.position = reached;
            }
            send(&says, Said::Acknowledge(Acknowledge { nonce, refusals })).await?;
        }
    }

    fn hello(&self, position: &Position) -> Hello {
        let held = self.in_force.gateway.tenants.all().into_iter();
        let fleet = self.in_force.gateway.fleet.as_ref();
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
            more_held: false,
        }
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
    pause.mul_f64(0.5 + random_share() / 2.0)
}

/// From 0, and below 1.
fn random_share() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_fields().0) / (f64::from(u32::MAX) + 1.0)
}
