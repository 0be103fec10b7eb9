//! The service over a real connection, as its clients see it.

use std::sync::Arc;

use gateway_core::SecretString;
use gateway_proto::admin::v1::admin_client::AdminClient;
use gateway_proto::admin::v1::apply_tenant_request::Document;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;

use super::*;
use crate::token::Tokens;
use crate::{Network, Options, ServeError, TokenHash};

mod hosts;
mod roles;
mod tokens;

mod replay;
mod resources;
mod versions;
mod watching;

const TOKEN: &str = "admin-token-of-the-test";

#[derive(Clone)]
struct Bearer(AsciiMetadataValue);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

type Client = AdminClient<InterceptedService<Channel, Bearer>>;

struct Served {
    control: ControlPlane,
    address: String,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), ServeError>>,
    dir: TempDir,
}

impl Served {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let control = ControlPlane::open(Options {
            name: "test".to_owned(),
            database: dir.path().join("gateway.db").into(),
            check_plugins: Arc::new(|_| Vec::new()),
        });
        let control = control.await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let hash = |text: &str| TokenHash::of(&SecretString::from(text)).unwrap();
        let tokens = Arc::new(Tokens {
            administrator: hash(TOKEN),
            join: hash("join-token-of-the-test"),
        });
        let network = Network::plain(tokens);
        let stop = CancellationToken::new();
        let (server, stopping) = (control.clone(), stop.clone());
        let serving =
            tokio::spawn(async move { server.serve_network(listener, network, stopping).await });
        Self {
            control,
            address,
            stop,
            serving,
            dir,
        }
    }

    fn client(&self, token: &str) -> Client {
        AdminClient::with_interceptor(self.channel(), bearer(token))
    }

    fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.address.clone()).unwrap();
        endpoint.connect_lazy()
    }

    /// Who called what, and what became of it.
    async fn trail(&self) -> Vec<(String, String, String, String)> {
        let url = format!("sqlite://{}", self.dir.path().join("gateway.db").display());
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let rows = sqlx::query_as("SELECT author, action, target, outcome FROM audit ORDER BY id");
        let rows = rows.fetch_all(&pool).await.unwrap();
        pool.close().await;
        rows
    }

    async fn stop(self) {
        self.stop.cancel();
        self.serving.await.unwrap().unwrap();
        self.control.close().await;
    }
}

fn bearer(token: &str) -> Bearer {
    Bearer(format!("Bearer {token}").parse().unwrap())
}

fn yaml(tenant: &str, command: &str) -> pb::ApplyTenantRequest {
    let text = format!(
        "# as written\ntenant: {tenant}\nservers:\n  files: {{ type: command, command: {command} }}\n"
    );
    pb::ApplyTenantRequest {
        document: Some(Document::Yaml(text)),
        reason: "test".to_owned(),
        ..Default::default()
    }
}

fn get(tenant: &str) -> pb::GetTenantRequest {
    pb::GetTenantRequest {
        name: format!("tenants/{tenant}"),
    }
}

#[tokio::test]
async fn a_tenant_is_made_changed_rolled_back_and_deleted() {
    let served = Served::start().await;
    let mut client = served.client(TOKEN);
    let first = client.apply_tenant(yaml("acme", "one")).await.unwrap();
    let first = first.into_inner();
    assert_eq!((first.revision, first.changed), (1, true));
    let again = client.apply_tenant(yaml("acme", "one")).await.unwrap();
    assert!(!again.into_inner().changed);

    let second = pb::ApplyTenantRequest {
        etag: first.etag.clone(),
        ..yaml("acme", "two")
    };
    let second = client.apply_tenant(second).await.unwrap().into_inner();
    let change = &second.changes[0];
    assert_eq!(change.kind(), pb::change::Kind::Changed);
    assert_eq!(change.path, "servers.files.command");
    assert_eq!((&*change.before, &*change.after), ("\"one\"", "\"two\""));

    let stale = pb::ApplyTenantRequest {
        etag: first.etag,
        ..yaml("acme", "three")
    };
    let refused = client.apply_tenant(stale).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);

    let back = pb::RollbackTenantRequest {
        name: "tenants/acme".to_owned(),
        revision: 1,
        etag: second.etag,
        ..Default::default()
    };
    let back = client.rollback_tenant(back).await.unwrap().into_inner();
    assert_eq!(back.revision, 3);
    let tenant = client.get_tenant(get("acme")).await.unwrap().into_inner();
    assert!(tenant.submitted.starts_with("# as written"));
    assert_eq!((tenant.revision, &*tenant.author), (3, "admin"));
    let config = tenant.config.unwrap();
    assert_eq!(config.tenant, "acme");

    // What was read can be sent back.
    let same = pb::ApplyTenantRequest {
        name: "tenants/acme".to_owned(),
        document: Some(Document::Config(Box::new(config))),
        ..Default::default()
    };
    assert!(
        !client
            .apply_tenant(same)
            .await
            .unwrap()
            .into_inner()
            .changed
    );

    let delete = pb::DeleteTenantRequest {
        name: "tenants/acme".to_owned(),
        ..Default::default()
    };
    client.delete_tenant(delete.clone()).await.unwrap();
    let gone = client.delete_tenant(delete).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let gone = client.get_tenant(get("acme")).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    served.stop().await;
}

#[tokio::test]
async fn lists_come_in_pages() {
    let served = Served::start().await;
    let mut client = served.client(TOKEN);
    for (tenant, command) in [
        ("zoo", "a"),
        ("acme", "a"),
        ("acme", "b"),
        ("acme", "c"),
        ("bee", "a"),
    ] {
        client.apply_tenant(yaml(tenant, command)).await.unwrap();
    }
    let mut names = Vec::new();
    let mut request = pb::ListTenantsRequest {
        page_size: 2,
        ..Default::default()
    };
    loop {
        let page = client
            .list_tenants(request.clone())
            .await
            .unwrap()
            .into_inner();
        names.extend(page.tenants.into_iter().map(|tenant| tenant.name));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["tenants/acme", "tenants/bee", "tenants/zoo"]);

    let request = pb::ListRevisionsRequest {
        parent: "tenants/acme".to_owned(),
        page_size: 2,
        ..Default::default()
    };
    let page = client
        .list_revisions(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.revisions[0].name, "tenants/acme/revisions/3");
    assert_eq!(page.revisions[0].summary, "changed server files");
    assert!(page.revisions[0].submitted.is_empty());
    let rest = pb::ListRevisionsRequest {
        page_token: page.next_page_token,
        ..request
    };
    let rest = client.list_revisions(rest).await.unwrap().into_inner();
    assert_eq!((rest.revisions.len(), &*rest.next_page_token), (1, ""));
    let name = rest.revisions[0].name.clone();
    let one = client
        .get_revision(pb::GetRevisionRequest { name })
        .await
        .unwrap();
    let one = one.into_inner();
    assert!(one.submitted.contains("command: a") && one.config.is_some());
    served.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_its_field_and_nothing_is_kept() {
    let served = Served::start().await;
    let mut client = served.client(TOKEN);
    let document = |text: &str| pb::ApplyTenantRequest {
        document: Some(Document::Yaml(text.to_owned())),
        ..Default::default()
    };
    let named = |name: &str| pb::ApplyTenantRequest {
        name: name.to_owned(),
        ..yaml("acme", "one")
    };
    let profile = "profiles: { dev: { servers: [missing] } }\n";
    for (request, field) in [
        (document(profile), "profiles.dev.servers[0]"),
        (document("tenant: [\n"), "yaml"),
        (document("unknown: 1\n"), "yaml"),
        (
            document("servers: { a: 'catalog://h/r:v1/n' }\n"),
            "servers.a.ref",
        ),
        (pb::ApplyTenantRequest::default(), "yaml"),
        (named("tenants/other"), "name"),
        (named("tenants/a/b"), "name"),
        (
            pb::ApplyTenantRequest {
                etag: "x".to_owned(),
                ..yaml("acme", "one")
            },
            "etag",
        ),
    ] {
        let status = client.apply_tenant(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}");
        let details = status.get_error_details();
        let found = &details.bad_request().unwrap().field_violations;
        assert_eq!(found[0].field, field, "{status:?}");
    }
    assert_eq!(served.control.tenants(), []);
    served.stop().await;
}

#[tokio::test]
async fn who_has_no_administrator_token_gets_nothing() {
    let served = Served::start().await;
    for token in ["join-token-of-the-test", "x"] {
        let mut client = served.client(token);
        let status = client.get_tenant(get("acme")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        let status = client.apply_tenant(yaml("acme", "one")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    assert_eq!(served.control.tenants(), []);
    served.stop().await;
}

#[tokio::test]
async fn every_call_is_in_the_audit_trail_once() {
    let served = Served::start().await;
    let mut stranger = served.client("x");
    stranger.get_tenant(get("acme")).await.unwrap_err();
    let mut client = served.client(TOKEN);
    client.get_tenant(get("acme")).await.unwrap_err();
    client.apply_tenant(yaml("acme", "one")).await.unwrap();
    client.apply_tenant(yaml("acme", "one")).await.unwrap();
    client.get_tenant(get("acme")).await.unwrap();
    let trail = served.trail().await;
    let row = |author: &str, action: &str, target: &str, outcome: &str| {
        [author, action, target, outcome].map(str::to_owned).into()
    };
    let expected: Vec<(String, String, String, String)> = vec![
        row("", "GetTenant", "tenants/acme", "Unauthenticated"),
        row("admin", "GetTenant", "tenants/acme", "NotFound"),
        row("admin", "apply", "acme", "Ok"),
        row("admin", "ApplyTenant", "tenants/acme", "Ok"),
        row("admin", "GetTenant", "tenants/acme", "Ok"),
    ];
    assert_eq!(trail, expected);
    served.stop().await;
}
