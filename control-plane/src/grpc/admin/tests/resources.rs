//! Servers, profiles and plugins, one by one.

use gateway_proto::admin::v1::resources_client::ResourcesClient;
use gateway_proto::config::v1 as config;
use gateway_proto::config::v1::server_spec::Kind as Spec;
use prost_types::FieldMask;

use super::*;

pub(super) type Parts = ResourcesClient<InterceptedService<Channel, Bearer>>;

impl Served {
    pub(super) fn parts(&self) -> Parts {
        self.parts_by(TOKEN)
    }

    pub(super) fn parts_by(&self, token: &str) -> Parts {
        ResourcesClient::with_interceptor(self.channel(), bearer(token))
    }

    pub(super) async fn submitted(&self, tenant: &str) -> (u64, String) {
        let tenant = self.client(TOKEN).get_tenant(get(tenant)).await.unwrap();
        let tenant = tenant.into_inner();
        (tenant.revision, tenant.submitted)
    }
}

pub(super) fn server(name: &str, command: &str) -> pb::Server {
    let spec = Spec::Command(config::CommandServer {
        command: command.to_owned(),
        ..Default::default()
    });
    pb::Server {
        name: name.to_owned(),
        config: Some(config::ServerConfig {
            spec: Some(config::ServerSpec { kind: Some(spec) }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(super) fn create(id: &str, command: &str) -> pb::CreateServerRequest {
    pb::CreateServerRequest {
        parent: "tenants/acme".to_owned(),
        server_id: id.to_owned(),
        server: Some(server("", command)),
        reason: "test".to_owned(),
        ..Default::default()
    }
}

pub(super) fn update(server: pb::Server, paths: &[&str]) -> pb::UpdateServerRequest {
    pb::UpdateServerRequest {
        server: Some(server),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        ..Default::default()
    }
}

pub(super) const WEB: &str = "tenants/acme/servers/web";

/// Every call that is about a part of a tenant, as its caller sees it refused.
pub(super) async fn refusals(parts: &mut Parts, tenant: &str) -> Vec<Status> {
    let named = |name: &str| server(&format!("tenants/{tenant}/servers/{name}"), "x");
    let made = |id: &str, validate_only| pb::CreateServerRequest {
        parent: format!("tenants/{tenant}"),
        validate_only,
        ..create(id, "x")
    };
    let listed = |filter: &str| pb::ListServersRequest {
        parent: format!("tenants/{tenant}"),
        filter: filter.to_owned(),
        ..Default::default()
    };
    let mut statuses = Vec::new();
    for filter in ["", "config.timeout = 1s", "no = field"] {
        statuses.push(parts.list_servers(listed(filter)).await.map(drop));
    }
    for name in ["files", "web", "No-Name"] {
        let got = pb::GetServerRequest {
            name: named(name).name,
        };
        statuses.push(parts.get_server(got).await.map(drop));
        for validate_only in [false, true] {
            let made = parts.create_server(made(name, validate_only)).await;
            statuses.push(made.map(drop));
        }
        for paths in [&["*"][..], &["config.nothing"]] {
            let changed = parts.update_server(update(named(name), paths)).await;
            statuses.push(changed.map(drop));
        }
        let gone = pb::DeleteServerRequest {
            name: named(name).name,
            ..Default::default()
        };
        statuses.push(parts.delete_server(gone).await.map(drop));
    }
    let plugin = format!("tenants/{tenant}/plugins/telemetry");
    let profile = format!("tenants/{tenant}/profiles/dev");
    let plugin = parts.get_plugin(pb::GetPluginRequest { name: plugin });
    statuses.push(plugin.await.map(drop));
    let profile = parts.get_profile(pb::GetProfileRequest { name: profile });
    statuses.push(profile.await.map(drop));
    statuses.into_iter().map(Result::unwrap_err).collect()
}

#[tokio::test]
async fn a_part_is_made_changed_and_removed_and_the_rest_stays_as_it_is_written() {
    let served = Served::start().await;
    served
        .client(TOKEN)
        .apply_tenant(yaml("acme", "one"))
        .await
        .unwrap();
    let mut parts = served.parts();
    let web = parts
        .create_server(create("web", "two"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((&*web.name, web.revision), (WEB, 2));
    let (_, submitted) = served.submitted("acme").await;
    assert!(submitted.starts_with("# as written\n"), "{submitted}");
    assert!(submitted.contains("command: two"), "{submitted}");

    let again = parts.create_server(create("web", "two")).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);

    let mut wanted = server(WEB, "three");
    wanted.etag = web.etag.clone();
    wanted.config.as_mut().unwrap().credentials = 2;
    let changed = parts.update_server(update(wanted.clone(), &["config.credentials"]));
    let changed = changed.await.unwrap().into_inner();
    let config = changed.config.as_ref().unwrap();
    assert_eq!((config.credentials, changed.revision), (2, 3));
    assert_ne!(changed.etag, web.etag);
    let Some(Spec::Command(command)) = config.spec.clone().unwrap().kind else {
        panic!("{config:?}");
    };
    assert_eq!(command.command, "two");
    let got = parts.get_server(pb::GetServerRequest {
        name: WEB.to_owned(),
    });
    assert_eq!(got.await.unwrap().into_inner(), changed);

    let stale = parts
        .update_server(update(wanted, &["*"]))
        .await
        .unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    let delete = |etag: &str| pb::DeleteServerRequest {
        name: WEB.to_owned(),
        etag: etag.to_owned(),
        ..Default::default()
    };
    let stale = parts.delete_server(delete(&web.etag)).await.unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    // A change of another server leaves this one's tag current.
    parts.create_server(create("other", "x")).await.unwrap();
    parts.delete_server(delete(&changed.etag)).await.unwrap();
    let gone = parts.delete_server(delete("")).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let (revision, submitted) = served.submitted("acme").await;
    assert_eq!(revision, 5);
    assert!(
        !submitted.contains("web") && submitted.contains("files"),
        "{submitted}"
    );
    served.stop().await;
}

#[tokio::test]
async fn nothing_is_kept_of_what_only_is_to_be_checked_or_changes_nothing() {
    let served = Served::start().await;
    served
        .client(TOKEN)
        .apply_tenant(yaml("acme", "one"))
        .await
        .unwrap();
    let mut parts = served.parts();
    let only_checked = pb::CreateServerRequest {
        validate_only: true,
        ..create("web", "two")
    };
    parts.create_server(only_checked).await.unwrap();
    let same = update(server("tenants/acme/servers/files", "one"), &["*"]);
    assert_eq!(
        parts
            .update_server(same)
            .await
            .unwrap()
            .into_inner()
            .revision,
        1
    );
    let missing = update(server(WEB, "two"), &["*"]);
    let refused = parts.update_server(missing.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(served.submitted("acme").await.0, 1);
    let made = pb::UpdateServerRequest {
        allow_missing: true,
        ..missing
    };
    assert_eq!(
        parts
            .update_server(made)
            .await
            .unwrap()
            .into_inner()
            .revision,
        2
    );
    served.stop().await;
}

#[tokio::test]
async fn plugins_are_named_by_their_kind_and_those_of_several_by_their_own_name_too() {
    let served = Served::start().await;
    served
        .client(TOKEN)
        .apply_tenant(yaml("acme", "one"))
        .await
        .unwrap();
    let mut parts = served.parts();
    let plugin = |name: Option<&str>, implementation: &str| pb::Plugin {
        config: Some(config::PluginConfig {
            name: name.map(str::to_owned),
            provider: config::Provider::InMemory.into(),
            implementation: Some(implementation.to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let create = |id: &str, plugin: pb::Plugin| pb::CreatePluginRequest {
        parent: "tenants/acme".to_owned(),
        plugin_id: id.to_owned(),
        plugin: Some(plugin),
        ..Default::default()
    };
    for (id, name, implementation) in [
        ("telemetry", None, "prometheus"),
        ("audit_sink.one", Some("one"), "stdout"),
        ("audit_sink.two", Some("two"), "stdout"),
    ] {
        let request = create(id, plugin(name, implementation));
        parts.create_plugin(request).await.unwrap();
    }
    for (id, name) in [
        ("audit", None),
        ("audit_sink.three", None),
        ("telemetry", Some("x")),
    ] {
        let request = create(id, plugin(name, "stdout"));
        let refused = parts.create_plugin(request).await.unwrap_err();
        let found = matches!(refused.code(), Code::InvalidArgument | Code::AlreadyExists);
        assert!(found, "{id}: {refused:?}");
    }
    let list = pb::ListPluginsRequest {
        parent: "tenants/acme".to_owned(),
        filter: "config.implementation = stdout".to_owned(),
        order_by: "name desc".to_owned(),
        ..Default::default()
    };
    let found = parts.list_plugins(list).await.unwrap().into_inner().plugins;
    let names: Vec<_> = found.iter().map(|plugin| &*plugin.name).collect();
    assert_eq!(
        names,
        [
            "tenants/acme/plugins/audit_sink.two",
            "tenants/acme/plugins/audit_sink.one"
        ]
    );
    for name in ["audit_sink.one", "audit_sink.two", "telemetry"] {
        let delete = pb::DeletePluginRequest {
            name: format!("tenants/acme/plugins/{name}"),
            ..Default::default()
        };
        parts.delete_plugin(delete).await.unwrap();
    }
    let (revision, submitted) = served.submitted("acme").await;
    assert_eq!(revision, 7);
    assert!(!submitted.contains("audit_sink"), "{submitted}");
    served.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_part_is_told_by_its_field() {
    let served = Served::start().await;
    served
        .client(TOKEN)
        .apply_tenant(yaml("acme", "one"))
        .await
        .unwrap();
    let mut parts = served.parts();
    let profile = |servers: &[&str]| pb::CreateProfileRequest {
        parent: "tenants/acme".to_owned(),
        profile_id: "dev".to_owned(),
        profile: Some(pb::Profile {
            config: Some(config::ProfileConfig {
                servers: servers.iter().map(ToString::to_string).collect(),
                tools: None,
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let at = |status: Status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let details = status.get_error_details();
        details.bad_request().unwrap().field_violations[0]
            .field
            .clone()
    };
    let refused = parts
        .create_profile(profile(&["missing"]))
        .await
        .unwrap_err();
    assert_eq!(at(refused), "profiles.dev.servers[0]");
    let named = pb::CreateProfileRequest {
        profile_id: "De/v".to_owned(),
        ..profile(&["files"])
    };
    assert_eq!(
        at(parts.create_profile(named).await.unwrap_err()),
        "profile_id"
    );
    let empty = pb::CreateServerRequest {
        server: None,
        ..create("web", "x")
    };
    assert_eq!(
        at(parts.create_server(empty).await.unwrap_err()),
        "server.config"
    );
    let elsewhere = update(server("tenants/acme/profiles/web", "x"), &["*"]);
    assert_eq!(
        at(parts.update_server(elsewhere).await.unwrap_err()),
        "server.name"
    );
    let unknown = update(server("tenants/acme/servers/files", "x"), &["config.x"]);
    assert_eq!(
        at(parts.update_server(unknown).await.unwrap_err()),
        "update_mask.paths[0]"
    );

    // What a profile shows cannot go.
    parts.create_profile(profile(&["files"])).await.unwrap();
    let delete = pb::DeleteServerRequest {
        name: "tenants/acme/servers/files".to_owned(),
        ..Default::default()
    };
    let refused = parts.delete_server(delete).await.unwrap_err();
    assert_eq!(at(refused), "profiles.dev.servers[0]");
    let nowhere = pb::CreateServerRequest {
        parent: "tenants/nobody".to_owned(),
        ..create("web", "x")
    };
    let refused = parts.create_server(nowhere).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(served.submitted("acme").await.0, 2);
    served.stop().await;
}

#[tokio::test]
async fn parts_that_are_changed_at_once_do_not_lose_one_another() {
    let served = Served::start().await;
    served
        .client(TOKEN)
        .apply_tenant(yaml("acme", "one"))
        .await
        .unwrap();
    let mut making = tokio::task::JoinSet::new();
    for index in 0..12 {
        let mut parts = served.parts();
        making.spawn(async move { parts.create_server(create(&format!("s{index}"), "x")).await });
    }
    for made in making.join_all().await {
        made.unwrap();
    }
    let list = pb::ListServersRequest {
        parent: "tenants/acme".to_owned(),
        page_size: 10,
        ..Default::default()
    };
    let page = served
        .parts()
        .list_servers(list.clone())
        .await
        .unwrap()
        .into_inner();
    let rest = pb::ListServersRequest {
        page_token: page.next_page_token,
        ..list
    };
    let rest = served
        .parts()
        .list_servers(rest)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((page.servers.len(), rest.servers.len()), (10, 3));
    assert_eq!(served.submitted("acme").await.0, 13);
    served.stop().await;
}
