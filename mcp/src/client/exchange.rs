//! One request's exchange with a server: what comes back, in order, until the response.

use std::fmt;
use std::sync::Arc;

use gateway_core::Deadline;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::timeout;

use super::answer::HttpAnswer;
use super::callback;
use super::error::ClientError;
use super::identity::Identity;
use super::pending::Arrivals;
use super::session::Session;
use super::stdio::StdioLink;
use crate::message::{Kind, Message};

/// What comes back for one request: notifications in order, then the response.
///
/// Dropped before the response, it tells the server that nobody waits any more, in the way of the
/// server's protocol version. It keeps the peer's child or session alive meanwhile.
pub struct Exchange {
    server: Arc<str>,
    identity: Identity,
    deadline: Deadline,
    status: Option<StatusCode>,
    session_id: Option<HeaderValue>,
    // Dropped before `abandon`: an open connection ends before the cancellation is sent.
    answers: Answers,
    abandon: Option<Abandon>,
}

/// Where an exchange's messages come from.
#[derive(Debug)]
pub(super) enum Answers {
    Http(Box<HttpAnswer>),
    Child(Arrivals),
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
            deadline,
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

    /// The status of an HTTP server's answer; `None` for a command.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// The next message, with the caller's own ids in it; `None` after the response or an error.
    ///
    /// Loses nothing when it is dropped before it is done.
    pub async fn next(&mut self) -> Option<Result<Message, ClientError>> {
        loop {
            let arrival = timeout(self.deadline.remaining(), self.answers.next(&self.server)).await;
            let message = match arrival {
                Ok(arrival) => match arrival? {
                    Ok(message) => message,
                    Err(error) => {
                        self.finish();
                        return Some(Err(error));
                    }
                },
                Err(_) => {
                    self.answers = Answers::Over;
                    self.abandon = None;
                    let server = self.server.clone();
                    return Some(Err(ClientError::DeadlineExceeded { server, sent: true }));
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
                Kind::Request => self.answer(&message),
                Kind::Notification => return Some(Ok(self.identity.restore(message))),
            }
        }
    }

    /// Waits for the response alone. The server is not told if it does not come: neither the
    /// probe nor `initialize` may be cancelled.
    pub(super) async fn reply(mut self) -> Result<Reply, ClientError> {
        if let Some(abandon) = &mut self.abandon {
            abandon.tell = false;
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

    /// Answers a request that the server makes on this exchange's stream.
    fn answer(&self, request: &Message) {
        let Some(Abandon {
            path: Path::Session {
                session, headers, ..
            },
            ..
        }) = &self.abandon
        else {
            tracing::warn!(
                server = %self.server,
                method = request.method(),
                "dropped a request of the server: there is no session that it could belong to"
            );
            return;
        };
        if let Some(answer) = callback::answer(request) {
            session.send(answer, headers.clone());
        }
    }

    fn finish(&mut self) {
        self.answers = Answers::Over;
        if let Some(mut abandon) = self.abandon.take() {
            abandon.tell = false;
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
            Self::Child(arrivals) => {
                let arrival = arrivals.next().await?;
                Some(arrival.map_err(|end| end.into_error(server)))
            }
            Self::Over => None,
        }
    }
}

/// Gives a request up when it is dropped.
#[derive(Debug)]
pub(super) struct Abandon {
    path: Path,
    /// Whether the server has to be told.
    tell: bool,
}

#[derive(Debug)]
enum Path {
    Child {
        link: Arc<StdioLink>,
        wire: u64,
    },
    Session {
        session: Arc<Session>,
        headers: HeaderMap,
        wire: u64,
    },
}

impl Abandon {
    /// For a request that is about to be sent to a child, which need not be told before that.
    pub(super) fn child(link: Arc<StdioLink>, wire: u64) -> Self {
        Self {
            path: Path::Child { link, wire },
            tell: false,
        }
    }

    /// For a request in a session, whose cancellation carries the request's own `headers`.
    pub(super) fn session(session: Arc<Session>, headers: HeaderMap, wire: u64) -> Self {
        Self {
            path: Path::Session {
                session,
                headers,
                wire,
            },
            tell: true,
        }
    }

    pub(super) fn set_tell(&mut self, tell: bool) {
        self.tell = tell;
    }
}

impl Drop for Abandon {
    fn drop(&mut self) {
        match &mut self.path {
            Path::Child { link, wire } => link.abandon(*wire, self.tell),
            Path::Session {
                session,
                headers,
                wire,
            } if self.tell => {
                session.cancel(*wire, std::mem::take(headers));
            }
            Path::Session { .. } => {}
        }
    }
}
