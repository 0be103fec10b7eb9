//! The tokens service: makes, shows and ends the tokens by which others are let in.

use std::sync::Arc;

use gateway_core::{ExposeSecret as _, TenantId, TokenName};
use gateway_proto::admin::v1 as pb;
use gateway_proto::admin::v1::tokens_server::Tokens;
use jiff::Timestamp;
use tonic::{Request, Response, Status};

use super::answer;
use super::names::{self, Page, reason, required_tenant};
use super::refusal::{self, field};
use super::trail::{Call, Done, Trail};
use crate::grpc::admission::{Caller, FIRST_ADMINISTRATOR, FIRST_JOIN, Power, Presented};
use crate::store::{CreateTokenError, NewToken, Revocation, Store, TokenRecord};
use crate::token::{Role, Scope, TokenHash, TokenId, new_token};

const TOKENS: Page = Page {
    usual: 50,
    most: 1000,
};

/// More would be no limit that anybody keeps in view.
const MOST_TENANTS: usize = 1000;

pub(in crate::grpc) struct Service {
    store: Arc<dyn Store>,
    trail: Arc<Trail>,
}

impl Service {
    pub(super) fn new(store: Arc<dyn Store>, trail: Arc<Trail>) -> Self {
        Self { store, trail }
    }

    async fn create(
        &self,
        request: pb::CreateTokenRequest,
        caller: &Caller,
    ) -> Result<Done<pb::CreateTokenResponse>, Status> {
        let tenant = parent(&request.parent)?;
        caller.may(Power::Change, tenant.as_ref(), || match &tenant {
            Some(tenant) => refusal::no_tenant(tenant),
            None => Status::permission_denied("tokens without a tenant are made by administrators"),
        })?;
        let token = request.token.unwrap_or_default();
        let scope = scope(&token.tenants)?;
        let role = role(token.role(), tenant, scope)?;
        let name = token_name(&request.token_id, &role)?;
        let now = Timestamp::now();
        let expires_at = token.expire_time.map(timestamp).transpose()?;
        if expires_at.is_some_and(|end| end <= now) {
            return Err(field("token.expire_time", "is over already"));
        }
        let secret = new_token(role.token_use()).map_err(|error| {
            tracing::error!(%error, "a token could not be made");
            Status::unavailable(error.to_string())
        })?;
        let hash = TokenHash::of(&secret).map_err(|error| Status::internal(error.to_string()))?;
        let new = NewToken {
            name,
            role,
            hash,
            created_at: now,
            author: caller.name.clone(),
            reason: reason(request.reason)?,
            expires_at,
        };
        let record = TokenRecord {
            name: new.name.clone(),
            role: new.role.clone(),
            created_at: now,
            author: new.author.clone(),
            expires_at,
            revoked_at: None,
        };
        match self.store.create_token(new).await {
            Ok(()) => {}
            Err(CreateTokenError::Exists) => {
                return Err(Status::already_exists(format!(
                    "the name `{}` was given before: choose another one",
                    record.id().resource_name()
                )));
            }
            Err(CreateTokenError::Store(error)) => return Err(refusal::store(error)),
        }
        tracing::info!(token = %record.id(), role = %record.role, "made a token");
        let response = pb::CreateTokenResponse {
            token: Some(answer::token(record)),
            secret: secret.expose_secret().to_owned(),
        };
        Ok(Done::recorded_if(true, response))
    }

    async fn token(&self, name: &str, caller: &Caller) -> Result<pb::Token, Status> {
        let id = token_id(name)?;
        caller.may(Power::Read, id.tenant.as_ref(), || no_token(&id))?;
        let found = self.store.token(&id).await.map_err(refusal::store)?;
        Ok(answer::token(found.ok_or_else(|| no_token(&id))?))
    }

    async fn tokens(
        &self,
        request: pb::ListTokensRequest,
        caller: &Caller,
    ) -> Result<pb::ListTokensResponse, Status> {
        let tenant = match parent(&request.parent)? {
            Some(tenant) => {
                caller.may(Power::Read, Some(&tenant), || refusal::no_tenant(&tenant))?;
                Some(tenant)
            }
            None => caller.only_tenant().cloned(),
        };
        let limit = TOKENS.limit(request.page_size)?;
        let after = names::after::<TokenId>(&request.page_token)?;
        let found = self
            .store
            .tokens(tenant.as_ref(), after.as_ref(), limit + 1);
        let (found, more) = names::cut(found.await.map_err(refusal::store)?, limit);
        let next = |last: &TokenRecord| last.id().to_string();
        Ok(pb::ListTokensResponse {
            next_page_token: found.last().filter(|_| more).map(next).unwrap_or_default(),
            tokens: found.into_iter().map(answer::token).collect(),
        })
    }

    async fn revoke(
        &self,
        request: pb::RevokeTokenRequest,
        caller: &Caller,
    ) -> Result<Done<pb::Token>, Status> {
        let id = token_id(&request.name)?;
        caller.may(Power::Change, id.tenant.as_ref(), || no_token(&id))?;
        let revocation = Revocation {
            id: id.clone(),
            revoked_at: Timestamp::now(),
            author: caller.name.clone(),
            reason: reason(request.reason)?,
        };
        let revoked = self.store.revoke_token(revocation).await;
        let revoked = revoked.map_err(refusal::store)?;
        let revoked = revoked.ok_or_else(|| no_token(&id))?;
        if revoked.changed {
            tracing::info!(token = %id, "revoked a token");
        }
        let token = answer::token(revoked.record);
        Ok(Done::recorded_if(revoked.changed, token))
    }
}

fn no_token(id: &TokenId) -> Status {
    Status::not_found(format!("there is no token `{}`", id.resource_name()))
}

fn parent(text: &str) -> Result<Option<TenantId>, Status> {
    match text {
        "" => Ok(None),
        text => required_tenant("parent", text).map(Some),
    }
}

/// The name of `tokens/TOKEN` or `tenants/TENANT/tokens/TOKEN`.
fn token_id(text: &str) -> Result<TokenId, Status> {
    let (tenant, name) = match text.split_once("/tokens/") {
        Some((tenant, name)) => (Some(required_tenant("name", tenant)?), name),
        None => (None, text.strip_prefix("tokens/").unwrap_or_default()),
    };
    match name.parse() {
        Ok(name) => Ok(TokenId { tenant, name }),
        Err(_) => Err(field(
            "name",
            "is no name of a token: write tokens/TOKEN or tenants/TENANT/tokens/TOKEN",
        )),
    }
}

fn token_name(text: &str, role: &Role) -> Result<TokenName, Status> {
    if role.tenant().is_none() && [FIRST_ADMINISTRATOR, FIRST_JOIN].contains(&text) {
        let reason = "is the name of a token that the control plane is started with";
        return Err(field("token_id", reason));
    }
    text.parse()
        .map_err(|error: gateway_core::InvalidName| field("token_id", error.to_string()))
}

/// The tenants to which a token is limited; `None`: to none.
fn scope(tenants: &[String]) -> Result<Option<Scope>, Status> {
    if tenants.len() > MOST_TENANTS {
        let reason = format!("names more than {MOST_TENANTS} tenants");
        return Err(field("token.tenants", reason));
    }
    let named = tenants.iter().enumerate();
    let named =
        named.map(|(index, name)| required_tenant(&format!("token.tenants[{index}]"), name));
    Ok(Scope::only(named.collect::<Result<_, _>>()?))
}

fn role(role: pb::Role, tenant: Option<TenantId>, scope: Option<Scope>) -> Result<Role, Status> {
    if scope.is_some() && role != pb::Role::Join {
        return Err(field("token.tenants", "is for ROLE_JOIN only"));
    }
    match (role, tenant) {
        (pb::Role::Unspecified, _) => Err(field("token.role", "is missing")),
        (pb::Role::Administrator, None) => Ok(Role::Administrator),
        (pb::Role::Join, None) => Ok(Role::Join(scope.unwrap_or_default())),
        (pb::Role::TenantAdministrator, Some(tenant)) => Ok(Role::TenantAdministrator(tenant)),
        (pb::Role::TenantViewer, Some(tenant)) => Ok(Role::TenantViewer(tenant)),
        (pb::Role::Administrator | pb::Role::Join, Some(_)) => {
            Err(field("parent", "is for a tenant's roles only"))
        }
        (pb::Role::TenantAdministrator | pb::Role::TenantViewer, None) => Err(field(
            "parent",
            "is missing: a tenant's role needs its tenant, as tenants/TENANT",
        )),
    }
}

fn timestamp(at: prost_types::Timestamp) -> Result<Timestamp, Status> {
    Timestamp::new(at.seconds, at.nanos).map_err(|_| field("token.expire_time", "is no time"))
}

#[tonic::async_trait]
impl Tokens for Service {
    async fn create_token(
        &self,
        request: Request<pb::CreateTokenRequest>,
    ) -> Result<Response<pb::CreateTokenResponse>, Status> {
        let (presented, request) = Presented::with(request);
        let target = match request.parent.as_str() {
            "" => format!("tokens/{}", request.token_id),
            parent => format!("{parent}/tokens/{}", request.token_id),
        };
        let call = Call::new("CreateToken", &target).because(&request.reason);
        let caller = self.trail.admit(&call, &presented).await?;
        let outcome = self.create(request, &caller).await;
        self.trail.record(call, &caller, outcome).await
    }

    async fn get_token(
        &self,
        request: Request<pb::GetTokenRequest>,
    ) -> Result<Response<pb::Token>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("GetToken", &request.name);
        let caller = self.trail.admit(&call, &presented).await?;
        let outcome = self.token(&request.name, &caller).await.map(Done::read);
        self.trail.record(call, &caller, outcome).await
    }

    async fn list_tokens(
        &self,
        request: Request<pb::ListTokensRequest>,
    ) -> Result<Response<pb::ListTokensResponse>, Status> {
        let (presented, request) = Presented::with(request);
        let target = match request.parent.as_str() {
            "" => "tokens".to_owned(),
            parent => format!("{parent}/tokens"),
        };
        let call = Call::new("ListTokens", &target);
        let caller = self.trail.admit(&call, &presented).await?;
        let outcome = self.tokens(request, &caller).await.map(Done::read);
        self.trail.record(call, &caller, outcome).await
    }

    async fn revoke_token(
        &self,
        request: Request<pb::RevokeTokenRequest>,
    ) -> Result<Response<pb::Token>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("RevokeToken", &request.name).because(&request.reason);
        let caller = self.trail.admit(&call, &presented).await?;
        let outcome = self.revoke(request, &caller).await;
        self.trail.record(call, &caller, outcome).await
    }
}
