//! The admin service: lets administrators and tenants in, does what they ask and may, and has every call recorded.

use std::sync::Arc;

use gateway_core::{Revision, TenantId};
use gateway_proto::admin::v1 as pb;
use gateway_proto::admin::v1::admin_server::Admin;
use tonic::{Request, Response, Status};

use super::admission::{Authority, Caller, Power, Presented};
use crate::store::TenantRecord;
use crate::{Change, ControlPlane, Removal, RevisionRecord, Rollback};

mod answer;
mod document;
mod names;
mod refusal;
mod tokens;
mod trail;

use answer::{applied, replica, revision, revision_with_document, tenant, tenant_with_document};
use names::{Page, etag, reason, required_tenant};
pub(super) use tokens::Service as TokenService;
use trail::{Call, Done, Trail};

/// How many a page has when nobody says, and at most. Revisions are read with their documents, and
/// replicas have every tenant, so that their pages are smaller.
const TENANTS: Page = Page {
    usual: 50,
    most: 1000,
};
const REVISIONS: Page = Page {
    usual: 50,
    most: 100,
};
const REPLICAS: Page = Page {
    usual: 10,
    most: 50,
};

pub(super) struct Service {
    control: ControlPlane,
    trail: Arc<Trail>,
}

/// What administrators call, with one record of all that they do.
pub(super) fn services(
    control: ControlPlane,
    authority: Arc<Authority>,
) -> (Service, TokenService) {
    let store = Arc::clone(&control.store);
    let trail = Arc::new(Trail::new(Arc::clone(&store), authority));
    let tokens = TokenService::new(store, Arc::clone(&trail));
    (Service { control, trail }, tokens)
}

impl Service {
    async fn tenant(&self, name: &str, caller: &Caller) -> Result<pb::Tenant, Status> {
        let name = required_tenant("name", name)?;
        caller.may(Power::Read, Some(&name), || refusal::no_tenant(&name))?;
        let store = &self.control.store;
        let current = store.document(&name).await.map_err(refusal::store)?;
        let current = current.ok_or_else(|| refusal::no_tenant(&name))?;
        let stored = store.revision(&name, current.revision).await;
        let stored = stored.map_err(refusal::store)?;
        tenant_with_document(&name, stored.ok_or_else(|| refusal::no_tenant(&name))?)
    }

    async fn tenants(
        &self,
        request: pb::ListTenantsRequest,
        caller: &Caller,
    ) -> Result<pb::ListTenantsResponse, Status> {
        let limit = TENANTS.limit(request.page_size)?;
        let after = names::after::<TenantId>(&request.page_token)?;
        if let Some(own) = caller.only_tenant() {
            return self.only(own, after.as_ref()).await;
        }
        // One more than asked for says whether there is another page.
        let found = self.control.store.tenants(after.as_ref(), limit + 1).await;
        let (found, more) = names::cut(found.map_err(refusal::store)?, limit);
        let next = |last: &TenantRecord| last.tenant.to_string();
        Ok(pb::ListTenantsResponse {
            next_page_token: found.last().filter(|_| more).map(next).unwrap_or_default(),
            tenants: found.into_iter().map(tenant).collect(),
        })
    }

    /// The page of a caller who sees one tenant.
    async fn only(
        &self,
        own: &TenantId,
        after: Option<&TenantId>,
    ) -> Result<pb::ListTenantsResponse, Status> {
        let found = match self.control.store.document(own).await {
            Ok(Some(current)) if after.is_none_or(|after| after < own) => {
                self.control.store.revision(own, current.revision).await
            }
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        };
        let found = found.map_err(refusal::store)?.map(|stored| TenantRecord {
            tenant: own.clone(),
            revision: stored.record.revision,
            created_at: stored.record.created_at,
            author: stored.record.author,
        });
        Ok(pb::ListTenantsResponse {
            tenants: found.into_iter().map(tenant).collect(),
            next_page_token: String::new(),
        })
    }

    async fn apply(
        &self,
        request: pb::ApplyTenantRequest,
        caller: Caller,
    ) -> Result<Done<pb::ApplyTenantResponse>, Status> {
        let (config, submitted) = document::read(request.document)?;
        if !request.name.is_empty() && required_tenant("name", &request.name)? != config.tenant {
            return Err(refusal::field(
                "name",
                format!("is not the tenant of the document, `{}`", config.tenant),
            ));
        }
        let tenant = &config.tenant;
        caller.may(Power::Change, Some(tenant), || refusal::no_tenant(tenant))?;
        let change = Change {
            config,
            submitted,
            must_exist: !caller.may_make_tenants(),
            author: caller.name,
            reason: reason(request.reason)?,
            expected: etag(&request.etag)?,
            validate_only: request.validate_only,
        };
        let made = self.control.apply(change).await.map_err(refusal::apply)?;
        let is_recorded = made.changed && !request.validate_only;
        Ok(Done::recorded_if(is_recorded, applied(made)))
    }

    async fn delete(
        &self,
        request: pb::DeleteTenantRequest,
        caller: Caller,
    ) -> Result<Done<()>, Status> {
        let tenant = required_tenant("name", &request.name)?;
        caller.may(Power::Govern, Some(&tenant), || refusal::no_tenant(&tenant))?;
        let removal = Removal {
            tenant: tenant.clone(),
            author: caller.name,
            reason: reason(request.reason)?,
            expected: etag(&request.etag)?,
        };
        match self.control.remove(removal).await.map_err(refusal::apply)? {
            true => Ok(Done::recorded_if(true, ())),
            false => Err(refusal::no_tenant(&tenant)),
        }
    }

    async fn roll_back(
        &self,
        request: pb::RollbackTenantRequest,
        caller: Caller,
    ) -> Result<Done<pb::RollbackTenantResponse>, Status> {
        let to = names::revision_number(request.revision)?;
        let tenant = required_tenant("name", &request.name)?;
        let missing = || refusal::no_revision(&tenant, to);
        caller.may(Power::Change, Some(&tenant), missing)?;
        let rollback = Rollback {
            tenant,
            to,
            must_exist: !caller.may_make_tenants(),
            author: caller.name,
            reason: reason(request.reason)?,
            expected: etag(&request.etag)?,
            validate_only: request.validate_only,
        };
        let made = self.control.roll_back(rollback).await;
        let made = made.map_err(refusal::apply)?;
        let is_recorded = made.changed && !request.validate_only;
        let pb::ApplyTenantResponse {
            revision,
            etag,
            changed,
            changes,
        } = applied(made);
        let response = pb::RollbackTenantResponse {
            revision,
            etag,
            changed,
            changes,
        };
        Ok(Done::recorded_if(is_recorded, response))
    }

    async fn revision(&self, name: &str, caller: &Caller) -> Result<pb::Revision, Status> {
        let (tenant, number) = names::revision("name", name)?;
        let missing = || refusal::no_revision(&tenant, number);
        caller.may(Power::Read, Some(&tenant), missing)?;
        let stored = self.control.store.revision(&tenant, number).await;
        let stored = stored.map_err(refusal::store)?;
        let stored = stored.ok_or_else(missing)?;
        revision_with_document(&tenant, stored)
    }

    async fn revisions(
        &self,
        request: pb::ListRevisionsRequest,
        caller: &Caller,
    ) -> Result<pb::ListRevisionsResponse, Status> {
        let tenant = required_tenant("parent", &request.parent)?;
        let limit = REVISIONS.limit(request.page_size)?;
        let before = names::after::<u64>(&request.page_token)?.map(Revision);
        caller.may(Power::Read, Some(&tenant), || refusal::no_tenant(&tenant))?;
        let found = self.control.revisions(&tenant, before, limit + 1).await;
        let found = found.map_err(refusal::store)?;
        if found.is_empty() && before.is_none() {
            return Err(refusal::no_tenant(&tenant));
        }
        let (found, more) = names::cut(found, limit);
        let next = |last: &RevisionRecord| last.revision.to_string();
        Ok(pb::ListRevisionsResponse {
            next_page_token: found.last().filter(|_| more).map(next).unwrap_or_default(),
            revisions: found
                .into_iter()
                .map(|record| revision(&tenant, record))
                .collect(),
        })
    }

    fn replicas(
        &self,
        request: &pb::ListReplicasRequest,
        caller: &Caller,
    ) -> Result<pb::ListReplicasResponse, Status> {
        let only = match request.tenant.as_str() {
            "" => caller.only_tenant().cloned(),
            name => Some(required_tenant("tenant", name)?),
        };
        if let Some(tenant) = &only {
            caller.may(Power::Read, Some(tenant), || refusal::no_tenant(tenant))?;
        }
        let limit = REPLICAS.limit(request.page_size)?;
        let after = &request.page_token;
        let found = self.control.replicas().into_iter();
        let found = found.filter(|status| after.is_empty() || status.replica > *after);
        let (found, more) = names::cut(found.take(limit as usize + 1).collect(), limit);
        Ok(pb::ListReplicasResponse {
            next_page_token: match found.last() {
                Some(last) if more => last.replica.clone(),
                _ => String::new(),
            },
            replicas: found
                .iter()
                .map(|status| replica(status, only.as_ref()))
                .collect(),
        })
    }
}

#[tonic::async_trait]
impl Admin for Service {
    async fn get_tenant(
        &self,
        request: Request<pb::GetTenantRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("GetTenant", &request.name);
        let caller = self.trail.admit(&call, &presented).await?;
        let outcome = self.tenant(&request.name, &caller).await.map(Done::read);
        self.trail.record(call, &caller, outcome).await
    }

    async fn list_tenants(
        &self,
        request: Request<pb::ListTenantsRequest>,
    ) -> Result<Response<pb::ListTenantsResponse>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("ListTenants", "tenants");
        let caller = self.trail.admit(&call, &presented).await?;
        let outcome = self.tenants(request, &caller).await.map(Done::read);
        self.trail.record(call, &caller, outcome).await
    }

    async fn apply_tenant(
        &self,
        request: Request<pb::ApplyTenantRequest>,
    ) -> Result<Response<pb::ApplyTenantResponse>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("ApplyTenant", &document::target(&request)).because(&request.reason);
        let caller = self.trail.admit(&call, &presented).await?;
        let outcome = self.apply(request, caller.clone()).await;
        self.trail.record(call, &caller, outcome).await
    }

    async fn delete_tenant(
        &self,
        request: Request<pb::DeleteTenantRequest>,
    ) -> Result<Response<()>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("DeleteTenant", &request.name).because(&request.reason);
        let caller = self.trail.admit(&call, &presented).await?;
        let outcome = self.delete(request, caller.clone()).await;
        self.trail.record(call, &caller, outcome).await
    }

    async fn rollback_tenant(
        &self,
        request: Request<pb::RollbackTenantRequest>,
    ) -> Result<Response<pb::RollbackTenantResponse>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("RollbackTenant", &request.name).because(&request.reason);
        let caller = self.trail.admit(&call, &presented).await?;
        let outcome = self.roll_back(request, caller.clone()).await;
        self.trail.record(call, &caller, outcome).await
    }

    async fn get_revision(
        &self,
        request: Request<pb::GetRevisionRequest>,
    ) -> Result<Response<pb::Revision>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("GetRevision", &request.name);
        let caller = self.trail.admit(&call, &presented).await?;
        let outcome = self.revision(&request.name, &caller).await.map(Done::read);
        self.trail.record(call, &caller, outcome).await
    }

    async fn list_revisions(
        &self,
        request: Request<pb::ListRevisionsRequest>,
    ) -> Result<Response<pb::ListRevisionsResponse>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("ListRevisions", &request.parent);
        let caller = self.trail.admit(&call, &presented).await?;
        let outcome = self.revisions(request, &caller).await.map(Done::read);
        self.trail.record(call, &caller, outcome).await
    }

    async fn list_replicas(
        &self,
        request: Request<pb::ListReplicasRequest>,
    ) -> Result<Response<pb::ListReplicasResponse>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("ListReplicas", "replicas");
        let caller = self.trail.admit(&call, &presented).await?;
        let outcome = self.replicas(&request, &caller).map(Done::read);
        self.trail.record(call, &caller, outcome).await
    }
}

#[cfg(test)]
mod tests;
