//! Tokens that are made, shown and revoked, and what their holders get.

use gateway_proto::admin::v1::tokens_client::TokensClient;

use super::*;

type TokenClient = TokensClient<InterceptedService<Channel, Bearer>>;

impl Served {
    pub(super) fn tokens(&self, token: &str) -> TokenClient {
        TokensClient::with_interceptor(self.channel(), bearer(token))
    }

    /// The secret of a new token.
    pub(super) async fn token(&self, name: &str, role: pb::Role) -> String {
        let made = self.tokens(TOKEN).create_token(create(name, role)).await;
        made.unwrap().into_inner().secret
    }
}

/// A token of a name such as `ci` or `acme/ci`.
pub(super) fn create(name: &str, role: pb::Role) -> pb::CreateTokenRequest {
    let (tenant, name) = name.split_once('/').unwrap_or(("", name));
    pb::CreateTokenRequest {
        parent: match tenant {
            "" => String::new(),
            tenant => format!("tenants/{tenant}"),
        },
        token_id: name.to_owned(),
        token: Some(pb::Token {
            role: role.into(),
            ..Default::default()
        }),
        reason: "test".to_owned(),
    }
}

/// The same, limited to a tenant.
fn limited(name: &str, role: pb::Role, tenant: &str) -> pb::CreateTokenRequest {
    let mut request = create(name, role);
    let token = request.token.as_mut().unwrap();
    token.tenants.push(tenant.to_owned());
    request
}

fn named(name: &str) -> pb::GetTokenRequest {
    pb::GetTokenRequest {
        name: name.to_owned(),
    }
}

fn revoke(name: &str) -> pb::RevokeTokenRequest {
    pb::RevokeTokenRequest {
        name: name.to_owned(),
        reason: "lost".to_owned(),
    }
}

#[tokio::test]
async fn a_token_is_made_shown_used_and_revoked() {
    let served = Served::start().await;
    let mut tokens = served.tokens(TOKEN);
    let made = tokens.create_token(create("ops", pb::Role::Administrator));
    let made = made.await.unwrap().into_inner();
    let (token, secret) = (made.token.unwrap(), made.secret);
    assert!(secret.starts_with("mga_") && secret.len() == 68);
    assert_eq!((&*token.name, &*token.author), ("tokens/ops", "admin"));
    assert_eq!(token.role(), pb::Role::Administrator);
    assert!(token.create_time.is_some() && token.expire_time.is_none());
    let found = tokens.get_token(named("tokens/ops")).await.unwrap();
    assert_eq!(found.into_inner(), token);

    let mut ops = served.client(&secret);
    ops.apply_tenant(yaml("acme", "one")).await.unwrap();
    let tenant = ops.get_tenant(get("acme")).await.unwrap().into_inner();
    assert_eq!(tenant.author, "ops");
    let revoked = tokens.revoke_token(revoke("tokens/ops")).await.unwrap();
    let revoked = revoked.into_inner();
    assert!(revoked.revoke_time.is_some());
    let again = tokens.revoke_token(revoke("tokens/ops")).await.unwrap();
    assert_eq!(again.into_inner(), revoked);
    let refused = ops.get_tenant(get("acme")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(refused.message(), "the token was revoked");

    let row = |author: &str, action: &str, target: &str, outcome: &str| {
        [author, action, target, outcome].map(str::to_owned).into()
    };
    let expected: Vec<(String, String, String, String)> = vec![
        row("admin", "CreateToken", "tokens/ops", "Ok"),
        row("admin", "GetToken", "tokens/ops", "Ok"),
        row("ops", "apply", "acme", "Ok"),
        row("ops", "GetTenant", "tenants/acme", "Ok"),
        row("admin", "RevokeToken", "tokens/ops", "Ok"),
        row("admin", "RevokeToken", "tokens/ops", "Ok"),
        row("ops", "GetTenant", "tenants/acme", "Unauthenticated"),
    ];
    assert_eq!(served.trail().await, expected);
    served.stop().await;
}

#[tokio::test]
async fn a_join_token_says_to_which_tenants_it_is_limited() {
    let served = Served::start().await;
    let mut tokens = served.tokens(TOKEN);
    let mut request = limited("edge", pb::Role::Join, "tenants/zoo");
    let more = ["tenants/acme", "tenants/zoo"].map(str::to_owned);
    request.token.as_mut().unwrap().tenants.extend(more);
    tokens.create_token(request).await.unwrap();
    let found = tokens.get_token(named("tokens/edge")).await.unwrap();
    let found = found.into_inner();
    assert_eq!(found.role(), pb::Role::Join);
    assert_eq!(found.tenants, ["tenants/acme", "tenants/zoo"]);
    served.token("west", pb::Role::Join).await;
    let west = tokens.get_token(named("tokens/west")).await.unwrap();
    assert!(west.into_inner().tenants.is_empty());
    served.stop().await;
}

#[tokio::test]
async fn a_token_that_was_made_or_revoked_elsewhere_is_known_at_once() {
    let served = Served::start().await;
    // What another control plane writes into the store that they share.
    let store = &served.control.store;
    let secret = SecretString::from("made-by-the-other-control-plane");
    let new = crate::store::NewToken {
        name: "ops".parse().unwrap(),
        role: crate::Role::Administrator,
        hash: TokenHash::of(&secret).unwrap(),
        created_at: jiff::Timestamp::now(),
        author: "other".to_owned(),
        reason: String::new(),
        expires_at: None,
    };
    let revocation = crate::store::Revocation {
        id: new.id(),
        revoked_at: jiff::Timestamp::now(),
        author: "other".to_owned(),
        reason: String::new(),
    };
    let mut client = served.client("made-by-the-other-control-plane");
    let mut code = async || {
        let asked = client.list_tenants(pb::ListTenantsRequest::default());
        asked
            .await
            .map_or_else(|status| status.code(), |_| Code::Ok)
    };
    assert_eq!(code().await, Code::Unauthenticated);
    store.create_token(new).await.unwrap();
    assert_eq!(code().await, Code::Ok);
    store.revoke_token(revocation).await.unwrap();
    assert_eq!(code().await, Code::Unauthenticated);
    served.stop().await;
}

#[tokio::test]
async fn a_secret_is_kept_nowhere() {
    let served = Served::start().await;
    let secret = served.token("ops", pb::Role::Administrator).await;
    let mut files = std::fs::read_dir(served.dir.path()).unwrap();
    let secret = secret.trim_start_matches("mga_").as_bytes();
    assert!(files.all(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        !bytes.windows(secret.len()).any(|window| window == secret)
    }));
    served.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_refused_with_its_field() {
    let served = Served::start().await;
    let mut tokens = served.tokens(TOKEN);
    let administrator = |name| create(name, pb::Role::Administrator);
    let past = pb::CreateTokenRequest {
        token: Some(pb::Token {
            expire_time: Some(prost_types::Timestamp::default()),
            ..administrator("ops").token.unwrap()
        }),
        ..administrator("ops")
    };
    let bare = pb::CreateTokenRequest {
        parent: "acme".to_owned(),
        ..administrator("ops")
    };
    for (request, field) in [
        (administrator(""), "token_id"),
        (bare, "parent"),
        (administrator("Ops"), "token_id"),
        (administrator("admin"), "token_id"),
        (create("join", pb::Role::Join), "token_id"),
        (administrator("acme/ops"), "parent"),
        (create("acme/edge", pb::Role::Join), "parent"),
        (create("look", pb::Role::TenantViewer), "parent"),
        (create("ACME/look", pb::Role::TenantViewer), "parent"),
        (create("ops", pb::Role::Unspecified), "token.role"),
        (past, "token.expire_time"),
        (limited("edge", pb::Role::Join, "acme"), "token.tenants[0]"),
        (
            limited("ops", pb::Role::Administrator, "tenants/acme"),
            "token.tenants",
        ),
        (
            limited("acme/look", pb::Role::TenantViewer, "tenants/acme"),
            "token.tenants",
        ),
    ] {
        let status = tokens.create_token(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let details = status.get_error_details();
        let found = &details.bad_request().unwrap().field_violations;
        assert_eq!(found[0].field, field, "{status:?}");
    }
    for name in ["", "ops", "tokens/", "tenants/a/tokens/", "a/tokens/b"] {
        let status = tokens.get_token(named(name)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{name}");
    }
    let missing = tokens.get_token(named("tokens/admin")).await.unwrap_err();
    assert_eq!(missing.message(), "there is no token `tokens/admin`");
    served.token("ops", pb::Role::Administrator).await;
    let again = tokens.create_token(administrator("ops")).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    served.stop().await;
}

#[tokio::test]
async fn tokens_are_listed_in_pages_and_a_tenant_sees_its_own() {
    let served = Served::start().await;
    served.token("ops", pb::Role::Administrator).await;
    for name in ["zoo/ci", "acme/look", "acme/ci"] {
        served.token(name, pb::Role::TenantViewer).await;
    }
    let secret = served.token("acme/own", pb::Role::TenantAdministrator);
    let secret = secret.await;
    assert!(secret.starts_with("mgt_"));
    let list = async |secret: &str, parent: &str| -> Result<Vec<String>, Status> {
        let mut request = pb::ListTokensRequest {
            parent: parent.to_owned(),
            page_size: 2,
            page_token: String::new(),
        };
        let mut names = Vec::new();
        loop {
            let page = served.tokens(secret).list_tokens(request.clone()).await?;
            let page = page.into_inner();
            names.extend(page.tokens.into_iter().map(|token| token.name));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                return Ok(names);
            }
        }
    };
    let own = ["ci", "look", "own"].map(|name| format!("tenants/acme/tokens/{name}"));
    let all = list(TOKEN, "").await.unwrap();
    let (ops, zoo) = ("tokens/ops".to_owned(), "tenants/zoo/tokens/ci".to_owned());
    assert_eq!(all, [&[ops][..], &own, &[zoo]].concat());
    assert_eq!(list(TOKEN, "tenants/acme").await.unwrap(), own);
    for parent in ["", "tenants/acme"] {
        assert_eq!(list(&secret, parent).await.unwrap(), own);
    }
    let others = list(&secret, "tenants/zoo").await.unwrap_err();
    assert_eq!(others.message(), "there is no tenant `zoo`");
    served.stop().await;
}

#[tokio::test]
async fn a_tenant_administrator_makes_and_revokes_tokens_of_its_own_tenant_only() {
    let served = Served::start().await;
    served.token("zoo/ci", pb::Role::TenantViewer).await;
    served.token("ops", pb::Role::Administrator).await;
    let role = pb::Role::TenantAdministrator;
    let own = served.token("acme/own", role).await;
    let mut tokens = served.tokens(&own);
    // A name that another tenant has is free.
    for (name, role) in [("acme/ci", pb::Role::TenantViewer), ("acme/two", role)] {
        let made = tokens.create_token(create(name, role)).await.unwrap();
        assert_eq!(made.into_inner().token.unwrap().author, "acme/own");
    }
    let ended = revoke("tenants/acme/tokens/ci");
    tokens.revoke_token(ended).await.unwrap();
    let refused = tokens.create_token(create("root", pb::Role::Administrator));
    let refused = refused.await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    for tenant in ["zoo", "yak"] {
        let name = format!("{tenant}/mine");
        let refused = tokens.create_token(create(&name, role)).await.unwrap_err();
        let text = format!("there is no tenant `{tenant}`");
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::NotFound, &*text)
        );
    }
    for name in [
        "tenants/zoo/tokens/ci",
        "tenants/yak/tokens/ci",
        "tokens/ops",
    ] {
        let text = format!("there is no token `{name}`");
        let refused = tokens.revoke_token(revoke(name)).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::NotFound, &*text)
        );
        let refused = tokens.get_token(named(name)).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::NotFound, &*text)
        );
    }
    let viewer = served.token("acme/look", pb::Role::TenantViewer).await;
    let mut viewer = served.tokens(&viewer);
    let name = "tenants/acme/tokens/own";
    viewer.get_token(named(name)).await.unwrap();
    for refused in [
        viewer.revoke_token(revoke(name)).await.map(drop),
        viewer
            .create_token(create("acme/more", role))
            .await
            .map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    }
    served.stop().await;
}
