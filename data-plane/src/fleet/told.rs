//! What replicas tell each other of sessions: what has to hold at every one of them, and not only
//! at the session's home.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use gateway_core::TenantId;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::handing::Undelivered;
use super::listener::TOLD;
use super::{Fleet, Peer};
use crate::Gateway;
use crate::body::ReplyBody;
use crate::server::text;
use crate::session::SessionId;

/// How long whoever tells waits until all others have heard it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pauses before one is told again who has not heard it.
const PAUSES: [u64; 6] = [1, 2, 4, 8, 16, 32];

/// How many sessions of each sort a replica tells one that has just come.
const MOST_TOLD: usize = 100_000;

/// How long a replica may take to tell all that it knows, and how much that may be.
const LEARNING: Duration = Duration::from_secs(10);
const MAX_TOLD_BYTES: usize = 32 * 1024 * 1024;

/// Something that every replica has to know of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// It was ended.
    Ended {
        session: SessionId,
        /// In seconds since 1970.
        until: i64,
    },
    /// Its client has set a log level, which is raw JSON.
    Level { session: SessionId, level: String },
    /// Its client wants no answer any more to a request, whose id is raw JSON.
    Cancelled { session: SessionId, request: String },
}

impl Word {
    /// Whether it is worth to be told to one who was away: a call that goes on costs nobody much.
    fn is_lasting(&self) -> bool {
        !matches!(self, Self::Cancelled { .. })
    }
}

/// Tells all other replicas. Waits until they have heard it, and for a moment at most; who has not
/// is told again.
pub(crate) async fn tell(gateway: &Arc<Gateway>, tenant: &TenantId, word: Word) {
    let Some(fleet) = &gateway.fleet else {
        return;
    };
    let Ok(words) = serde_json::to_vec(&[Telling {
        tenant,
        word: &word,
    }]) else {
        return;
    };
    let words = Bytes::from(words);
    let others: Vec<_> = fleet.others.load().live().cloned().collect();
    let telling = others.into_iter().map(|peer| {
        let words = words.clone();
        async move {
            let told = timeout(PATIENCE, post(gateway, fleet, &peer, words)).await;
            (!matches!(told, Ok(Ok(())))).then_some(peer)
        }
    });
    let unaware: Vec<_> = join_all(telling).await.into_iter().flatten().collect();
    for peer in unaware {
        debug!(replica = peer.name, ?word, "a replica has not heard it");
        if word.is_lasting() {
            tell_again(gateway, fleet, peer, words.clone());
        }
    }
}

/// One word, and whose session it is about.
#[derive(Serialize)]
struct Telling<'a> {
    tenant: &'a TenantId,
    word: &'a Word,
}

#[derive(Deserialize)]
struct Told {
    tenant: TenantId,
    word: Word,
}

async fn post(
    gateway: &Gateway,
    fleet: &Fleet,
    peer: &Peer,
    words: Bytes,
) -> Result<(), Undelivered> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let sent = fleet.send(gateway, peer, Method::POST, TOLD, &headers, words);
    let status = sent.await?.status();
    if status.is_success() {
        return Ok(());
    }
    Err(Undelivered::NotSent(format!("it answered {status}")))
}

/// Goes on telling one, as long as it is there and there are not too many such.
fn tell_again(gateway: &Arc<Gateway>, fleet: &Fleet, peer: Arc<Peer>, words: Bytes) {
    let Ok(place) = Arc::clone(&fleet.retellings).try_acquire_owned() else {
        warn!(
            replica = peer.name,
            "too much is untold: a replica may not know that a session has ended"
        );
        return;
    };
    let (keeper, stop) = (Arc::clone(gateway), gateway.stopping.clone());
    let telling = async move {
        let _place = place;
        let Some(fleet) = &keeper.fleet else { return };
        for pause in PAUSES {
            sleep(Duration::from_secs(pause)).await;
            // One that has gone asks when it comes back.
            let is_there = fleet.others.load().live().any(|other| *other == peer);
            if !is_there {
                return;
            }
            if matches!(
                timeout(PATIENCE, post(&keeper, fleet, &peer, words.clone())).await,
                Ok(Ok(()))
            ) {
                return;
            }
        }
        warn!(
            replica = peer.name,
            "a replica could not be told of a session"
        );
    };
    drop(gateway.tasks.spawn(stop.run_until_cancelled_owned(telling)));
}

/// Hears what another replica tells. What this version does not know is passed over: a newer one
/// may tell more.
pub(super) async fn hear(gateway: &Gateway, body: &[u8]) -> Response<ReplyBody> {
    let Ok(words) = serde_json::from_slice::<Vec<&RawValue>>(body) else {
        return text(StatusCode::BAD_REQUEST, "what is told is no JSON array\n");
    };
    for word in words {
        match serde_json::from_str::<Told>(word.get()) {
            Ok(Told { tenant, word }) => take(gateway, &tenant, word).await,
            Err(error) => debug!(%error, "a word of another replica is not understood"),
        }
    }
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

async fn take(gateway: &Gateway, tenant: &TenantId, word: Word) {
    let snapshot = gateway.tenants.get(tenant);
    let servers = snapshot
        .iter()
        .flat_map(|snapshot| snapshot.servers.values());
    match word {
        Word::Ended { session, until } => {
            gateway.sessions.remember_ended(session, until);
            gateway.live.end(session);
            servers.for_each(|server| server.end_sessions_of(session));
        }
        Word::Level { session, level } => {
            gateway.live.of(tenant, session).set_level(&level);
            join_all(servers.map(|server| server.set_level(session, &level))).await;
        }
        Word::Cancelled { session, request } => {
            if let Some(live) = gateway.live.find(session) {
                live.calls.cancel(&request);
            }
        }
    }
}

/// All that one who has just come has to know.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    ended: Vec<(SessionId, i64)>,
    levels: Vec<(SessionId, String)>,
}

/// Tells all that is known.
pub(super) fn all(gateway: &Gateway) -> Response<ReplyBody> {
    let levels = gateway.live.levels().into_iter();
    let levels = levels.map(|(session, level)| (session, String::clone(&level)));
    let known = Known {
        ended: gateway.sessions.ended().take(MOST_TOLD).collect(),
        levels: levels.take(MOST_TOLD).collect(),
    };
    match serde_json::to_vec(&known) {
        Ok(known) => Response::new(ReplyBody::whole(known)),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// Asks replicas that are new here what they know: this one may have missed it.
pub(crate) async fn learn(gateway: Arc<Gateway>, from: Vec<Arc<Peer>>) {
    let Some(fleet) = &gateway.fleet else {
        return;
    };
    for peer in from {
        match timeout(LEARNING, ask(&gateway, fleet, &peer)).await {
            Ok(Ok(known)) => {
                let (ended, levels) = (known.ended.len(), known.levels.len());
                if ended + levels > 0 {
                    info!(replica = peer.name, ended, levels, "learnt of sessions");
                }
                for (session, until) in known.ended {
                    gateway.sessions.remember_ended(session, until);
                    gateway.live.end(session);
                }
                for (session, level) in known.levels {
                    let live = gateway.live.of(None, session);
                    // What is known here may be newer.
                    if live.level().is_none() {
                        live.set_level(&level);
                    }
                }
            }
            Ok(Err(reason)) => debug!(replica = peer.name, reason, "nothing was learnt"),
            Err(_) => debug!(replica = peer.name, "nothing was learnt in time"),
        }
    }
}

async fn ask(gateway: &Gateway, fleet: &Fleet, peer: &Peer) -> Result<Known, String> {
    let nothing = HeaderMap::new();
    let sent = fleet.send(gateway, peer, Method::GET, TOLD, &nothing, Bytes::new());
    let response = sent.await.map_err(|error| match error {
        Undelivered::NotSent(reason) | Undelivered::Lost(reason) => reason,
    })?;
    let body = Limited::new(response.into_body(), MAX_TOLD_BYTES);
    let body = body.collect().await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())
}
