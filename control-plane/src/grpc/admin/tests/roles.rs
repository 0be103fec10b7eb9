//! What tenants may do of what administrators may, and what they learn of each other.

use super::*;

const ACME: &str = "tenants/acme";

fn rollback(tenant: &str, revision: u64) -> pb::RollbackTenantRequest {
    pb::RollbackTenantRequest {
        name: format!("tenants/{tenant}"),
        revision,
        ..Default::default()
    }
}

fn delete(tenant: &str) -> pb::DeleteTenantRequest {
    pb::DeleteTenantRequest {
        name: format!("tenants/{tenant}"),
        ..Default::default()
    }
}

fn revision(tenant: &str, number: u64) -> pb::GetRevisionRequest {
    pb::GetRevisionRequest {
        name: format!("tenants/{tenant}/revisions/{number}"),
    }
}

fn revisions(tenant: &str) -> pb::ListRevisionsRequest {
    pb::ListRevisionsRequest {
        parent: format!("tenants/{tenant}"),
        ..Default::default()
    }
}

fn replicas(tenant: &str) -> pb::ListReplicasRequest {
    pb::ListReplicasRequest {
        tenant: format!("tenants/{tenant}"),
        ..Default::default()
    }
}

/// Two tenants with two revisions each.
async fn served() -> Served {
    let served = Served::start().await;
    let mut client = served.client(TOKEN);
    for tenant in ["acme", "zoo"] {
        for command in ["one", "two"] {
            client.apply_tenant(yaml(tenant, command)).await.unwrap();
        }
    }
    served
}

fn watch(tenant: &str) -> pb::WatchTenantRequest {
    pb::WatchTenantRequest {
        name: format!("tenants/{tenant}"),
    }
}

/// Every call that is about a tenant, as its caller sees it refused.
async fn refusals(client: &mut Client, tenant: &str) -> Vec<Status> {
    let checked = pb::ApplyTenantRequest {
        validate_only: true,
        ..yaml(tenant, "x")
    };
    let stale = pb::ApplyTenantRequest {
        etag: "1".to_owned(),
        ..yaml(tenant, "x")
    };
    let unsound = pb::ApplyTenantRequest {
        document: Some(Document::Yaml(format!(
            "tenant: {tenant}\nservers: {{ a: 'catalog://h/r:v1/n' }}\n"
        ))),
        ..Default::default()
    };
    let mut statuses = vec![
        client.get_tenant(get(tenant)).await.map(drop),
        client.delete_tenant(delete(tenant)).await.map(drop),
        client.list_revisions(revisions(tenant)).await.map(drop),
        client.list_replicas(replicas(tenant)).await.map(drop),
        client.watch_tenant(watch(tenant)).await.map(drop),
    ];
    let name = format!("tenants/{tenant}/rollout");
    let get = pb::GetRolloutRequest { name: name.clone() };
    statuses.push(client.get_rollout(get).await.map(drop));
    let (reason, again) = (String::new(), name.clone());
    let resume = pb::ResumeRolloutRequest {
        name,
        reason: reason.clone(),
    };
    statuses.push(client.resume_rollout(resume).await.map(drop));
    let abort = pb::AbortRolloutRequest {
        name: again,
        reason,
    };
    statuses.push(client.abort_rollout(abort).await.map(drop));
    for request in [
        yaml(tenant, "x"),
        yaml(tenant, "two"),
        checked,
        stale,
        unsound,
    ] {
        statuses.push(client.apply_tenant(request).await.map(drop));
    }
    for number in [1, 2, 3] {
        let back = rollback(tenant, number);
        let stale = pb::RollbackTenantRequest {
            etag: "1".to_owned(),
            ..back.clone()
        };
        let checked = pb::RollbackTenantRequest {
            validate_only: true,
            ..back.clone()
        };
        for request in [back, stale, checked] {
            statuses.push(client.rollback_tenant(request).await.map(drop));
        }
        let found = client.get_revision(revision(tenant, number)).await;
        statuses.push(found.map(drop));
    }
    statuses.into_iter().map(Result::unwrap_err).collect()
}

/// All that a status says, but for when it was said.
fn said(status: &Status) -> (Code, String, Vec<u8>, Vec<String>) {
    let mut headers = status.metadata().clone().into_headers();
    headers.remove("date");
    let mut headers: Vec<_> = headers.iter().map(|pair| format!("{pair:?}")).collect();
    headers.sort();
    let message = status.message().to_owned();
    (status.code(), message, status.details().to_vec(), headers)
}

#[tokio::test]
async fn another_tenant_is_answered_as_one_that_does_not_exist() {
    let served = served().await;
    for role in [pb::Role::TenantAdministrator, pb::Role::TenantViewer] {
        let name = format!(
            "acme/{}",
            if role == pb::Role::TenantViewer {
                "look"
            } else {
                "own"
            }
        );
        let secret = served.token(&name, role).await;
        let (mut client, mut parts) = (served.client(&secret), served.parts_by(&secret));
        let mut there = refusals(&mut client, "zoo").await;
        there.extend(resources::refusals(&mut parts, "zoo").await);
        let mut missing = refusals(&mut client, "yak").await;
        missing.extend(resources::refusals(&mut parts, "yak").await);
        assert_eq!(there.len(), missing.len());
        for (there, missing) in there.iter().zip(&missing) {
            let (code, text, details, headers) = said(missing);
            let expected = (code, text.replace("yak", "zoo"), details, headers);
            assert_eq!(said(there), expected);
            assert_eq!(there.code(), Code::NotFound, "{there:?}");
        }
    }
    // In the words in which an administrator is told so.
    let mut client = served.client(TOKEN);
    let own = served.token("acme/words", pb::Role::TenantAdministrator);
    let mut tenant = served.client(&own.await);
    for (administrator, tenant) in [
        (
            client.get_tenant(get("yak")).await.map(drop),
            tenant.get_tenant(get("yak")).await.map(drop),
        ),
        (
            client.delete_tenant(delete("yak")).await.map(drop),
            tenant.delete_tenant(delete("yak")).await.map(drop),
        ),
        (
            client.get_revision(revision("yak", 1)).await.map(drop),
            tenant.get_revision(revision("yak", 1)).await.map(drop),
        ),
        (
            client.list_revisions(revisions("yak")).await.map(drop),
            tenant.list_revisions(revisions("yak")).await.map(drop),
        ),
        (
            client.rollback_tenant(rollback("yak", 1)).await.map(drop),
            tenant.rollback_tenant(rollback("yak", 1)).await.map(drop),
        ),
    ] {
        assert_eq!(
            said(&tenant.unwrap_err()),
            said(&administrator.unwrap_err())
        );
    }
    served.stop().await;
}

#[tokio::test]
async fn a_tenant_administrator_changes_its_own_tenant_and_neither_makes_nor_deletes_it() {
    let served = served().await;
    let secret = served.token("acme/own", pb::Role::TenantAdministrator);
    let mut client = served.client(&secret.await);
    let applied = client.apply_tenant(yaml("acme", "three")).await.unwrap();
    assert_eq!(applied.into_inner().revision, 3);
    let back = client.rollback_tenant(rollback("acme", 1)).await.unwrap();
    assert_eq!(back.into_inner().revision, 4);
    let tenant = client.get_tenant(get("acme")).await.unwrap().into_inner();
    assert_eq!((tenant.revision, &*tenant.author), (4, "acme/own"));
    let stale = pb::ApplyTenantRequest {
        etag: "1".to_owned(),
        ..yaml("acme", "four")
    };
    let refused = client.apply_tenant(stale).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    let refused = client.delete_tenant(delete("acme")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    let mut administrator = served.client(TOKEN);
    administrator.delete_tenant(delete("acme")).await.unwrap();
    for refused in [
        client.apply_tenant(yaml("acme", "five")).await.map(drop),
        client.rollback_tenant(rollback("acme", 1)).await.map(drop),
        client.get_tenant(get("acme")).await.map(drop),
    ] {
        let refused = refused.unwrap_err();
        let text = "there is no tenant `acme`";
        assert_eq!((refused.code(), refused.message()), (Code::NotFound, text));
    }
    // Its history stays its own.
    client.get_revision(revision("acme", 1)).await.unwrap();
    assert_eq!(served.control.tenants().len(), 1);
    served.stop().await;
}

#[tokio::test]
async fn requests_of_the_same_id_by_administrators_of_two_tenants_are_two() {
    let served = served().await;
    for tenant in ["acme", "zoo"] {
        let name = format!("{tenant}/own");
        let secret = served.token(&name, pb::Role::TenantAdministrator).await;
        let mut client = served.client(&secret);
        let request = pb::ApplyTenantRequest {
            request_id: "2f0c9b3e-5d0f-4e0c-9a68-0d6a4f0f2c11".to_owned(),
            ..yaml(tenant, "three")
        };
        // The second time it is answered as the first.
        for _ in 0..2 {
            let applied = client.apply_tenant(request.clone()).await.unwrap();
            let applied = applied.into_inner();
            assert_eq!((applied.revision, applied.changed), (3, true), "{tenant}");
        }
        let made = client.get_tenant(get(tenant)).await.unwrap().into_inner();
        assert_eq!((made.revision, made.author), (3, name));
    }
    served.stop().await;
}

#[tokio::test]
async fn a_tenant_viewer_sees_its_own_tenant_and_changes_nothing() {
    let served = served().await;
    let secret = served.token("acme/look", pb::Role::TenantViewer).await;
    let mut client = served.client(&secret);
    client.get_tenant(get("acme")).await.unwrap();
    client.get_revision(revision("acme", 1)).await.unwrap();
    client.list_revisions(revisions("acme")).await.unwrap();
    for refused in [
        client.apply_tenant(yaml("acme", "three")).await.map(drop),
        client.apply_tenant(yaml("acme", "two")).await.map(drop),
        client.rollback_tenant(rollback("acme", 1)).await.map(drop),
        client.delete_tenant(delete("acme")).await.map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    }
    let trail = served.trail().await;
    let last = trail.last().unwrap().clone();
    let expected = ["acme/look", "DeleteTenant", ACME, "PermissionDenied"];
    assert_eq!(last, expected.map(str::to_owned).into());
    let tenant = client.get_tenant(get("acme")).await.unwrap().into_inner();
    assert_eq!(tenant.revision, 2);
    served.stop().await;
}

#[tokio::test]
async fn lists_show_a_tenant_its_own() {
    let served = served().await;
    let secret = served.token("acme/look", pb::Role::TenantViewer).await;
    let mut client = served.client(&secret);
    let page = |token: &str| pb::ListTenantsRequest {
        page_size: 1,
        page_token: token.to_owned(),
        ..Default::default()
    };
    let found = client.list_tenants(page("")).await.unwrap().into_inner();
    assert_eq!(found.next_page_token, "");
    let administrators = served.client(TOKEN).list_tenants(page("")).await;
    assert_eq!(found.tenants, administrators.unwrap().into_inner().tenants);
    assert_eq!(found.tenants[0].name, ACME);
    let behind = client.list_tenants(page("acme")).await.unwrap();
    assert!(behind.into_inner().tenants.is_empty());

    let hello = |name: &str| crate::push::Hello {
        replica: name.to_owned(),
        version: "1".to_owned(),
        advertise: None,
        store: String::new(),
        cursor: 0,
        // What it says of tenants that are not its own, nobody is told.
        held: [("zoo".parse().unwrap(), gateway_core::Revision(7))].into(),
    };
    let hub = &served.control.hub;
    let _west = hub.join(hello("west"), crate::Scope::all()).unwrap();
    let limited = |tenant: &str| tenant.parse::<crate::Scope>().unwrap();
    let _acme = hub.join(hello("acme-1"), limited("acme")).unwrap();
    let _zoo = hub.join(hello("zoo-1"), limited("zoo")).unwrap();
    let taken = hub.join(hello("zoo-1"), limited("acme")).unwrap_err();
    assert!(taken.to_string().contains("a name of its own"), "{taken}");
    let all = pb::ListReplicasRequest::default();
    let shown = |found: pb::ListReplicasResponse| -> Vec<String> {
        let shown = found.replicas.into_iter().map(|replica| {
            let tenants = replica.tenants.into_iter().map(|at| at.tenant);
            let tenants = tenants.collect::<Vec<_>>().join(" ");
            format!("{}: {tenants}", replica.name).replace("tenants/", "")
        });
        shown.collect()
    };
    for request in [all.clone(), replicas("acme")] {
        let own = client.list_replicas(request).await.unwrap();
        let own = shown(own.into_inner());
        assert_eq!(own, ["replicas/acme-1: acme", "replicas/west: acme"]);
    }
    let watched = client.watch_tenant(watch("acme")).await.unwrap();
    let watched = watched.into_inner().message().await.unwrap().unwrap();
    let names: Vec<_> = watched.replicas.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["replicas/acme-1", "replicas/west"]);
    let all = served.client(TOKEN).list_replicas(all).await.unwrap();
    let expected = [
        "replicas/acme-1: acme",
        "replicas/west: acme zoo",
        "replicas/zoo-1: zoo",
    ];
    assert_eq!(shown(all.into_inner()), expected);
    served.stop().await;
}

#[tokio::test]
async fn a_viewer_sees_parts_and_changes_none() {
    let served = served().await;
    let secret = served.token("acme/look", pb::Role::TenantViewer).await;
    let mut parts = served.parts_by(&secret);
    let listed = pb::ListServersRequest {
        parent: "tenants/acme".to_owned(),
        ..Default::default()
    };
    let found = parts.list_servers(listed).await.unwrap().into_inner();
    assert!(!found.servers.is_empty());
    let gone = pb::DeleteServerRequest {
        name: found.servers[0].name.clone(),
        ..Default::default()
    };
    let refused = parts.delete_server(gone.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let own = served.token("acme/own", pb::Role::TenantAdministrator);
    let mut parts = served.parts_by(&own.await);
    parts.delete_server(gone).await.unwrap();
    served.stop().await;
}
