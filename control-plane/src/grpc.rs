//! The gRPC server: which services there are, and how connections are kept and ended.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gateway_proto::admin::v1::admin_server::AdminServer;
use gateway_proto::admin::v1::hosts_server::HostsServer;
use gateway_proto::admin::v1::resources_server::ResourcesServer;
use gateway_proto::admin::v1::tokens_server::TokensServer;
use gateway_proto::push::v1::config_push_server::ConfigPushServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::server::NamedService as _;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use crate::ControlPlane;
use crate::push::Hub;

mod admin;
mod admission;
mod incoming;
mod public;
mod push;

use admin::strict::Strict;
use admission::Admission;
pub(crate) use admission::Authority;
pub use admission::{CertificateRole, InvalidCertificateRole};
pub use incoming::ServerTls;
pub(crate) use incoming::accept;

/// How often a silent connection is asked whether it is still there, and how long it may take to
/// answer. A replica that vanished is no longer waited for after the sum.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server waits for its peers, and how many it serves at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For a replica to say who it is.
    pub(crate) hello: Duration,
    /// How many replicas are sent everything at the same time.
    pub(crate) full_syncs: usize,
    /// For connections to end at shutdown, once their streams were told to.
    pub(crate) drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            full_syncs: 32,
            drain: Duration::from_secs(5),
        }
    }
}

/// Who is at the other end of the connections.
#[derive(Debug, Clone)]
pub(crate) enum Audience {
    /// This process itself, which only has replicas.
    OwnProcess,
    /// Replicas and administrators who present a token or a certificate.
    Network {
        control: ControlPlane,
        authority: Arc<Authority>,
    },
}

/// The server failed.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener, or its form of HTTP, failed.
    #[error("the control plane cannot accept connections")]
    Accept(#[source] tonic::transport::Error),
    /// What the program carries of its own .proto files cannot be read.
    #[error("the control plane cannot describe its services")]
    Descriptions(#[source] tonic_reflection::server::Error),
}

/// Serves on the connections of `incoming` until `shutdown`. Who comes over a network also finds
/// what monitors and generic clients ask for: health and reflection.
pub(crate) async fn serve<IO>(
    hub: &Arc<Hub>,
    audience: Audience,
    incoming: impl Stream<Item = io::Result<IO>>,
    shutdown: CancellationToken,
    limits: Limits,
) -> Result<(), ServeError>
where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let streams = TaskTracker::new();
    // The streams end with this server even if it fails.
    let ending = shutdown.child_token();
    let service = push::Service {
        hub: Arc::clone(hub),
        admission: match &audience {
            Audience::OwnProcess => Admission::OwnProcess,
            Audience::Network { authority, .. } => Admission::Network(Arc::clone(authority)),
        },
        hellos: push::Turns::new(limits.full_syncs),
        turns: push::Turns::new(limits.full_syncs),
        streams: streams.clone(),
        shutdown: ending.clone(),
        hello_timeout: limits.hello,
    };
    let mut routes = Routes::new(ConfigPushServer::new(service));
    let mut health = None;
    if let Audience::Network { control, authority } = audience {
        let (with_public, reporter) = public::add(routes).map_err(ServeError::Descriptions)?;
        let (service, tokens) = admin::services(control, authority, ending.clone());
        let service = Arc::new(service);
        routes = with_public
            .add_service(Strict(AdminServer::from_arc(Arc::clone(&service))))
            .add_service(Strict(HostsServer::from_arc(Arc::clone(&service))))
            .add_service(Strict(ResourcesServer::from_arc(service)))
            .add_service(Strict(TokensServer::new(tokens)));
        reporter
            .set_serving::<ConfigPushServer<push::Service>>()
            .await;
        reporter.set_serving::<AdminServer<admin::Service>>().await;
        reporter.set_serving::<HostsServer<admin::Service>>().await;
        reporter
            .set_serving::<ResourcesServer<admin::Service>>()
            .await;
        reporter
            .set_serving::<TokensServer<admin::TokenService>>()
            .await;
        health = Some(reporter);
    }
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    let patience = async {
        shutdown.cancelled().await;
        if let Some(health) = &mut health {
            // Who watches is told so by the end of the stream, for which a connection would wait.
            let push = ConfigPushServer::<push::Service>::NAME;
            let admin = AdminServer::<admin::Service>::NAME;
            let resources = ResourcesServer::<admin::Service>::NAME;
            let tokens = TokensServer::<admin::TokenService>::NAME;
            let hosts = HostsServer::<admin::Service>::NAME;
            for service in ["", push, admin, resources, tokens, hosts] {
                health.clear_service_status(service).await;
            }
        }
        tokio::time::sleep(limits.drain).await;
    };
    // Whichever ends second is dropped on purpose: the server has nothing to save.
    let outcome = tokio::select! {
        outcome = serving => outcome.map_err(ServeError::Accept),
        () = patience => {
            tracing::warn!("a connection to the control plane did not end in time");
            Ok(())
        }
    };
    ending.cancel();
    streams.close();
    streams.wait().await;
    outcome
}
