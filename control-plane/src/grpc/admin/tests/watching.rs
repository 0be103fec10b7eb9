//! The stream of what becomes of a tenant, and lists that are filtered and ordered.

use std::time::Duration;

use tokio::time::timeout;

use super::*;

async fn next(
    stream: &mut tonic::Streaming<pb::WatchTenantResponse>,
) -> Result<pb::WatchTenantResponse, Status> {
    let message = timeout(Duration::from_secs(10), stream.message()).await;
    message.unwrap().map(Option::unwrap)
}

#[tokio::test]
async fn a_watcher_hears_of_every_change_until_the_control_plane_stops() {
    let served = Served::start().await;
    let mut client = served.client(TOKEN);
    let watch = || pb::WatchTenantRequest {
        name: "tenants/acme".to_owned(),
    };
    let nobody = client.watch_tenant(watch()).await.unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound);
    client.apply_tenant(yaml("acme", "one")).await.unwrap();
    let mut stream = client.watch_tenant(watch()).await.unwrap().into_inner();
    let now = next(&mut stream).await.unwrap().tenant.unwrap();
    assert_eq!((now.revision, &*now.author), (1, "admin"));
    client.apply_tenant(yaml("other", "x")).await.unwrap();
    client.apply_tenant(yaml("acme", "two")).await.unwrap();
    let now = next(&mut stream).await.unwrap().tenant.unwrap();
    assert_eq!(now.revision, 2);
    let delete = pb::DeleteTenantRequest {
        name: "tenants/acme".to_owned(),
        ..Default::default()
    };
    client.delete_tenant(delete).await.unwrap();
    assert_eq!(next(&mut stream).await.unwrap().tenant, None);
    served.stop.cancel();
    let ended = next(&mut stream).await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
    served.stop().await;
}

#[tokio::test]
async fn lists_are_filtered_and_ordered() {
    let served = Served::start().await;
    let mut client = served.client(TOKEN);
    for (tenant, command) in [("acme", "a"), ("bee", "a"), ("acme", "b"), ("acme", "c")] {
        client.apply_tenant(yaml(tenant, command)).await.unwrap();
    }
    let request = pb::ListTenantsRequest {
        filter: "author = admin AND revision = 3".to_owned(),
        order_by: "update_time desc".to_owned(),
        ..Default::default()
    };
    let found = client.list_tenants(request).await.unwrap().into_inner();
    let names: Vec<_> = found.tenants.iter().map(|tenant| &*tenant.name).collect();
    assert_eq!(names, ["tenants/acme"]);

    let request = pb::ListRevisionsRequest {
        parent: "tenants/acme".to_owned(),
        page_size: 2,
        order_by: "revision".to_owned(),
        filter: "reason = test".to_owned(),
        ..Default::default()
    };
    let page = client
        .list_revisions(request.clone())
        .await
        .unwrap()
        .into_inner();
    let rest = pb::ListRevisionsRequest {
        page_token: page.next_page_token,
        ..request
    };
    let rest = client.list_revisions(rest).await.unwrap().into_inner();
    let all = page.revisions.iter().chain(&rest.revisions);
    let numbers: Vec<_> = all.map(|revision| revision.revision).collect();
    assert_eq!(numbers, [1, 2, 3]);

    let request = pb::ListTenantsRequest {
        filter: "color = red".to_owned(),
        ..Default::default()
    };
    let refused = client.list_tenants(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    served.stop().await;
}
