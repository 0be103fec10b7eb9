//! Keeps resources of one server watched for one client: over lost connections, servers that are
//! restarted, and new configurations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gateway_core::plugin::{Action, Decision, ItemKind};
use gateway_core::{CallContext, Deadline, Principal, RequestId, ServerName};
use gateway_mcp::author;
use gateway_mcp::json::encode_str;
use tokio::sync::{mpsc, watch};
use tracing::debug;

use super::recipient::Recipient;
use super::wanted::Wanted;
use super::{Answered, Refusal, Wish};
use crate::Gateway;
use crate::endpoint::Endpoint;
use crate::error::{Failure, Reason, with_causes};
use crate::pipeline::authenticate::Authenticated;
use crate::pipeline::{authorize, inject, tenant};
use crate::request::{ClientRequest, Dialect};
use crate::upstream::{SessionKey, UPDATED, Upstream, Watching};

/// The pause before a lost connection is made again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many resources of one server one client may watch.
const MOST: usize = 1_000;

/// What a policy is asked, in whichever way the client asks.
const METHOD: &str = "resources/subscribe";

/// Who wants to be told what.
pub(super) struct Keeper {
    gateway: Arc<Gateway>,
    endpoint: Endpoint,
    server: ServerName,
    principal: Principal,
    request: RequestId,
    dialect: Dialect,
    recipient: Recipient,
    wanted: BTreeMap<String, Wanted>,
}

/// A server that may be asked, and who asks.
struct Way {
    caller: Authenticated,
    server: Arc<Upstream>,
    /// What the policy does not allow, and why.
    denied: Vec<(String, String)>,
}

/// Why a connection is watched on no longer.
enum End {
    /// The client wants nothing any more.
    Dropped,
    /// It is lost, or another one is to be used.
    Lost,
}

impl Keeper {
    pub(super) fn new(
        gateway: &Arc<Gateway>,
        caller: &Authenticated,
        request: &ClientRequest,
        server: ServerName,
        recipient: Recipient,
    ) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            endpoint: request.endpoint.clone(),
            server,
            principal: caller.principal.clone(),
            request: request.id.clone(),
            dialect: request.dialect.clone(),
            recipient,
            wanted: BTreeMap::new(),
        }
    }

    /// Keeps watching what is wished for, until nobody can wish any more.
    pub(super) async fn run(mut self, mut wishes: mpsc::Receiver<Wish>) {
        let mut revisions = self.gateway.tenants.changes();
        let mut pause = FIRST_PAUSE;
        loop {
            while self.wanted.is_empty() {
                match wishes.recv().await {
                    Some(wish) => self.take(wish),
                    None => return,
                }
            }
            revisions.mark_unchanged();
            match self.connect().await {
                Ok((watching, server)) => {
                    let keeping = self.keep(watching, &server, &mut wishes, &mut revisions);
                    if let End::Dropped = keeping.await {
                        return;
                    }
                }
                Err(failure) => self.put_off(&failure),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                changed = revisions.changed() => match changed {
                    Ok(()) => pause = FIRST_PAUSE,
                    Err(_) => return,
                },
                wish = wishes.recv() => match wish {
                    Some(wish) => self.take(wish),
                    None => return,
                },
            }
        }
    }

    /// Takes a wish while there is no connection.
    fn take(&mut self, wish: Wish) {
        match wish {
            Wish::Watch(asked) => drop(self.note(asked)),
            Wish::Leave(uri, done) => {
                self.wanted.remove(&uri);
                // Whoever does not wait does not need to know.
                done.send(()).ok();
            }
        }
    }

    fn all(&self) -> Vec<String> {
        self.wanted.keys().cloned().collect()
    }

    /// Takes note of what is to be watched; which of it is not watched yet.
    fn note(&mut self, asked: Vec<(String, Answered)>) -> Vec<String> {
        let mut new = Vec::new();
        for (uri, answer) in asked {
            if self.wanted.len() >= MOST && !self.wanted.contains_key(&uri) {
                refuse_more(answer);
                continue;
            }
            let wanted = self.wanted.entry(uri.clone()).or_default();
            wanted.waiting.push(answer);
            new.push(uri);
        }
        new
    }

    /// The server as the configuration in force has it, and what its policy denies.
    async fn survey(&self, uris: &[String]) -> Result<Way, Failure> {
        let (snapshot, view) = tenant::in_force(&self.gateway, &self.endpoint)?;
        let limits = self.gateway.limits;
        let deadline = Deadline::after(limits.plugin_timeout);
        let context = CallContext::new(snapshot.tenant.clone(), deadline, self.request.clone());
        let shown = view.servers().iter().find(|s| *s.name() == self.server);
        let server = shown.map(Arc::clone).ok_or_else(|| {
            let message = format!("server `{}` is not there any more", self.server);
            Failure::new(Reason::Unavailable, message)
        })?;
        let caller = Authenticated {
            snapshot,
            view,
            limits,
            principal: self.principal.clone(),
            context,
        };
        let denied = self.denied(&caller, uris).await?;
        Ok(Way {
            caller,
            server,
            denied,
        })
    }

    async fn denied(
        &self,
        caller: &Authenticated,
        uris: &[String],
    ) -> Result<Vec<(String, String)>, Failure> {
        let actions: Vec<_> = uris
            .iter()
            .map(|uri| Action {
                server: &self.server,
                method: METHOD,
                kind: ItemKind::Resource,
                name: uri,
            })
            .collect();
        let decisions = authorize::decide(caller, &actions).await?;
        let mut denied = Vec::new();
        for (uri, decision) in uris.iter().zip(decisions) {
            match decision {
                Decision::Allow => {}
                Decision::Deny { reason } => denied.push((uri.clone(), reason)),
                Decision::Undecided { .. } => return Err(authorize::undecided()),
            }
        }
        Ok(denied)
    }

    async fn connect(&mut self) -> Result<(Watching, Weak<Upstream>), Failure> {
        let way = self.survey(&self.all()).await?;
        for (uri, reason) in way.denied {
            self.refuse(&uri, denial(&reason));
        }
        let (caller, server) = (way.caller, way.server);
        let about = author::request("0", METHOD, None);
        let rights = inject::standing_context(&caller, &server, &about).await?;
        let key = SessionKey::of(rights, &self.principal.user_id, &self.dialect);
        let live = match &self.recipient {
            Recipient::Session(live) => live.upgrade(),
            Recipient::Subscription(_) => None,
        };
        let told = self.recipient.told(&self.server, caller.view.is_prefixed());
        // What a new revision removes may end meanwhile.
        drop(caller);
        let deadline = Deadline::after(PATIENCE);
        let connected = Box::pin(server.watch(&key, live.as_ref(), told, deadline)).await;
        let watching = connected.map_err(|error| {
            let message = format!("server `{}` is not available: {error}", self.server);
            Failure::new(Reason::Unavailable, message).caused_by(error)
        })?;
        Ok((watching, Arc::downgrade(&server)))
    }

    /// Watches on one connection for as long as it is of use.
    async fn keep(
        &mut self,
        mut watching: Watching,
        server: &Weak<Upstream>,
        wishes: &mut mpsc::Receiver<Wish>,
        revisions: &mut watch::Receiver<u64>,
    ) -> End {
        let mut is_good = self.watch(&mut watching, &self.all()).await;
        while is_good && !self.wanted.is_empty() {
            tokio::select! {
                () = watching.lost() => return End::Lost,
                wish = wishes.recv() => match wish {
                    Some(wish) => is_good = self.fulfil(&mut watching, wish).await,
                    None => {
                        watching.end().await;
                        return End::Dropped;
                    }
                },
                changed = revisions.changed() => {
                    is_good = changed.is_ok() && self.review(&mut watching, server).await;
                }
            }
        }
        watching.end().await;
        End::Lost
    }

    /// Fulfils a wish on a connection; `false` if that is lost.
    async fn fulfil(&mut self, watching: &mut Watching, wish: Wish) -> bool {
        match wish {
            Wish::Watch(asked) => {
                let mut new = self.note(asked);
                match self.survey(&new).await {
                    Ok(way) => self.leave_denied(watching, way.denied).await,
                    Err(failure) => {
                        self.put_off(&failure);
                        return false;
                    }
                }
                new.retain(|uri| match self.wanted.get_mut(uri) {
                    Some(wanted) if wanted.was_watched => {
                        wanted.answer(&Ok(()));
                        false
                    }
                    wanted => wanted.is_some(),
                });
                return new.is_empty() || self.watch(watching, &new).await;
            }
            Wish::Leave(uri, done) => {
                if self.wanted.remove(&uri).is_some() {
                    watching.remove(&uri).await;
                }
                done.send(()).ok();
            }
        }
        true
    }

    /// Looks at a new configuration; `false` if the connection is not to be used any more.
    async fn review(&mut self, watching: &mut Watching, server: &Weak<Upstream>) -> bool {
        match self.survey(&self.all()).await {
            Ok(way) if Weak::ptr_eq(server, &Arc::downgrade(&way.server)) => {
                self.leave_denied(watching, way.denied).await;
                true
            }
            // What cannot be decided is not allowed.
            Ok(_) | Err(_) => false,
        }
    }

    async fn leave_denied(&mut self, watching: &mut Watching, denied: Vec<(String, String)>) {
        for (uri, reason) in denied {
            self.refuse(&uri, denial(&reason));
            watching.remove(&uri).await;
        }
    }

    /// Has the server asked for resources; `false` if the connection is lost.
    async fn watch(&mut self, watching: &mut Watching, uris: &[String]) -> bool {
        match watching.add(uris).await {
            Ok(verdicts) => {
                for (uri, verdict) in uris.iter().zip(verdicts) {
                    match verdict {
                        Ok(()) => self.confirm(uri),
                        Err(error) => self.refuse(uri, Refusal::Server(error)),
                    }
                }
                true
            }
            Err(error) => {
                let message = format!("server `{}`: {error}", self.server);
                self.put_off(&Failure::new(Reason::Unavailable, message).caused_by(error));
                false
            }
        }
    }

    fn confirm(&mut self, uri: &str) {
        let Some(wanted) = self.wanted.get_mut(uri) else {
            return;
        };
        wanted.answer(&Ok(()));
        if std::mem::replace(&mut wanted.was_watched, true) {
            self.tell_of(uri);
        }
    }

    fn refuse(&mut self, uri: &str, refusal: Refusal) {
        if let Some(mut wanted) = self.wanted.remove(uri) {
            wanted.answer(&Err(refusal));
            if wanted.was_watched {
                self.tell_of(uri);
            }
        }
    }

    /// Tells those who wait that it takes longer.
    fn put_off(&mut self, failure: &Failure) {
        debug!(server = %self.server, reason = with_causes(failure), "resources are not watched");
        for wanted in self.wanted.values_mut() {
            let failure = Failure::new(failure.reason(), failure.to_string());
            wanted.answer(&Err(Refusal::Passing(failure)));
        }
    }

    /// Tells the client that a resource may have changed while it was not watched.
    fn tell_of(&self, uri: &str) {
        let params = format!(r#"{{"uri":{}}}"#, encode_str(uri));
        let is_prefixed = tenant::in_force(&self.gateway, &self.endpoint)
            .is_ok_and(|(_, view)| view.is_prefixed());
        self.recipient.told(&self.server, is_prefixed)(&author::notification(
            UPDATED,
            Some(&params),
        ));
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("server", &self.server)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

fn denial(reason: &str) -> Refusal {
    let message = format!("not allowed: {reason}");
    Refusal::Final(Failure::new(Reason::Denied, message))
}

fn refuse_more(answer: Answered) {
    let message = format!("no more than {MOST} resources of a server can be watched");
    let failure = Failure::new(Reason::InvalidParams, message);
    answer.send(Err(Refusal::Final(failure))).ok();
}
