//! Simulated replicas: clients of the push protocol that acknowledge at once and keep nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, stream};
use gateway_proto::push::v1::config_push_client::ConfigPushClient;
use gateway_proto::push::v1::subscribe_request::Message;
use gateway_proto::push::v1::{Acknowledge, Hello, SubscribeRequest};
use gateway_tests::planes::join_token;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use tonic::Request;

use super::tenants::Tenants;

/// How long everything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// As long as those of data planes.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a replica has acknowledged.
#[derive(Debug, Clone, Default)]
struct Reached {
    sequence: u64,
    store: Arc<str>,
    is_in_sync: bool,
}

/// One replica, over a connection of its own.
#[derive(Debug)]
struct Replica {
    reached: watch::Receiver<Reached>,
    stream: AbortOnDropHandle<Result<()>>,
}

/// Where a replica was, and all that it has, before it lost its control plane.
#[derive(Debug, Clone)]
pub(super) struct Before {
    tenants: Arc<Tenants>,
    reached: Reached,
}

/// Replicas that are connected for as long as this is held.
#[derive(Debug)]
pub(super) struct Replicas {
    /// How the name of each begins.
    name: &'static str,
    all: Vec<Replica>,
}

impl Replicas {
    pub(super) fn named(name: &'static str) -> Self {
        let all = Vec::new();
        Self { name, all }
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Connects so many more, all at once; `before`: as after an outage, and not as those that have nothing yet.
    pub(super) fn connect(&mut self, url: &str, count: usize, before: Option<&Before>) {
        for _ in 0..count {
            let (reaching, reached) = watch::channel(Reached::default());
            let name = format!("{}-{:04}", self.name, self.all.len());
            let stream = come(url.to_owned(), name, before.cloned(), reaching);
            let stream = AbortOnDropHandle::new(tokio::spawn(stream));
            self.all.push(Replica { reached, stream });
        }
    }

    /// Waits until every one of them has acknowledged the state of a sequence, or a later one.
    pub(super) async fn reach(&mut self, sequence: u64) -> Result<()> {
        let all = async {
            for replica in &mut self.all {
                let is_there =
                    |reached: &Reached| reached.is_in_sync && reached.sequence >= sequence;
                if replica.reached.wait_for(is_there).await.is_err() {
                    (&mut replica.stream).await??;
                    bail!("the stream of a replica has ended");
                }
            }
            Ok(())
        };
        let waited = tokio::time::timeout(PATIENCE, all).await;
        waited.with_context(|| format!("waiting for sequence {sequence} at every replica"))?
    }

    /// The last state that the first of them acknowledged.
    pub(super) fn sequence(&self) -> u64 {
        let first = self.all.first();
        first.map_or(0, |replica| replica.reached.borrow().sequence)
    }

    /// What the first of them would say if it came again.
    pub(super) fn before(&self, tenants: &Arc<Tenants>) -> Result<Before> {
        let first = self.all.first().context("there is no replica")?;
        Ok(Before {
            tenants: Arc::clone(tenants),
            reached: first.reached.borrow().clone(),
        })
    }
}

/// As data planes do, comes again where a control plane that is asked by many has cut it off.
async fn come(
    url: String,
    replica: String,
    before: Option<Before>,
    reaching: watch::Sender<Reached>,
) -> Result<()> {
    let mut pause = FIRST_PAUSE;
    loop {
        let (url, replica, before) = (url.clone(), replica.clone(), before.clone());
        let followed = follow(url, replica, before, &reaching).await;
        if reaching.borrow().sequence > 0 {
            return followed;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn follow(
    url: String,
    replica: String,
    before: Option<Before>,
    reaching: &watch::Sender<Reached>,
) -> Result<()> {
    let mut client = ConfigPushClient::connect(url).await?;
    let (says, said) = mpsc::channel(1);
    let said = stream::unfold(said, |mut said: mpsc::Receiver<SubscribeRequest>| async {
        let message = said.recv().await?;
        Some((message, said))
    });
    let reached = before.as_ref().map(|before| before.reached.clone());
    let reached = reached.unwrap_or_default();
    let hello = Hello {
        replica,
        version: "simulated".to_owned(),
        store: reached.store.to_string(),
        cursor: reached.sequence,
        held: before.map_or(Vec::new(), |before| before.tenants.held()),
        advertise: String::new(),
        more_held: false,
    };
    let mut request = Request::new(stream::iter(hello.into_requests()).chain(said));
    let bearer = format!("Bearer {}", join_token()).parse()?;
    request.metadata_mut().insert("authorization", bearer);
    let say = async |message| {
        let message = Some(message);
        says.send(SubscribeRequest { message }).await
    };
    let mut batches = client.subscribe(request).await?.into_inner();
    while let Some(batch) = batches.message().await? {
        let answer = Acknowledge {
            nonce: batch.nonce,
            refusals: Vec::new(),
        };
        say(Message::Acknowledge(answer)).await?;
        reaching.send_replace(Reached {
            sequence: batch.sequence,
            store: batch.store.into(),
            is_in_sync: !batch.more,
        });
    }
    bail!("the control plane has ended the stream")
}
