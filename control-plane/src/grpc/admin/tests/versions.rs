//! Clients of other versions, and requests beyond all bounds.

use std::marker::PhantomData;

use gateway_proto::admin::v1::admin_server::AdminServer;
use prost::Message;
use tonic::client::Grpc;
use tonic::server::NamedService as _;
use tonic_prost::ProstCodec;

use super::*;

/// `ApplyTenantRequest` of some later version.
#[derive(Clone, PartialEq, Message)]
struct LaterRequest {
    #[prost(string, tag = "2")]
    yaml: String,
    #[prost(string, tag = "99")]
    canary: String,
}

/// What a call of the admin service by a client that has its own messages is answered.
async fn call<Q, A>(served: &Served, method: &'static str, request: Q) -> Result<A, Status>
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
{
    let endpoint = Endpoint::from_shared(served.address.clone()).unwrap();
    let mut client = Grpc::new(endpoint.connect().await.unwrap());
    client.ready().await.unwrap();
    let service = AdminServer::<PhantomData<Service>>::NAME;
    let path = format!("/{service}/{method}").parse().unwrap();
    let mut request = Request::new(request);
    let bearer = format!("Bearer {TOKEN}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let codec = ProstCodec::<Q, A>::default();
    let answer = client.unary(request, path, codec).await?;
    Ok(answer.into_inner())
}

fn violation(refused: Status) -> (String, String) {
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    let details = refused.get_error_details();
    let found = &details.bad_request().unwrap().field_violations[0];
    (found.field.clone(), found.description.clone())
}

#[tokio::test]
async fn what_a_newer_client_asks_for_beyond_this_version_is_refused() {
    let served = Served::start().await;
    let later = LaterRequest {
        yaml: "tenant: acme\n".to_owned(),
        canary: "5%".to_owned(),
    };
    let plain = LaterRequest {
        canary: String::new(),
        ..later.clone()
    };
    let refused = call::<_, pb::ApplyTenantResponse>(&served, "ApplyTenant", later).await;
    let (at, why) = violation(refused.unwrap_err());
    assert_eq!(at, "request");
    assert!(why.contains("a field 99 of ApplyTenantRequest"), "{why}");
    assert_eq!(served.control.tenants(), []);
    let trail = served.trail().await;
    let (author, action, _, outcome) = &trail[0];
    assert_eq!(
        (&**author, &**action, &**outcome),
        ("admin", "ApplyTenant", "InvalidArgument")
    );
    // Without it the same client is served.
    let made = call::<_, pb::ApplyTenantResponse>(&served, "ApplyTenant", plain).await;
    assert_eq!(made.unwrap().revision, 1);
    served.stop().await;
}

#[tokio::test]
async fn an_older_client_reads_what_it_knows() {
    /// `Tenant` of some earlier version.
    #[derive(Clone, PartialEq, Message)]
    struct EarlierTenant {
        #[prost(string, tag = "1")]
        name: String,
    }
    let served = Served::start().await;
    served
        .client(TOKEN)
        .apply_tenant(yaml("acme", "one"))
        .await
        .unwrap();
    let found = call::<_, EarlierTenant>(&served, "GetTenant", get("acme")).await;
    assert_eq!(found.unwrap().name, "tenants/acme");
    served.stop().await;
}

#[tokio::test]
async fn a_document_that_is_too_large_is_refused_and_recorded() {
    let served = Served::start().await;
    let mut client = served.client(TOKEN);
    let sized = |bytes: usize| {
        let mut request = yaml("acme", "one");
        request.document = Some(Document::Yaml(format!(
            "tenant: acme\nservers: {{ a: {{ type: command, command: {} }} }}\n",
            "x".repeat(bytes)
        )));
        request
    };
    // It could be sent, and not pushed.
    let refused = client.apply_tenant(sized(2 * 1024 * 1024)).await;
    let (_, why) = violation(refused.unwrap_err());
    assert!(why.contains("too large") || why.contains("larger"), "{why}");
    let refused = client.apply_tenant(sized(5 * 1024 * 1024)).await;
    let (at, why) = violation(refused.unwrap_err());
    assert_eq!((&*at, &*why), ("request", "is larger than 4194304 bytes"));
    assert_eq!(served.control.tenants(), []);
    assert_eq!(served.trail().await.len(), 2);
    client.apply_tenant(sized(1)).await.unwrap();
    served.stop().await;
}

#[tokio::test]
async fn values_of_enums_that_are_not_known_are_refused_by_their_field() {
    let served = Served::start().await;
    let server = gateway_proto::config::v1::ServerConfig {
        isolation: 99,
        ..Default::default()
    };
    let config = gateway_proto::config::v1::TenantConfig {
        tenant: "acme".to_owned(),
        servers: [("a".to_owned(), server)].into(),
        ..Default::default()
    };
    let request = pb::ApplyTenantRequest {
        document: Some(Document::Config(Box::new(config))),
        ..Default::default()
    };
    let refused = served.client(TOKEN).apply_tenant(request).await;
    let (at, why) = violation(refused.unwrap_err());
    assert!(at.starts_with("servers.a"), "{at}: {why}");
    assert_eq!(served.control.tenants(), []);
    served.stop().await;
}
