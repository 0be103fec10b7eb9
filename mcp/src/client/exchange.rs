//! One request's exchange with a server: what comes back, in order, until the response.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use gateway_core::Deadline;
use http::{HeaderValue, StatusCode};
use tokio::time::timeout;

use super::abandon::Abandon;
use super::answer::HttpAnswer;
use super::asides::Asides;
use super::callback::{Callbacks, is_question};
use super::error::ClientError;
use super::identity::Identity;
use super::pending::Arrivals;
use crate::message::{Kind, Message, RpcError};

/// What comes back for one request: notifications, and what the server asks of the client
/// meanwhile, in order; then the response.
///
/// A server's question is a message of kind request under the server's own id; its answer goes to
/// [`Peer::respond`](super::Peer::respond). Only questions that are known to be for the request's
/// sender come here: those on its own stream over HTTP, and, where the peer is one client's
/// ([`Peer::serve_one_client`](super::Peer::serve_one_client)), those that name no request.
///
/// Dropped before the response, it tells the server that nobody waits any more, in the way of the
/// server's protocol version. It keeps the peer's child or session alive meanwhile.
pub struct Exchange {
    server: Arc<str>,
    identity: Identity,
    /// By when the response has to be there; `None`: the exchange stays open.
    deadline: Option<Deadline>,
    status: Option<StatusCode>,
    session_id: Option<HeaderValue>,
    // Dropped before `abandon`: an open connection ends before the cancellation is sent.
    answers: Answers,
    /// What may come beside an HTTP server's own answer.
    asides: Option<Asides>,
    /// Which questions the client answers, on a channel that all requests share.
    callbacks: Option<Callbacks>,
    hears_refusals: bool,
    /// Came already, and is to be given to the caller next.
    ready: VecDeque<Message>,
    abandon: Option<Abandon>,
}

/// Where an exchange's messages come from.
pub(super) enum Answers {
    /// An HTTP server has not begun to answer, but said something beside it.
    Opening(BoxFuture<'static, Result<HttpAnswer, ClientError>>),
    Http(HttpAnswer),
    /// On a channel that all requests share.
    Shared(Arrivals),
    Over,
}

/// The response to a request whose notifications are of no interest.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) message: Message,
    pub(super) status: Option<StatusCode>,
    pub(super) session_id: Option<HeaderValue>,
}

impl Exchange {
    pub(super) fn new(
        server: Arc<str>,
        identity: Identity,
        deadline: Deadline,
        answers: Answers,
        abandon: Option<Abandon>,
    ) -> Self {
        Self {
            server,
            identity,
            deadline: Some(deadline),
            status: None,
            session_id: None,
            answers,
            asides: None,
            callbacks: None,
            hears_refusals: false,
            ready: VecDeque::new(),
            abandon,
        }
    }

    /// With the place at which something comes beside the answer, and what came there already.
    pub(super) fn with_asides(mut self, asides: Option<Asides>, first: Option<Message>) -> Self {
        self.ready
            .extend(first.map(|first| self.identity.restore(first)));
        self.asides = asides;
        self
    }

    pub(super) fn with_callbacks(self, callbacks: Callbacks) -> Self {
        Self {
            callbacks: Some(callbacks),
            ..self
        }
    }

    /// Gives the caller also the questions of the server that were refused in the client's place:
    /// for a client that could not be asked anything, whatever it declared.
    #[must_use]
    pub fn hearing_refusals(self) -> Self {
        Self {
            hears_refusals: true,
            ..self
        }
    }

    pub(super) fn with_head(self, status: StatusCode, session_id: Option<HeaderValue>) -> Self {
        Self {
            status: Some(status),
            session_id,
            ..self
        }
    }

    /// The same exchange without its deadline: it stays open until the server ends it or it is
    /// dropped.
    #[must_use]
    pub fn without_deadline(self) -> Self {
        Self {
            deadline: None,
            ..self
        }
    }

    /// Tells the server that the client wants the request no longer. Does not wait.
    ///
    /// What still comes can be read, until the exchange is dropped, without its telling the server
    /// again. An exchange over HTTP with a modern server ends at once: that is what tells it.
    pub fn cancel(&mut self, reason: Option<&str>) {
        match &mut self.abandon {
            Some(abandon) => abandon.cancel(reason),
            None => self.answers = Answers::Over,
        }
    }

    /// The status of an HTTP server's answer; `None` for a command, and while the answer has not
    /// begun.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// The error by which an HTTP server refused the request together with its status, which is
    /// known before anything is read.
    pub fn refusal(&self) -> Option<RpcError> {
        match &self.answers {
            Answers::Http(HttpAnswer::Ready(messages)) => messages.front()?.rpc_error(),
            // Only legacy servers, which refuse no headers, say something before they answer.
            Answers::Http(_) | Answers::Opening(_) | Answers::Shared(_) | Answers::Over => None,
        }
    }

    /// The next message, with the caller's own ids in it; `None` after the response or an error.
    ///
    /// Loses nothing when it is dropped before it is done.
    pub async fn next(&mut self) -> Option<Result<Message, ClientError>> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(Ok(message));
            }
            let (message, is_settled) = match self.arrival().await? {
                Ok(arrival) => arrival,
                Err(error) => {
                    // A server that is late has to be told that nobody waits any more.
                    if error.is_deadline() {
                        self.answers = Answers::Over;
                        self.abandon = None;
                    } else {
                        self.finish();
                    }
                    return Some(Err(error));
                }
            };
            match message.kind() {
                Kind::Response if self.identity.is_answered_by(&message) => {
                    if let Answers::Http(answer) =
                        std::mem::replace(&mut self.answers, Answers::Over)
                    {
                        answer.recycle();
                    }
                    // What came before the response is given to the caller before it.
                    let asides = self.asides.take().map(Asides::close).unwrap_or_default();
                    let asides = asides.into_iter().map(|aside| self.identity.restore(aside));
                    self.ready.extend(asides);
                    self.ready.push_back(self.identity.restore(message));
                    self.finish();
                }
                Kind::Response => {
                    tracing::debug!(server = %self.server, "dropped a response to another request");
                }
                Kind::Request if is_settled => {
                    if self.hears_refusals || !self.is_refused(&message) {
                        return Some(Ok(message));
                    }
                }
                Kind::Request => {
                    if let Some(question) = self.settle(message) {
                        return Some(Ok(question));
                    }
                }
                Kind::Notification => return Some(Ok(self.identity.restore(message))),
            }
        }
    }

    /// What comes next, and whether it is settled that it is for the caller.
    async fn arrival(&mut self) -> Option<Result<(Message, bool), ClientError>> {
        let is_shared = matches!(self.answers, Answers::Shared(_));
        let answer = self.answers.next(&self.server);
        let next = async {
            let answer = match &mut self.asides {
                Some(asides) => tokio::select! {
                    biased;
                    aside = asides.next() => return Some(Ok((aside, true))),
                    answer = answer => answer,
                },
                None => answer.await,
            };
            answer.map(|answer| answer.map(|message| (message, is_shared)))
        };
        let Some(deadline) = self.deadline else {
            return next.await;
        };
        match timeout(deadline.remaining(), next).await {
            Ok(arrival) => arrival,
            Err(_) => Some(Err(ClientError::DeadlineExceeded {
                server: self.server.clone(),
                sent: true,
            })),
        }
    }

    /// Waits for the response alone. The server is not told if it does not come: neither the
    /// probe nor `initialize` may be cancelled.
    pub(super) async fn reply(mut self) -> Result<Reply, ClientError> {
        if let Some(abandon) = &mut self.abandon {
            abandon.set_tell(false);
        }
        while let Some(arrival) = self.next().await {
            let message = arrival?;
            if message.kind() == Kind::Response {
                return Ok(Reply {
                    message,
                    status: self.status,
                    session_id: self.session_id,
                });
            }
        }
        Err(ClientError::StreamLost {
            server: self.server.clone(),
            source: None,
        })
    }

    /// Answers a request that the server makes on this exchange's stream, or gives it back if the
    /// client has to.
    fn settle(&self, request: Message) -> Option<Message> {
        let path = self.abandon.as_ref().and_then(Abandon::callbacks);
        let Some((callbacks, errands, headers)) = path else {
            tracing::warn!(
                server = %self.server,
                method = request.method(),
                "dropped a request of the server: there is no session that it could belong to"
            );
            return None;
        };
        match callbacks.answer(&request) {
            Some(answer) => {
                errands.send(answer, headers.clone());
                (self.hears_refusals && is_question(&request)).then_some(request)
            }
            None => Some(request),
        }
    }

    /// Whether a question on a shared channel is answered already.
    fn is_refused(&self, question: &Message) -> bool {
        let answered = self.callbacks.map(|callbacks| callbacks.answer(question));
        answered.flatten().is_some()
    }

    fn finish(&mut self) {
        self.answers = Answers::Over;
        self.asides = None;
        if let Some(mut abandon) = self.abandon.take() {
            abandon.set_tell(false);
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("server", &self.server)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Answers {
    /// The next message; `None` once it is over. Loses nothing when dropped before it is done.
    async fn next(&mut self, server: &Arc<str>) -> Option<Result<Message, ClientError>> {
        if let Self::Opening(opening) = self {
            match opening.await {
                Ok(answer) => *self = Self::Http(answer),
                Err(error) => return Some(Err(error)),
            }
        }
        match self {
            Self::Http(answer) => Some(answer.next(server).await),
            Self::Shared(arrivals) => {
                let arrival = arrivals.next().await?;
                Some(arrival.map_err(|end| end.interrupt(server)))
            }
            Self::Opening(_) | Self::Over => None,
        }
    }
}

#[cfg(test)]
mod tests;
