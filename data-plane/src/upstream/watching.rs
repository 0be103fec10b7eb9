//! Resources of a server that one listener watches, over one connection: by subscriptions in a
//! legacy session, or by a modern subscription of their own.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use gateway_core::Deadline;
use gateway_mcp::client::{ClientError, Exchange, Peer};
use gateway_mcp::json::{Text, elements, encode_str};
use gateway_mcp::message::{Kind, Message};
use gateway_mcp::place::Step::Field;
use gateway_mcp::place::find;
use gateway_mcp::version::Era;
use gateway_mcp::{author, code};
use http::HeaderMap;
use serde_json::json;
use tracing::debug;

use super::audience::{Place, Told, UPDATED, covers_any, uri_of};
use super::private::SessionKey;
use super::{Upstream, UpstreamError};
use crate::live::LiveSession;

/// How long a server may take to answer a wish to watch.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a server answers to the wish to watch a resource: agreed, or its error.
pub(crate) type Verdict = Result<(), Box<Message>>;

/// Resources that are watched, for as long as this is held.
pub(crate) struct Watching {
    peer: Arc<Peer>,
    means: Means,
    /// Completes when the connection is no longer the one in use.
    left: BoxFuture<'static, ()>,
}

enum Means {
    /// The server tells all who share the session, of what any of them has subscribed to.
    Session(Place),
    Subscription(Box<Subscription>),
}

/// A modern subscription, made anew for each change of what is wanted.
struct Subscription {
    uris: BTreeSet<String>,
    exchange: Option<Exchange>,
    told: Told,
}

impl Upstream {
    /// A connection over which a listener may watch resources: the one that its calls use, so that
    /// it hears of what they change. Where others use it too, the audience tells who hears what.
    pub(crate) async fn watch(
        self: &Arc<Self>,
        key: &SessionKey,
        live: Option<&Arc<LiveSession>>,
        told: Told,
        deadline: Deadline,
    ) -> Result<Watching, UpstreamError> {
        let lease = self.lease(key, live, deadline).await?;
        let peer = Arc::clone(&lease.peer);
        let means = match peer.hello().era {
            Era::Legacy => Means::Session(self.audience.join(&peer, told)),
            Era::Modern => Means::Subscription(Box::new(Subscription {
                uris: BTreeSet::new(),
                exchange: None,
                told,
            })),
        };
        let left = self.until_left(lease).boxed();
        Ok(Watching { peer, means, left })
    }
}

impl Watching {
    /// Watches further resources; what the server says to each.
    pub(crate) async fn add(&mut self, uris: &[String]) -> Result<Vec<Verdict>, ClientError> {
        match &mut self.means {
            Means::Session(place) => {
                let mut verdicts = Vec::new();
                for uri in uris {
                    verdicts.push(subscribe(&self.peer, place, uri).await?);
                }
                Ok(verdicts)
            }
            Means::Subscription(subscription) => subscription.add(&self.peer, uris).await,
        }
    }

    /// Watches a resource no longer.
    pub(crate) async fn remove(&mut self, uri: &str) {
        match &mut self.means {
            Means::Session(place) => unsubscribe(&self.peer, place, uri).await,
            Means::Subscription(subscription) => subscription.remove(&self.peer, uri).await,
        }
    }

    /// Passes on what comes, until nothing more can.
    pub(crate) async fn lost(&mut self) {
        match &mut self.means {
            Means::Session(_) => (&mut self.left).await,
            Means::Subscription(subscription) => {
                tokio::select! {
                    () = &mut self.left => {}
                    () = subscription.pass_on() => {}
                }
            }
        }
    }

    /// Takes everything back.
    pub(crate) async fn end(self) {
        if let Means::Session(place) = &self.means {
            for uri in place.uris() {
                unsubscribe(&self.peer, place, &uri).await;
            }
        }
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching")
            .field("server", &self.peer.name())
            .finish_non_exhaustive()
    }
}

async fn subscribe(peer: &Peer, place: &Place, uri: &str) -> Result<Verdict, ClientError> {
    // Before the server is asked, because it may have news at once.
    place.add(uri);
    let response = ask(peer, "resources/subscribe", uri).await?;
    if response.error().is_none() {
        return Ok(Ok(()));
    }
    place.remove(uri);
    Ok(Err(Box::new(response)))
}

async fn unsubscribe(peer: &Peer, place: &Place, uri: &str) {
    place.remove(uri);
    if place.is_watched(uri) {
        return;
    }
    let told = async {
        ask(peer, "resources/unsubscribe", uri).await?;
        // Somebody who shares the session may have come meanwhile.
        if place.is_watched(uri) {
            ask(peer, "resources/subscribe", uri).await?;
        }
        Ok::<_, ClientError>(())
    };
    if let Err(error) = told.await {
        debug!(server = peer.name(), %error, "a subscription was not taken back");
    }
}

/// Asks a legacy server something about a resource.
async fn ask(peer: &Peer, method: &str, uri: &str) -> Result<Message, ClientError> {
    let params = format!(r#"{{"uri":{}}}"#, encode_str(uri));
    let request = author::request("0", method, Some(&params));
    let asked = peer.request(&request, HeaderMap::new(), Deadline::after(PATIENCE));
    let mut exchange = asked.await?;
    while let Some(message) = exchange.next().await.transpose()? {
        if message.kind() == Kind::Response {
            return Ok(message);
        }
    }
    Err(silent(peer))
}

impl Subscription {
    async fn add(&mut self, peer: &Peer, uris: &[String]) -> Result<Vec<Verdict>, ClientError> {
        let mut wanted = self.uris.clone();
        wanted.extend(uris.iter().cloned());
        let (exchange, agreed) = match listen(peer, &wanted).await? {
            Ok(agreed) => agreed,
            Err(refusal) => return Ok(uris.iter().map(|_| Err(refusal.clone())).collect()),
        };
        let verdicts = uris.iter().map(|uri| match agreed.contains(uri) {
            true => Ok(()),
            false => Err(Box::new(untold(uri))),
        });
        let verdicts = verdicts.collect();
        // The one before ends only now, so that nothing is missed in between.
        self.exchange = Some(exchange);
        self.uris = agreed;
        Ok(verdicts)
    }

    async fn remove(&mut self, peer: &Peer, uri: &str) {
        self.uris.remove(uri);
        if self.uris.is_empty() {
            self.exchange = None;
            return;
        }
        match listen(peer, &self.uris).await {
            Ok(Ok((exchange, _))) => self.exchange = Some(exchange),
            Ok(Err(_)) => debug!(server = peer.name(), "a subscription was not made smaller"),
            Err(error) => {
                debug!(server = peer.name(), %error, "a subscription was not made smaller");
            }
        }
    }

    async fn pass_on(&mut self) {
        let Some(exchange) = &mut self.exchange else {
            return std::future::pending().await;
        };
        while let Some(Ok(message)) = exchange.next().await {
            match message.method() {
                Some(UPDATED) => {
                    let uri = uri_of(&message).unwrap_or_default();
                    if covers_any(&self.uris, &uri) {
                        (self.told)(&message);
                    }
                }
                Some("notifications/cancelled") | None => return,
                Some(_) => {}
            }
        }
    }
}

/// A subscription to these resources, and those of them that the server agrees to tell of; its
/// error if it agrees to none.
async fn listen(
    peer: &Peer,
    uris: &BTreeSet<String>,
) -> Result<Result<(Exchange, BTreeSet<String>), Box<Message>>, ClientError> {
    let filter = json!({ "resourceSubscriptions": uris }).to_string();
    let mut exchange = peer.listen(&filter, Deadline::after(PATIENCE)).await?;
    let first = tokio::time::timeout(PATIENCE, exchange.next()).await;
    let first = first.ok().flatten().transpose()?;
    let first = first.ok_or_else(|| silent(peer))?;
    if first.kind() == Kind::Response {
        return Ok(Err(Box::new(first)));
    }
    let agreed = agreed(&first);
    Ok(Ok((exchange, agreed)))
}

fn agreed(acknowledged: &Message) -> BTreeSet<String> {
    let bytes = acknowledged.bytes();
    let place = [
        Field("params"),
        Field("notifications"),
        Field("resourceSubscriptions"),
    ];
    let list = find(bytes, 0..bytes.len(), &place).pop();
    let uris = list.and_then(|range| elements(bytes, range));
    let uris = uris.into_iter().flatten();
    uris.filter_map(|range| Some(Text::read(bytes, range)?.as_str(bytes).to_owned()))
        .collect()
}

fn untold(uri: &str) -> Message {
    let text = format!("the server does not tell of changes of {uri}");
    author::error(Some("0"), code::INVALID_PARAMS, &text, None)
}

fn silent(peer: &Peer) -> ClientError {
    ClientError::DeadlineExceeded {
        server: peer.name().into(),
        sent: true,
    }
}
