//! Opens the conversation with a server: over HTTP, over the older HTTP+SSE, or with a child.

use std::sync::Arc;

use gateway_core::Deadline;
use http::StatusCode;
use tokio::time::Instant;

use super::callback::Callbacks;
use super::child::ChildCommand;
use super::endpoint::HttpEndpoint;
use super::error::ClientError;
use super::http::{HttpLink, Terms};
use super::http_sse::SseLink;
use super::probe::{Channel, greet, request_meta};
use super::session::Session;
use super::stdio::StdioLink;
use super::{ClientHello, Peer, ServerHello, Transport};
use crate::author;
use crate::message::Message;
use crate::version::Era;

impl Peer {
    /// Opens the conversation with an HTTP server; without `era` it is found out first.
    ///
    /// A server that takes no posts at its address is tried as one of the HTTP+SSE transport,
    /// which came before the present one.
    pub async fn connect_http(
        endpoint: Arc<HttpEndpoint>,
        hello: ClientHello,
        era: Option<Era>,
        deadline: Deadline,
    ) -> Result<Self, ClientError> {
        let link = HttpLink::new(endpoint);
        let greeting = match greet(Channel::Http(&link), &hello, era, deadline).await {
            Err(refusal) if era != Some(Era::Modern) && takes_no_posts(&refusal) => {
                return Self::connect_sse(link.endpoint(), &hello, refusal, deadline).await;
            }
            outcome => outcome?,
        };
        let terms = match greeting.hello.era {
            Era::Modern => Terms::Modern(greeting.hello.version),
            Era::Legacy => {
                let session = Session::open(
                    link.endpoint().clone(),
                    Some(greeting.version),
                    greeting.session_id,
                    Callbacks::of(&hello.capabilities),
                );
                let terms = Terms::Legacy(session);
                link.notify(&terms, &initialized(), deadline).await?;
                terms
            }
        };
        Ok(Self::of(
            greeting.hello,
            Transport::Http { link, terms },
            &hello,
        ))
    }

    /// Opens the conversation over HTTP+SSE; fails with `refusal` if the server has no such stream
    /// either.
    async fn connect_sse(
        endpoint: &HttpEndpoint,
        hello: &ClientHello,
        refusal: ClientError,
        deadline: Deadline,
    ) -> Result<Self, ClientError> {
        let callbacks = Callbacks::of(&hello.capabilities);
        // Time for the handshake has to be left.
        let patience = deadline.within(deadline.remaining() / 2);
        let link = match SseLink::open(endpoint, callbacks, patience).await {
            Ok(Some(link)) => link,
            Ok(None) => return Err(refusal),
            Err(error) if error.is_deadline() => return Err(refusal),
            Err(error) => return Err(error),
        };
        tracing::debug!(server = %link.name(), "this is a server of the HTTP+SSE transport");
        let greeting = greet(Channel::Sse(&link), hello, Some(Era::Legacy), deadline).await?;
        link.notify(&initialized(), deadline).await?;
        let server = ServerHello {
            session_id: Some(link.session_id()),
            ..greeting.hello
        };
        Ok(Self::of(server, Transport::Sse(link), hello))
    }

    /// Starts a command and opens the conversation with it; without `era` it is found out first.
    ///
    /// A child that ends when it is asked for its era is started once more as a legacy one.
    pub async fn spawn(
        command: ChildCommand,
        hello: ClientHello,
        era: Option<Era>,
        deadline: Deadline,
    ) -> Result<Self, ClientError> {
        match Self::spawn_once(&command, &hello, era, deadline).await {
            Err(ClientError::ServerExited { server, status }) if era.is_none() => {
                tracing::debug!(%server, ?status, "the command ended on a modern request");
                Self::spawn_once(&command, &hello, Some(Era::Legacy), deadline).await
            }
            outcome => outcome,
        }
    }

    async fn spawn_once(
        command: &ChildCommand,
        hello: &ClientHello,
        era: Option<Era>,
        deadline: Deadline,
    ) -> Result<Self, ClientError> {
        let link = StdioLink::start(command, Callbacks::of(&hello.capabilities))?;
        let channel = Channel::Child {
            link: &link,
            probe_timeout: command.probe_timeout,
        };
        let server = greet(channel, hello, era, deadline).await?.hello;
        link.set_era(server.era);
        if server.era == Era::Legacy {
            link.notify(&initialized(), deadline).await?;
        }
        Ok(Self::of(server, Transport::Child(link), hello))
    }

    fn of(server: ServerHello, transport: Transport, hello: &ClientHello) -> Self {
        Self {
            hello: server,
            transport,
            meta: request_meta(hello).into(),
            since: Instant::now(),
        }
    }
}

/// Whether a server refused the handshake the way one does that expects no posts there.
fn takes_no_posts(refusal: &ClientError) -> bool {
    matches!(
        refusal,
        ClientError::Status {
            status: StatusCode::BAD_REQUEST
                | StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED,
            ..
        }
    )
}

fn initialized() -> Message {
    author::notification("notifications/initialized", None)
}
