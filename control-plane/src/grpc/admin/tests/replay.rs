//! Requests that come again.

use super::resources::{WEB, create, server, update};
use super::*;

#[tokio::test]
async fn a_request_that_comes_again_gets_its_first_answer_and_changes_nothing() {
    let served = Served::start().await;
    let mut client = served.client(TOKEN);
    let id = "2f0c9b3e-5d0f-4e0c-9a68-0d6a4f0f2c11".to_owned();
    let apply = pb::ApplyTenantRequest {
        request_id: id.clone(),
        ..yaml("acme", "one")
    };
    let first = client
        .apply_tenant(apply.clone())
        .await
        .unwrap()
        .into_inner();
    client.apply_tenant(yaml("acme", "two")).await.unwrap();
    let again = client
        .apply_tenant(apply.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again, first);
    assert_eq!((again.revision, again.changes.is_empty()), (1, false));

    let at = |status: Status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let details = status.get_error_details();
        details.bad_request().unwrap().field_violations[0]
            .field
            .clone()
    };
    let other = pb::ApplyTenantRequest {
        request_id: id.clone(),
        ..yaml("acme", "three")
    };
    assert_eq!(
        at(client.apply_tenant(other).await.unwrap_err()),
        "request_id"
    );
    let elsewhere = pb::DeleteTenantRequest {
        name: "tenants/acme".to_owned(),
        request_id: id,
        ..Default::default()
    };
    assert_eq!(
        at(client.delete_tenant(elsewhere).await.unwrap_err()),
        "request_id"
    );
    let unusable = pb::ApplyTenantRequest {
        request_id: "again".to_owned(),
        ..yaml("acme", "three")
    };
    assert_eq!(
        at(client.apply_tenant(unusable).await.unwrap_err()),
        "request_id"
    );

    let mut parts = served.parts();
    let web = pb::CreateServerRequest {
        request_id: "a2f0c9b3-5d0f-4e0c-9a68-0d6a4f0f2c11".to_owned(),
        ..create("web", "x")
    };
    let made = parts.create_server(web.clone()).await.unwrap().into_inner();
    let changed = update(server(WEB, "y"), &["*"]);
    parts.update_server(changed).await.unwrap();
    assert_eq!(parts.create_server(web).await.unwrap().into_inner(), made);
    let delete = pb::DeleteTenantRequest {
        name: "tenants/acme".to_owned(),
        request_id: "b2f0c9b3-5d0f-4e0c-9a68-0d6a4f0f2c11".to_owned(),
        ..Default::default()
    };
    client.delete_tenant(delete.clone()).await.unwrap();
    client.delete_tenant(delete).await.unwrap();
    assert_eq!(served.control.tenants(), []);
    served.stop().await;
}

#[tokio::test]
async fn of_requests_that_come_at_once_one_is_done() {
    let served = Served::start().await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = served.client(TOKEN);
        let request = pb::ApplyTenantRequest {
            request_id: "2f0c9b3e-5d0f-4e0c-9a68-0d6a4f0f2c11".to_owned(),
            ..yaml("acme", "one")
        };
        asking.spawn(async move { client.apply_tenant(request).await });
    }
    for answer in asking.join_all().await {
        match answer {
            Ok(answer) => assert_eq!(answer.into_inner().revision, 1),
            // It came while the first was on its way.
            Err(status) => assert_eq!(status.code(), Code::Aborted, "{status:?}"),
        }
    }
    assert_eq!(served.submitted("acme").await.0, 1);
    served.stop().await;
}
