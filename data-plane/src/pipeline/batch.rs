//! A client's batch: each of its messages goes the whole way by itself.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use gateway_core::{Deadline, RequestId};
use gateway_mcp::message::{Kind, Message};
use gateway_mcp::params::Params;
use gateway_mcp::version::Era;
use http::HeaderMap;
use tracing::{Instrument as _, debug_span, warn};

use super::{
    EventStream, Reply, authenticate, record_refusal, resumable, run, take_answer,
    take_notification, tenant,
};
use crate::Gateway;
use crate::detach::Detached;
use crate::endpoint::Endpoint;
use crate::error::{Failure, Reason, with_causes};
use crate::mcp_http::Space;
use crate::request::{ClientRequest, Dialect, era_of};
use crate::session::Session;

/// Answers the requests of a batch on one stream, each as soon as it can be, and takes what else is
/// in it. `None`: there was nothing to answer.
pub(crate) async fn answer_batch(
    gateway: &Arc<Gateway>,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    session: Session,
    (messages, space): (Vec<Message>, Space),
) -> Result<Option<Reply>, Failure> {
    let batch = Arc::new(Batch {
        gateway: Arc::clone(gateway),
        endpoint: endpoint.clone(),
        headers: headers.clone(),
        session,
        space,
    });
    // A client that goes away has not cancelled what it sent.
    Detached::new(Box::pin(batch.answer(messages)), &gateway.requests).await
}

/// Where the messages of a batch come from.
struct Batch {
    gateway: Arc<Gateway>,
    endpoint: Endpoint,
    headers: HeaderMap,
    session: Session,
    space: Space,
}

impl Batch {
    async fn answer(self: Arc<Self>, messages: Vec<Message>) -> Result<Option<Reply>, Failure> {
        let gateway = Arc::clone(&self.gateway);
        let (snapshot, _) = tenant::in_force(&gateway, &self.endpoint)?;
        // Each message is authenticated again. Here it is done once for all, because on a stream
        // there is no status any more by which a client learns that it has to log in.
        let (headers, session) = (&self.headers, &self.session);
        authenticate::authenticate_owner(&snapshot, headers, session, &gateway.limits).await?;
        let is_request = |message: &Message| message.kind() == Kind::Request;
        let (requests, others): (Vec<_>, Vec<_>) = messages.into_iter().partition(is_request);
        let taken = Arc::clone(&self).take_all(others).await;
        if requests.is_empty() {
            return taken.map(|()| None);
        }
        if let Err(failure) = taken {
            let error = with_causes(&failure);
            warn!(tenant = %self.endpoint.tenant, error, "a message of a batch was not taken");
        }
        let live = gateway.live.of(&self.endpoint.tenant, self.session.id);
        let at_once = gateway.limits.batch_concurrency;
        let answers = stream::iter(requests)
            .map(move |request| Arc::clone(&self).answers_to(request))
            .flatten_unordered(at_once);
        Ok(Some(resumable(&gateway, &live, Box::pin(answers))))
    }

    /// Takes notifications and answers, all of them; says of the first that was not taken, why.
    async fn take_all(self: Arc<Self>, messages: Vec<Message>) -> Result<(), Failure> {
        let at_once = self.gateway.limits.batch_concurrency;
        let taking = stream::iter(messages).map(move |message| {
            let batch = Arc::clone(&self);
            async move { batch.take(&message).await }
        });
        let taken: Vec<_> = taking.buffered(at_once).collect().await;
        taken.into_iter().collect()
    }

    async fn take(&self, message: &Message) -> Result<(), Failure> {
        let (gateway, endpoint) = (&self.gateway, &self.endpoint);
        let (headers, session) = (&self.headers, &self.session);
        if message.kind() == Kind::Response {
            take_answer(gateway, endpoint, headers, session, message).await
        } else {
            take_notification(gateway, endpoint, headers, session, message).await
        }
    }

    /// Everything that comes back for one request, its response last.
    fn answers_to(self: Arc<Self>, request: Message) -> EventStream {
        let id = request.id().map(str::to_owned);
        let answering = async move {
            let answered = match self.read(request).await {
                Ok(request) => Box::pin(run_in_span(Arc::clone(&self.gateway), request)).await,
                Err(failure) => Err(failure),
            };
            let last = match answered {
                Ok(Reply::Events(events)) => return events,
                Ok(Reply::Whole(bytes) | Reply::WithStatus(_, bytes)) => bytes,
                Ok(Reply::Opened { body, .. }) => body,
                Ok(Reply::Feed(_)) => {
                    let message = "the answer is a stream of its own, which has no place here";
                    Failure::new(Reason::Internal, message).to_message(id.as_deref())
                }
                Err(failure) => failure.to_message(id.as_deref()),
            };
            only(last)
        };
        Box::pin(answering.flatten_stream())
    }

    /// A request as the pipeline takes it. Its deadline begins when its turn has come.
    async fn read(&self, message: Message) -> Result<Box<ClientRequest>, Failure> {
        let id = RequestId::new(uuid::Uuid::now_v7().to_string());
        match params_of(&self.headers, &message) {
            Ok(params) => Ok(Box::new(ClientRequest {
                id,
                endpoint: self.endpoint.clone(),
                headers: self.headers.clone(),
                message: Arc::new(message),
                params,
                dialect: Dialect::Legacy(self.session.clone()),
                deadline: Deadline::after(self.gateway.limits.request_timeout),
                space: self.space.clone(),
                lacks_param_headers: true,
            })),
            Err(failure) => {
                let method = message.method().unwrap_or_default();
                record_refusal(&self.gateway, &self.endpoint, &id, method, &failure).await;
                Err(failure)
            }
        }
    }
}

/// The parameters of a request that speaks as its session does.
fn params_of(headers: &HeaderMap, message: &Message) -> Result<Params, Failure> {
    let params = Params::of(message)?;
    let meta = params.meta_range().map(|_| params.meta()).transpose()?;
    match era_of(headers, message, meta.as_ref()) {
        Era::Legacy => Ok(params),
        Era::Modern => Err(Failure::no_batches()),
    }
}

async fn run_in_span(gateway: Arc<Gateway>, request: Box<ClientRequest>) -> Result<Reply, Failure> {
    let (id, tenant, method) = (&request.id, &request.endpoint.tenant, request.method());
    let span = debug_span!("request", %id, tenant.id = %tenant, method);
    run(gateway, request).instrument(span).await
}

fn only(message: Bytes) -> EventStream {
    Box::pin(stream::once(std::future::ready(message)))
}
