//! Carries the client's messages to the gateway, and everything that comes back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway_mcp::client::Relayed;
use gateway_mcp::json::Fields;
use gateway_mcp::lines::encode_line;
use gateway_mcp::message::{Kind, Message, ScanError};
use gateway_mcp::{author, batch, code};
use http::{HeaderMap, StatusCode};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::calls::{Call, Calls};
use super::keeper::{Link, Side};
use super::lines::Line;
use super::send::{Manner, SendError, next, post, read};
use super::session::{Headers, Session};

/// How many requests may be under way at the gateway; further ones wait.
const AT_ONCE: usize = 64;

/// How long what comes behind a notification or an answer waits for the gateway to have that.
const ORDER: Duration = Duration::from_secs(1);

/// How long requests under way may take once the client says nothing more.
const GRACE: Duration = Duration::from_secs(5);

/// How long the rest may take then.
const LAST: Duration = Duration::from_secs(1);

/// One client and the way to its gateway.
pub(super) struct Bridge {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

struct Shared {
    link: Link,
    output: mpsc::Sender<Bytes>,
    /// How many messages the client may send at once.
    max_batch: usize,
    session: Session,
    calls: Arc<Calls>,
    turns: Semaphore,
    /// Cancelled when the client says nothing more: what never ends by itself ends now.
    closing: CancellationToken,
    /// Cancelled when what is still under way then is given up.
    giving_up: CancellationToken,
}

impl Bridge {
    pub(super) fn new(link: Link, output: mpsc::Sender<Bytes>, max_batch: usize) -> Self {
        let shared = Shared {
            link,
            output,
            max_batch,
            session: Session::default(),
            calls: Arc::default(),
            turns: Semaphore::new(AT_ONCE),
            closing: CancellationToken::new(),
            giving_up: CancellationToken::new(),
        };
        Self {
            shared: Arc::new(shared),
            tasks: TaskTracker::new(),
        }
    }

    /// Takes what the client says until it says nothing more.
    pub(super) async fn serve(&self, input: &mut mpsc::Receiver<Line>) {
        while let Some(line) = input.recv().await {
            match line {
                Ok(text) => self.take(text).await,
                Err(error) => {
                    let refusal = refusal(code::PARSE_ERROR, &error.to_string());
                    self.shared.write(&refusal).await;
                }
            }
        }
    }

    /// Waits for requests under way, if there is anybody to hear their answers, and ends the session.
    pub(super) async fn finish(&self, is_heard: bool) {
        self.shared.closing.cancel();
        self.tasks.close();
        if is_heard {
            drop(timeout(GRACE, self.tasks.wait()).await);
        }
        self.shared.giving_up.cancel();
        let last = async {
            self.tasks.wait().await;
            if let Some(headers) = self.shared.session.headers() {
                let ended = self
                    .shared
                    .link
                    .relay
                    .delete(headers.as_ref().clone())
                    .await;
                debug!(ended = ended.is_ok(), "the session ends");
            }
        };
        drop(timeout(LAST, last).await);
    }

    async fn take(&self, text: Bytes) {
        let message = match Message::scan(text.clone()) {
            Ok(message) => message,
            Err(ScanError::Batch) => return self.take_batch(text).await,
            Err(error) => {
                let refusal = refusal(error.code(), &error.to_string());
                return self.shared.write(&refusal).await;
            }
        };
        let manner = Manner::of(&message, self.shared.session.headers());
        match message.kind() {
            // Whatever comes behind it belongs to the session that it opens.
            Kind::Request if message.method() == Some("initialize") && !manner.is_modern() => {
                self.shared.open(&message).await;
            }
            Kind::Request => self.take_request(message, manner).await,
            Kind::Notification if message.method() == Some("notifications/cancelled") => {
                if cancelled_id(&message).is_none_or(|id| self.shared.calls.cancel(&id)) {
                    self.take_aside(message, manner).await;
                }
            }
            Kind::Notification | Kind::Response => self.take_aside(message, manner).await,
        }
    }

    async fn take_request(&self, message: Message, manner: Manner) {
        let shared = Arc::clone(&self.shared);
        let Some(call) = shared.calls.begin(&message, manner.is_modern()) else {
            let text = "too many requests are under way: wait for the answers to some of them";
            let id = message.id();
            let refusal = author::error(id, code::SERVER_UNAVAILABLE, text, None);
            return shared.write(&refusal).await;
        };
        drop(self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = call.dropped() => {}
                () = shared.giving_up.cancelled() => {}
                () = shared.answer(&message, manner, &call) => {}
            }
        }));
    }

    /// Several messages at once, which versions other than 2025-03-26 do not have; the gateway says so.
    async fn take_batch(&self, text: Bytes) {
        let messages = batch::scan(&text, self.shared.max_batch).unwrap_or_default();
        let requests = messages.iter().filter(|m| m.kind() == Kind::Request);
        let ids = requests.filter_map(Message::id).map(str::to_owned);
        let ids: Vec<_> = ids.collect();
        let manner = Manner::Legacy(self.shared.session.headers());
        let shared = Arc::clone(&self.shared);
        let posted = self.tasks.spawn(async move {
            tokio::select! {
                () = shared.giving_up.cancelled() => {}
                () = shared.answer_batch(&text, &manner, ids) => {}
            }
        });
        // It may hold what later messages build on, such as answers.
        drop(timeout(ORDER, posted).await);
    }

    /// A message that has no answer. Others that come behind it are to find it done.
    async fn take_aside(&self, message: Message, manner: Manner) {
        let headers = match manner {
            Manner::Legacy(None) => {
                debug!(?message, "a message outside any session is for nobody");
                return;
            }
            manner => manner.headers(),
        };
        let begins = message.method() == Some("notifications/initialized");
        let shared = Arc::clone(&self.shared);
        let posted = self.tasks.spawn(async move {
            let sent = post(&shared.link, &headers, message.bytes());
            tokio::select! {
                () = shared.giving_up.cancelled() => {}
                sent = sent => match sent {
                    Ok(relayed) if relayed.status().is_success() => {}
                    Ok(relayed) => debug!(?message, status = %relayed.status(), "not taken"),
                    Err(error) => debug!(?message, %error, "not taken"),
                }
            }
        });
        drop(timeout(ORDER, posted).await);
        if begins && let Some(headers) = self.shared.session.headers() {
            let shared = Arc::clone(&self.shared);
            drop(self.tasks.spawn(async move {
                tokio::select! {
                    () = shared.closing.cancelled() => {}
                    () = shared.attend(headers) => {}
                }
            }));
        }
    }
}

impl Shared {
    async fn write(&self, message: &Message) {
        // A client that reads no more ends the process elsewhere.
        drop(self.output.send(encode_line(message)).await);
    }

    /// Opens a session.
    async fn open(&self, message: &Message) {
        let id = message.id().unwrap_or("null");
        let opened = async {
            let mut relayed = post(&self.link, &HeaderMap::new(), message.bytes()).await?;
            let Some(text) = next(&self.link, &mut relayed).await? else {
                return Err(SendError::Lost);
            };
            let answer = read(text, relayed.status(), Some(id));
            self.session.begin(message, &relayed, &answer).await;
            Ok(answer)
        };
        let answer = opened.await.unwrap_or_else(|error| error.to_message(id));
        self.write(&answer).await;
    }

    async fn answer(&self, message: &Message, manner: Manner, call: &Call) {
        if manner.is_modern() && message.method() == Some("subscriptions/listen") {
            call.set_sent();
            tokio::select! {
                () = self.closing.cancelled() => {}
                () = self.listen(message, &manner) => {}
            }
            return;
        }
        // It is never closed.
        let Ok(_turn) = self.turns.acquire().await else {
            return;
        };
        call.set_sent();
        let id = message.id().unwrap_or("null").to_owned();
        let mut left = vec![id];
        let exchanged = self
            .exchange(message.bytes(), &manner, &mut left, Some(call))
            .await;
        if let (Err(error), false) = (exchanged, call.is_unwanted()) {
            self.refuse_all(&left, &error).await;
        }
    }

    async fn answer_batch(&self, text: &Bytes, manner: &Manner, mut left: Vec<String>) {
        let Ok(_turn) = self.turns.acquire().await else {
            return;
        };
        if let Err(error) = self.exchange(text, manner, &mut left, None).await {
            self.refuse_all(&left, &error).await;
        }
    }

    async fn refuse_all(&self, ids: &[String], error: &SendError) {
        for id in ids {
            self.write(&error.to_message(id)).await;
        }
    }

    /// Sends what has answers, and writes them; `left` are the ids that still wait for one.
    async fn exchange(
        &self,
        text: &Bytes,
        manner: &Manner,
        left: &mut Vec<String>,
        call: Option<&Call>,
    ) -> Result<(), SendError> {
        let mut relayed = self.send(text, manner).await?;
        while let Some(text) = next(&self.link, &mut relayed).await? {
            let only = left.first().filter(|_| call.is_some());
            let message = read(text, relayed.status(), only.map(String::as_str));
            if message.kind() == Kind::Response {
                match message.id() {
                    Some(id) => left.retain(|waiting| waiting != id),
                    None => left.clear(),
                }
            }
            if !call.is_some_and(Call::is_unwanted) {
                self.write(&message).await;
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        self.link.miss();
        Err(SendError::Lost)
    }

    /// Posts a message; in a session of its own making, where the gateway does not know the client's
    /// any more, and so has not done anything.
    async fn send(&self, text: &Bytes, manner: &Manner) -> Result<Relayed, SendError> {
        let relayed = post(&self.link, &manner.headers(), text).await?;
        if let Manner::Legacy(Some(stale)) = manner
            && relayed.status() == StatusCode::NOT_FOUND
            && let Some(headers) = self.session.renew(&self.link, stale).await
        {
            return post(&self.link, &headers, text).await;
        }
        Ok(relayed)
    }

    /// Writes what the client subscribes to, from one gateway after the other.
    async fn listen(&self, message: &Message, manner: &Manner) {
        let id = message.id().unwrap_or("null");
        let mut is_known = false;
        loop {
            match self.hear(message, manner, &mut is_known).await {
                Ok(true) => return,
                Ok(false) | Err(SendError::Lost) => {}
                Err(error) => return self.write(&error.to_message(id)).await,
            }
            self.link.miss();
            self.link.pause().await;
        }
    }

    /// Writes what one gateway says on a subscription, and whether that has ended. `is_known`: the
    /// client knows that it has begun.
    async fn hear(
        &self,
        message: &Message,
        manner: &Manner,
        is_known: &mut bool,
    ) -> Result<bool, SendError> {
        let side = self.link.ready().await?;
        let mut relayed = post(&self.link, &manner.headers(), message.bytes()).await?;
        while let Some(text) = next(&self.link, &mut relayed).await? {
            let said = read(text, relayed.status(), message.id());
            if said.kind() == Kind::Response {
                // With such an answer it is the gateway that ends, and there will be another.
                if said.result().is_some() && side == Side::Other {
                    return Ok(false);
                }
                self.write(&said).await;
                return Ok(true);
            }
            let begins = said.method() == Some("notifications/subscriptions/acknowledged");
            if !(begins && std::mem::replace(is_known, true)) {
                self.write(&said).await;
            }
        }
        Ok(false)
    }

    /// Writes what belongs to no request of a legacy session, from one gateway after the other.
    async fn attend(&self, mut headers: Headers) {
        while self.link.ready().await.is_ok() {
            match self.link.relay.get(headers.as_ref().clone()).await {
                Ok(mut relayed) if relayed.status() == StatusCode::OK => {
                    while let Ok(Some(text)) = next(&self.link, &mut relayed).await {
                        self.write(&read(text, relayed.status(), None)).await;
                    }
                }
                Ok(relayed) if relayed.status() == StatusCode::NOT_FOUND => {
                    match self.session.renew(&self.link, &headers).await {
                        Some(fresh) => headers = fresh,
                        None => return,
                    }
                }
                Ok(relayed) => {
                    debug!(status = %relayed.status(), "there is no stream for the session");
                    return;
                }
                Err(error) => debug!(%error, "the session's stream was lost"),
            }
            self.link.miss();
            self.link.pause().await;
        }
    }
}

/// The refusal of what is no message, so that nobody knows whose id it has.
fn refusal(code: i64, text: &str) -> Message {
    author::error(Some("null"), code, text, None)
}

/// The raw id of the request that a client takes back.
fn cancelled_id(message: &Message) -> Option<String> {
    let bytes = message.bytes();
    let fields = Fields::scan(bytes, message.params_range()?).ok()?;
    let id = bytes.get(fields.get("requestId")?)?;
    String::from_utf8(id.to_vec()).ok()
}
