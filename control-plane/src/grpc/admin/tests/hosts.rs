//! Host names that are given, shown and taken away, and who may do that.

use gateway_proto::admin::v1::hosts_client::HostsClient;

use super::*;

type HostClient = HostsClient<InterceptedService<Channel, Bearer>>;

impl Served {
    fn hosts(&self, token: &str) -> HostClient {
        HostsClient::with_interceptor(self.channel(), bearer(token))
    }
}

fn create(host: &str, tenant: &str) -> pb::CreateHostRequest {
    pb::CreateHostRequest {
        host_id: host.to_owned(),
        host: Some(pb::Host {
            tenant: format!("tenants/{tenant}"),
            ..Default::default()
        }),
        reason: "test".to_owned(),
    }
}

fn delete(host: &str) -> pb::DeleteHostRequest {
    pb::DeleteHostRequest {
        name: format!("hosts/{host}"),
        reason: String::new(),
    }
}

async fn listed(client: &mut HostClient, tenant: &str) -> Result<Vec<String>, Status> {
    let mut request = pb::ListHostsRequest {
        tenant: tenant.to_owned(),
        page_size: 1,
        page_token: String::new(),
    };
    let mut all = Vec::new();
    loop {
        let page = client.list_hosts(request.clone()).await?.into_inner();
        let shown = page.hosts.into_iter();
        all.extend(shown.map(|host| format!("{} {}", host.name, host.tenant)));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(all);
        }
    }
}

#[tokio::test]
async fn a_host_name_is_given_shown_with_its_tenant_and_taken_away() {
    let served = Served::start().await;
    let (mut admin, mut hosts) = (served.client(TOKEN), served.hosts(TOKEN));
    admin.apply_tenant(yaml("acme", "one")).await.unwrap();
    for (host, tenant) in [
        ("b.example", "acme"),
        ("a.example", "acme"),
        ("c.example", "later"),
    ] {
        let made = hosts.create_host(create(host, tenant)).await.unwrap();
        assert_eq!(made.into_inner().author, "admin");
    }
    let taken = hosts
        .create_host(create("a.example", "zoo"))
        .await
        .unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    let tenant = admin.get_tenant(get("acme")).await.unwrap().into_inner();
    assert_eq!(tenant.host_names, ["a.example", "b.example"]);
    for filter in ["", "host_names = \"b.example\""] {
        let request = pb::ListTenantsRequest {
            filter: filter.to_owned(),
            ..Default::default()
        };
        let tenants = admin.list_tenants(request).await.unwrap().into_inner();
        assert_eq!(tenants.tenants[0].host_names, ["a.example", "b.example"]);
    }
    // A deleted tenant keeps them, until they are taken away.
    let gone = pb::DeleteTenantRequest {
        name: "tenants/acme".to_owned(),
        ..Default::default()
    };
    admin.delete_tenant(gone).await.unwrap();
    let taken = hosts
        .create_host(create("a.example", "zoo"))
        .await
        .unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    hosts.delete_host(delete("a.example")).await.unwrap();
    let missing = hosts.delete_host(delete("a.example")).await.unwrap_err();
    assert_eq!(missing.message(), "there is no host name `a.example`");
    let left = listed(&mut hosts, "").await.unwrap();
    let expected = [
        "hosts/b.example tenants/acme",
        "hosts/c.example tenants/later",
    ];
    assert_eq!(left, expected);

    let trail = served.trail().await;
    let of_hosts = trail.iter().filter(|row| row.1.ends_with("Host"));
    let of_hosts: Vec<_> = of_hosts
        .map(|row| format!("{} {} {}", row.1, row.2, row.3))
        .collect();
    let expected = [
        "CreateHost hosts/b.example Ok",
        "CreateHost hosts/a.example Ok",
        "CreateHost hosts/c.example Ok",
        "CreateHost hosts/a.example AlreadyExists",
        "CreateHost hosts/a.example AlreadyExists",
        "DeleteHost hosts/a.example Ok",
        "DeleteHost hosts/a.example NotFound",
    ];
    assert_eq!(of_hosts, expected);
    served.stop().await;
}

#[tokio::test]
async fn a_tenants_roles_see_their_own_host_names_and_change_none() {
    let served = Served::start().await;
    let mut hosts = served.hosts(TOKEN);
    for (host, tenant) in [("acme.example", "acme"), ("zoo.example", "zoo")] {
        hosts.create_host(create(host, tenant)).await.unwrap();
    }
    for role in [pb::Role::TenantAdministrator, pb::Role::TenantViewer] {
        let secret = served
            .token(&format!("acme/own-{}", i32::from(role)), role)
            .await;
        let mut own = served.hosts(&secret);
        for tenant in ["", "tenants/acme"] {
            let found = listed(&mut own, tenant).await.unwrap();
            assert_eq!(found, ["hosts/acme.example tenants/acme"]);
        }
        for tenant in ["zoo", "never"] {
            let refused = listed(&mut own, &format!("tenants/{tenant}"))
                .await
                .unwrap_err();
            let text = format!("there is no tenant `{tenant}`");
            assert_eq!(
                (refused.code(), refused.message()),
                (Code::NotFound, &*text)
            );
        }
        // Whether or not it is there, and whose it is.
        let mut refusals = Vec::new();
        for host in ["acme.example", "zoo.example", "new.example"] {
            refusals.push(own.create_host(create(host, "acme")).await.unwrap_err());
            refusals.push(own.delete_host(delete(host)).await.unwrap_err());
        }
        for refused in refusals {
            assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
            assert!(
                refused.message().contains("by administrators"),
                "{refused:?}"
            );
        }
    }
    assert_eq!(listed(&mut hosts, "").await.unwrap().len(), 2);
    served.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_host_name_is_refused_with_its_field() {
    let served = Served::start().await;
    let mut hosts = served.hosts(TOKEN);
    let without_tenant = pb::CreateHostRequest {
        host: None,
        ..create("acme.example", "acme")
    };
    for (request, field) in [
        (create("", "acme"), "host_id"),
        (create("Acme.example", "acme"), "host_id"),
        (create("127.0.0.1", "acme"), "host_id"),
        (create("*.example", "acme"), "host_id"),
        (create("localhost", "acme"), "host_id"),
        (create("acme.example:443", "acme"), "host_id"),
        (create("acme.example", "ACME"), "host.tenant"),
        (without_tenant, "host.tenant"),
    ] {
        let status = hosts.create_host(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let details = status.get_error_details();
        let found = &details.bad_request().unwrap().field_violations;
        assert_eq!(found[0].field, field, "{status:?}");
    }
    for name in ["", "acme.example", "hosts/", "hosts/A"] {
        let request = pb::DeleteHostRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        let status = hosts.delete_host(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{name}");
    }
    served.stop().await;
}
