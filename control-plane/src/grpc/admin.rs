//! The admin service: lets administrators in, does what they ask, and has every call recorded.

use std::sync::Arc;

use gateway_core::TenantId;
use gateway_proto::admin::v1 as pb;
use gateway_proto::admin::v1::admin_server::Admin;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::admission::Administrator;
use crate::store::{RequestRecord, TenantRecord};
use crate::token::Tokens;
use crate::{Applied, ApplyError, Change, ControlPlane, Removal, Rollback};

mod answer;
mod document;
mod fields;
mod names;
mod query;
mod refusal;
mod replay;
mod resources;
mod trail;
mod watch;

use answer::{applied, replica, revision, revision_with_document, tenant, tenant_with_document};
use names::{Page, etag, reason, required_tenant};
use query::{Asked, Query};
use replay::Asking;
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
    trail: Trail,
    /// Ends the streams of those who watch.
    stopping: CancellationToken,
}

impl Service {
    pub(super) fn new(
        control: ControlPlane,
        tokens: Arc<Tokens>,
        stopping: CancellationToken,
    ) -> Self {
        let trail = Trail::new(Arc::clone(&control.store), tokens);
        Self {
            control,
            trail,
            stopping,
        }
    }

    async fn tenant(&self, name: &str) -> Result<pb::Tenant, Status> {
        let name = required_tenant("name", name)?;
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
    ) -> Result<pb::ListTenantsResponse, Status> {
        let limit = TENANTS.limit(request.page_size)?;
        let asked = Asked {
            filter: &request.filter,
            order_by: &request.order_by,
            page_token: &request.page_token,
        };
        let store = &self.control.store;
        let (tenants, next_page_token) = if asked.is_plain() {
            let after = names::after::<TenantId>(&request.page_token)?;
            // One more than asked for says whether there is another page.
            let found = store.tenants(after.as_ref(), limit + 1).await;
            let (found, more) = names::cut(found.map_err(refusal::store)?, limit);
            let last = found.last().filter(|_| more);
            let next = last.map(|last| last.tenant.to_string());
            let tenants = found.into_iter().map(tenant).collect();
            (tenants, next.unwrap_or_default())
        } else {
            let query = Query::read::<pb::Tenant>("tenants", asked)?;
            let mut all = Vec::new();
            loop {
                let last = all.last().map(|last: &TenantRecord| last.tenant.clone());
                let found = store.tenants(last.as_ref(), TENANTS.most).await;
                let found = found.map_err(refusal::store)?;
                if found.is_empty() {
                    break;
                }
                all.extend(found);
            }
            query.page(all.into_iter().map(tenant).collect(), limit)?
        };
        Ok(pb::ListTenantsResponse {
            tenants,
            next_page_token,
        })
    }

    async fn apply(
        &self,
        request: pb::ApplyTenantRequest,
        caller: Administrator,
    ) -> Result<Done<pb::ApplyTenantResponse>, Status> {
        let asking = Asking::of("ApplyTenant", &request, &request.request_id);
        let (config, submitted) = document::read(request.document)?;
        if !request.name.is_empty() && required_tenant("name", &request.name)? != config.tenant {
            return Err(refusal::field(
                "name",
                format!("is not the tenant of the document, `{}`", config.tenant),
            ));
        }
        let change = Change {
            config,
            submitted,
            author: caller.0,
            reason: reason(request.reason)?,
            expected: etag(&request.etag)?,
            validate_only: request.validate_only,
        };
        let again = match request.validate_only {
            true => None,
            false => asking.record(&change.author)?,
        };
        let tenant = change.config.tenant.clone();
        let apply = |request| self.control.apply_once(change, request);
        let (made, is_new) = self.once(&tenant, again, apply).await?;
        let is_recorded = is_new && made.changed && !request.validate_only;
        Ok(Done::recorded_if(is_recorded, applied(made)))
    }

    async fn delete(
        &self,
        request: pb::DeleteTenantRequest,
        caller: Administrator,
    ) -> Result<Done<()>, Status> {
        let asking = Asking::of("DeleteTenant", &request, &request.request_id);
        let tenant = required_tenant("name", &request.name)?;
        let again = asking.record(&caller.0)?;
        let store = self.control.store.as_ref();
        if replay::answered(store, again.as_ref()).await?.is_some() {
            return Ok(Done::read(()));
        }
        let removal = Removal {
            tenant: tenant.clone(),
            author: caller.0,
            reason: reason(request.reason)?,
            expected: etag(&request.etag)?,
        };
        match self.control.remove_once(removal, again).await {
            Ok(true) => Ok(Done::recorded_if(true, ())),
            Ok(false) => Err(refusal::no_tenant(&tenant)),
            // The same request came in between.
            Err(ApplyError::Repeated) => Ok(Done::read(())),
            Err(error) => Err(refusal::apply(error)),
        }
    }

    async fn roll_back(
        &self,
        request: pb::RollbackTenantRequest,
        caller: Administrator,
    ) -> Result<Done<pb::RollbackTenantResponse>, Status> {
        let asking = Asking::of("RollbackTenant", &request, &request.request_id);
        let to = names::revision_number(request.revision)?;
        let rollback = Rollback {
            tenant: required_tenant("name", &request.name)?,
            to,
            author: caller.0,
            reason: reason(request.reason)?,
            expected: etag(&request.etag)?,
            validate_only: request.validate_only,
        };
        let again = match request.validate_only {
            true => None,
            false => asking.record(&rollback.author)?,
        };
        let tenant = rollback.tenant.clone();
        let roll_back = |request| self.control.roll_back_once(rollback, request);
        let (made, is_new) = self.once(&tenant, again, roll_back).await?;
        let is_recorded = is_new && made.changed && !request.validate_only;
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

    async fn revision(&self, name: &str) -> Result<pb::Revision, Status> {
        let (tenant, number) = names::revision("name", name)?;
        let stored = self.control.store.revision(&tenant, number).await;
        let stored = stored.map_err(refusal::store)?;
        let stored = stored.ok_or_else(|| refusal::no_revision(&tenant, number))?;
        revision_with_document(&tenant, stored)
    }

    async fn revisions(
        &self,
        request: pb::ListRevisionsRequest,
    ) -> Result<pb::ListRevisionsResponse, Status> {
        let tenant = required_tenant("parent", &request.parent)?;
        let limit = REVISIONS.limit(request.page_size)?;
        let asked = Asked {
            filter: &request.filter,
            order_by: &request.order_by,
            page_token: &request.page_token,
        };
        let (revisions, next_page_token) = if asked.is_plain() {
            let before = names::after::<u64>(&request.page_token)?.map(gateway_core::Revision);
            let found = self.some_revisions(&tenant, before, limit + 1).await?;
            let (found, more) = names::cut(found, limit);
            let last = found.last().filter(|_| more);
            let next = last.map(|last| last.revision.to_string());
            (found, next.unwrap_or_default())
        } else {
            let query = Query::read::<pb::Revision>(&request.parent, asked)?;
            let mut all = self.some_revisions(&tenant, None, REVISIONS.most).await?;
            while let Some(last) = all.last().filter(|last| last.revision > 1) {
                let before = gateway_core::Revision(last.revision);
                let found = self.some_revisions(&tenant, Some(before), REVISIONS.most);
                all.extend(found.await?);
            }
            query.page(all, limit)?
        };
        Ok(pb::ListRevisionsResponse {
            revisions,
            next_page_token,
        })
    }

    /// Some of a tenant's revisions, newest first. A tenant that never was has none, which is an
    /// error.
    async fn some_revisions(
        &self,
        tenant: &TenantId,
        before: Option<gateway_core::Revision>,
        limit: u32,
    ) -> Result<Vec<pb::Revision>, Status> {
        let found = self.control.revisions(tenant, before, limit).await;
        let found = found.map_err(refusal::store)?;
        if found.is_empty() && before.is_none() {
            return Err(refusal::no_tenant(tenant));
        }
        let found = found.into_iter();
        Ok(found.map(|record| revision(tenant, record)).collect())
    }

    fn replicas(
        &self,
        request: &pb::ListReplicasRequest,
    ) -> Result<pb::ListReplicasResponse, Status> {
        let only = match request.tenant.as_str() {
            "" => None,
            name => Some(required_tenant("tenant", name)?),
        };
        let limit = REPLICAS.limit(request.page_size)?;
        let asked = Asked {
            filter: &request.filter,
            order_by: &request.order_by,
            page_token: &request.page_token,
        };
        let query = Query::read::<pb::Replica>(&request.tenant, asked)?;
        let found = self.control.replicas();
        let found = found.iter().map(|status| replica(status, only.as_ref()));
        let (replicas, next_page_token) = query.page(found.collect(), limit)?;
        Ok(pb::ListReplicasResponse {
            replicas,
            next_page_token,
        })
    }

    /// Makes a change, unless the same request has made it before: then it is told how. Says whether
    /// it was made now.
    async fn once<F>(
        &self,
        tenant: &TenantId,
        request: Option<RequestRecord>,
        work: impl FnOnce(Option<RequestRecord>) -> F,
    ) -> Result<(Applied, bool), Status>
    where
        F: Future<Output = Result<Applied, ApplyError>>,
    {
        let store = self.control.store.as_ref();
        let mut answered = replay::answered(store, request.as_ref()).await?;
        if answered.is_none() {
            match Box::pin(work(request.clone())).await {
                Ok(applied) => return Ok((applied, true)),
                // The same request came in between.
                Err(ApplyError::Repeated) => {
                    answered = replay::answered(store, request.as_ref()).await?;
                }
                Err(error) => return Err(refusal::apply(error)),
            }
        }
        let answered = answered.ok_or_else(|| refusal::apply(ApplyError::Repeated))?;
        let applied = self.control.applied_before(tenant, &answered).await;
        Ok((applied.map_err(refusal::store)?, false))
    }

    /// Lets a caller in, does what it asks, and records both.
    async fn run<T, F>(
        &self,
        metadata: &MetadataMap,
        call: Call,
        work: impl FnOnce(Administrator) -> F,
    ) -> Result<Response<T>, Status>
    where
        F: Future<Output = Result<Done<T>, Status>>,
    {
        let caller = self.trail.admit(&call, metadata).await?;
        let outcome = Box::pin(work(caller.clone())).await;
        self.trail.record(call, &caller, outcome).await
    }
}

#[tonic::async_trait]
impl Admin for Service {
    type WatchTenantStream = watch::Stream;

    async fn watch_tenant(
        &self,
        request: Request<pb::WatchTenantRequest>,
    ) -> Result<Response<watch::Stream>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new("WatchTenant", &request.name);
        self.run(&metadata, call, |_| self.watch(request.name))
            .await
    }

    async fn get_tenant(
        &self,
        request: Request<pb::GetTenantRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new("GetTenant", &request.name);
        let caller = self.trail.admit(&call, &metadata).await?;
        let outcome = self.tenant(&request.name).await.map(Done::read);
        self.trail.record(call, &caller, outcome).await
    }

    async fn list_tenants(
        &self,
        request: Request<pb::ListTenantsRequest>,
    ) -> Result<Response<pb::ListTenantsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new("ListTenants", "tenants");
        let caller = self.trail.admit(&call, &metadata).await?;
        let outcome = self.tenants(request).await.map(Done::read);
        self.trail.record(call, &caller, outcome).await
    }

    async fn apply_tenant(
        &self,
        request: Request<pb::ApplyTenantRequest>,
    ) -> Result<Response<pb::ApplyTenantResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new("ApplyTenant", &document::target(&request)).because(&request.reason);
        let caller = self.trail.admit(&call, &metadata).await?;
        let outcome = Box::pin(self.apply(request, caller.clone())).await;
        self.trail.record(call, &caller, outcome).await
    }

    async fn delete_tenant(
        &self,
        request: Request<pb::DeleteTenantRequest>,
    ) -> Result<Response<()>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new("DeleteTenant", &request.name).because(&request.reason);
        let caller = self.trail.admit(&call, &metadata).await?;
        let outcome = self.delete(request, caller.clone()).await;
        self.trail.record(call, &caller, outcome).await
    }

    async fn rollback_tenant(
        &self,
        request: Request<pb::RollbackTenantRequest>,
    ) -> Result<Response<pb::RollbackTenantResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new("RollbackTenant", &request.name).because(&request.reason);
        let caller = self.trail.admit(&call, &metadata).await?;
        let outcome = self.roll_back(request, caller.clone()).await;
        self.trail.record(call, &caller, outcome).await
    }

    async fn get_revision(
        &self,
        request: Request<pb::GetRevisionRequest>,
    ) -> Result<Response<pb::Revision>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new("GetRevision", &request.name);
        let caller = self.trail.admit(&call, &metadata).await?;
        let outcome = self.revision(&request.name).await.map(Done::read);
        self.trail.record(call, &caller, outcome).await
    }

    async fn list_revisions(
        &self,
        request: Request<pb::ListRevisionsRequest>,
    ) -> Result<Response<pb::ListRevisionsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new("ListRevisions", &request.parent);
        let caller = self.trail.admit(&call, &metadata).await?;
        let outcome = self.revisions(request).await.map(Done::read);
        self.trail.record(call, &caller, outcome).await
    }

    async fn list_replicas(
        &self,
        request: Request<pb::ListReplicasRequest>,
    ) -> Result<Response<pb::ListReplicasResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new("ListReplicas", "replicas");
        let caller = self.trail.admit(&call, &metadata).await?;
        let outcome = self.replicas(&request).map(Done::read);
        self.trail.record(call, &caller, outcome).await
    }
}

#[cfg(test)]
mod tests;
