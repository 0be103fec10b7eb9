//! Tells the other control planes on the same store of the replicas here, and hears of theirs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::Hub;
use super::told::{Teller, Told};
use crate::store::{Announcement, ReplicaStore, StoreError};

/// How often it is looked for what nobody has told of.
const POLL: Duration = Duration::from_secs(1);

/// How often this control plane says that it is there, when it has nothing else to say: several times
/// within the time after which it would be taken for gone.
const HEARTBEAT: Duration = Duration::from_secs(4);

/// What has gone is remembered for somewhat longer (`store/postgres/replicas.rs`). Who has read nothing
/// for so long reads everything.
const MEMORY: Duration = Duration::from_secs(30);

/// So long what changes is put together.
const GATHER: Duration = Duration::from_millis(250);

/// What was told, and what has to be told next.
pub(super) struct Exchange {
    hub: Arc<Hub>,
    /// Rung when another control plane has something to tell.
    bell: Arc<Notify>,
    id: String,
    version: u64,
    sequence: u64,
    told: BTreeMap<String, Told>,
    told_at: Instant,
    /// What it was called before it began anew, until that is taken away.
    replaces: Vec<String>,
    read_at: Instant,
}

impl Exchange {
    pub(super) fn new(hub: Arc<Hub>, bell: Arc<Notify>) -> Self {
        Self {
            hub,
            bell,
            id: new_id(),
            version: 0,
            sequence: 0,
            told: BTreeMap::new(),
            told_at: Instant::now(),
            replaces: Vec::new(),
            read_at: Instant::now(),
        }
    }

    /// Goes on until it is dropped.
    pub(super) async fn run(&mut self, store: &dyn ReplicaStore) {
        let mut index = self.hub.index.subscribe();
        let mut replicas = self.hub.replicas.subscribe();
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            index.mark_unchanged();
            replicas.mark_unchanged();
            // Whoever reads the store says aloud that it is away.
            if let Err(error) = self.tell(store).await {
                tracing::debug!(%error, "the other control planes are told of no replicas");
                if self.version > 0 {
                    self.begin_anew();
                }
            }
            if let Err(error) = self.read(store).await {
                tracing::debug!(%error, "the replicas of others are not known");
            }
            tokio::time::sleep(GATHER).await;
            tokio::select! {
                _ = index.changed() => {}
                _ = replicas.changed() => {}
                () = self.bell.notified() => {}
                _ = ticks.tick() => {}
            }
        }
    }

    /// The others need not find out that this control plane has gone.
    pub(super) async fn leave(&self, store: &dyn ReplicaStore) {
        if self.version > 0
            && let Err(error) = store.leave(&self.id).await
        {
            tracing::debug!(%error, "the other control planes are not told that this one has gone");
        }
    }

    async fn read(&mut self, store: &dyn ReplicaStore) -> Result<(), StoreError> {
        let elsewhere = &self.hub.elsewhere;
        let is_late = self.read_at.elapsed() > MEMORY;
        let known = match is_late {
            true => Vec::new(),
            false => elsewhere.borrow().known(),
        };
        let read = store.others(&self.id, &known).await?;
        self.read_at = Instant::now();
        let changed = elsewhere.send_if_modified(|elsewhere| {
            if is_late {
                elsewhere.forget();
            }
            elsewhere.take(read)
        });
        if changed {
            self.hub.look_elsewhere();
        }
        Ok(())
    }

    async fn tell(&mut self, store: &dyn ReplicaStore) -> Result<(), StoreError> {
        let is_due = self.version == 0 || self.told_at.elapsed() >= HEARTBEAT;
        let (sequence, now) = self.look();
        let mut changed = Vec::new();
        for (name, told) in &now {
            if self.told.get(name) != Some(told) {
                let text = serde_json::to_string(told).map_err(|error| StoreError::Unreadable {
                    what: "replica",
                    value: error.to_string(),
                })?;
                changed.push((name.clone(), Some(text)));
            }
        }
        let gone = self.told.keys().filter(|name| !now.contains_key(*name));
        changed.extend(gone.map(|name| (name.clone(), None)));
        if changed.is_empty() && sequence == self.sequence && !is_due {
            return Ok(());
        }
        let announcement = Announcement {
            id: self.id.clone(),
            name: self.hub.name.to_string(),
            sequence,
            version: self.version + 1,
            replicas: changed,
            replaces: self.replaces.clone(),
        };
        let is_known = store.announce(&announcement).await?;
        if !is_known {
            // PostgreSQL has lost what is not for keeping, or this control plane was away for too long.
            // Or its first announcement was taken, and the answer lost.
            self.begin_anew();
            return Ok(());
        }
        self.version += 1;
        (self.sequence, self.told) = (sequence, now);
        self.replaces.clear();
        self.told_at = Instant::now();
        Ok(())
    }

    /// What there is to tell of the replicas here.
    fn look(&self) -> (u64, BTreeMap<String, Told>) {
        let index = Arc::clone(&self.hub.index.borrow());
        let mut teller = Teller::new(index.position());
        let replicas = self.hub.replicas.borrow();
        let told = replicas.iter();
        let told = told.map(|(name, replica)| (name.clone(), teller.tell(name, replica)));
        (index.position().sequence, told.collect())
    }

    /// As another control plane, of which nobody knows anything yet.
    fn begin_anew(&mut self) {
        let before = std::mem::replace(&mut self.id, new_id());
        self.replaces.push(before);
        self.version = 0;
        self.told.clear();
    }
}

fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}
