//! One request's exchange with a server: what comes back, in order, until the response.

use std::fmt;
use std::sync::Arc;

use gateway_core::Deadline;
use http::{HeaderValue, StatusCode};
use tokio::time::timeout;

use super::abandon::Abandon;
use super::answer::HttpAnswer;
use super::error::ClientError;
use super::identity::Identity;
use super::pending::Arrivals;
use crate::message::{Kind, Message};

/// What comes back for one request: notifications, and what the server asks of the client
/// meanwhile, in order; then the response.
///
/// A server's question is a message of kind request under the server's own id; its answer goes to
/// [`Peer::respond`](super::Peer::respond). Only questions that are known to belong to the request
/// come here: those on its own stream over HTTP.
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
    abandon: Option<Abandon>,
}

/// Where an exchange's messages come from.
#[derive(Debug)]
pub(super) enum Answers {
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
            abandon,
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

    /// The status of an HTTP server's answer; `None` for a command.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// The next message, with the caller's own ids in it; `None` after the response or an error.
    ///
    /// Loses nothing when it is dropped before it is done.
    pub async fn next(&mut self) -> Option<Result<Message, ClientError>> {
        loop {
            let message = match self.arrival().await? {
                Ok(message) => message,
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
                    self.finish();
                    return Some(Ok(self.identity.restore(message)));
                }
                Kind::Response => {
                    tracing::debug!(server = %self.server, "dropped a response to another request");
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

    async fn arrival(&mut self) -> Option<Result<Message, ClientError>> {
        let Some(deadline) = self.deadline else {
            return self.answers.next(&self.server).await;
        };
        match timeout(deadline.remaining(), self.answers.next(&self.server)).await {
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
                None
            }
            None => Some(request),
        }
    }

    fn finish(&mut self) {
        self.answers = Answers::Over;
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
        match self {
            Self::Http(answer) => Some(answer.next(server).await),
            Self::Shared(arrivals) => {
                let arrival = arrivals.next().await?;
                Some(arrival.map_err(|end| end.interrupt(server)))
            }
            Self::Over => None,
        }
    }
}

#[cfg(test)]
mod tests;
