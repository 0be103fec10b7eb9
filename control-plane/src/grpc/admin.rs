//! The admin service: lets administrators and tenants in, does what they ask and may, and has every call recorded.

use std::sync::Arc;

use gateway_core::TenantId;
use gateway_proto::admin::v1 as pb;
use gateway_proto::admin::v1::admin_server::Admin;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::admission::{Authority, Caller, Power, Presented};
use crate::store::{RequestRecord, StoredRevision};
use crate::{Applied, ApplyError, Change, ControlPlane, Removal, Rollback};

mod answer;
mod document;
mod fields;
mod hosts;
mod lists;
mod names;
mod query;
mod refusal;
mod replay;
mod resources;
mod rollouts;
pub(super) mod strict;
mod tokens;
mod trail;
mod watch;

use answer::{applied, revision_with_document, tenant_with_document};
use names::{etag, reason, required_tenant};
use replay::Asking;
pub(super) use tokens::Service as TokenService;
use trail::{Call, Done, Trail};

pub(super) struct Service {
    control: ControlPlane,
    trail: Arc<Trail>,
    /// Ends the streams of those who watch.
    stopping: CancellationToken,
}

/// What administrators call, with one record of all that they do.
pub(super) fn services(
    control: ControlPlane,
    authority: Arc<Authority>,
    stopping: CancellationToken,
) -> (Service, TokenService) {
    let store = Arc::clone(&control.store);
    let trail = Arc::new(Trail::new(Arc::clone(&store), authority));
    let tokens = TokenService::new(store, Arc::clone(&trail));
    let service = Service {
        control,
        trail,
        stopping,
    };
    (service, tokens)
}

impl Service {
    async fn tenant(&self, name: &str, caller: &Caller) -> Result<pb::Tenant, Status> {
        let name = required_tenant("name", name)?;
        caller.may(Power::Read, Some(&name), || refusal::no_tenant(&name))?;
        let current = self.current(&name).await?;
        let current = current.ok_or_else(|| refusal::no_tenant(&name))?;
        Ok(pb::Tenant {
            host_names: self.host_names(&name),
            ..tenant_with_document(&name, current)?
        })
    }

    /// A tenant's current revision, if it has one.
    async fn current(&self, tenant: &TenantId) -> Result<Option<StoredRevision>, Status> {
        let store = &self.control.store;
        let current = store.document(tenant).await.map_err(refusal::store)?;
        let Some(current) = current else {
            return Ok(None);
        };
        let stored = store.revision(tenant, current.revision).await;
        stored.map_err(refusal::store)
    }

    async fn apply(
        &self,
        request: pb::ApplyTenantRequest,
        caller: Caller,
    ) -> Result<Done<pb::ApplyTenantResponse>, Status> {
        let asking = Asking::of("ApplyTenant", &request, &request.request_id);
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
            canary: rollouts::plan(request.canary.as_ref())?,
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
        caller: Caller,
    ) -> Result<Done<()>, Status> {
        let asking = Asking::of("DeleteTenant", &request, &request.request_id);
        let tenant = required_tenant("name", &request.name)?;
        caller.may(Power::Govern, Some(&tenant), || refusal::no_tenant(&tenant))?;
        let again = asking.record(&caller.name)?;
        let store = self.control.store.as_ref();
        if replay::answered(store, again.as_ref()).await?.is_some() {
            return Ok(Done::read(()));
        }
        let removal = Removal {
            tenant: tenant.clone(),
            author: caller.name,
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
        caller: Caller,
    ) -> Result<Done<pb::RollbackTenantResponse>, Status> {
        let asking = Asking::of("RollbackTenant", &request, &request.request_id);
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
            canary: rollouts::plan(request.canary.as_ref())?,
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

    async fn revision(&self, name: &str, caller: &Caller) -> Result<pb::Revision, Status> {
        let (tenant, number) = names::revision("name", name)?;
        let missing = || refusal::no_revision(&tenant, number);
        caller.may(Power::Read, Some(&tenant), missing)?;
        let stored = self.control.store.revision(&tenant, number).await;
        let stored = stored.map_err(refusal::store)?;
        let stored = stored.ok_or_else(missing)?;
        revision_with_document(&tenant, stored)
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
        presented: &Presented,
        call: Call,
        work: impl FnOnce(Caller) -> F,
    ) -> Result<Response<T>, Status>
    where
        F: Future<Output = Result<Done<T>, Status>>,
    {
        let caller = self.trail.admit(&call, presented).await?;
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
        let (presented, request) = Presented::with(request);
        let call = Call::new("WatchTenant", &request.name);
        let watch = |caller| self.watch(request.name, caller);
        self.run(&presented, call, watch).await
    }

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
        let outcome = Box::pin(self.apply(request, caller.clone())).await;
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

    async fn get_rollout(
        &self,
        request: Request<pb::GetRolloutRequest>,
    ) -> Result<Response<pb::Rollout>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("GetRollout", &request.name);
        let caller = self.trail.admit(&call, &presented).await?;
        let outcome = self.rollout(&request.name, &caller).await.map(Done::read);
        self.trail.record(call, &caller, outcome).await
    }

    async fn list_rollouts(
        &self,
        request: Request<pb::ListRolloutsRequest>,
    ) -> Result<Response<pb::ListRolloutsResponse>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("ListRollouts", "rollouts");
        let caller = self.trail.admit(&call, &presented).await?;
        let outcome = self.rollouts(request, &caller).await.map(Done::read);
        self.trail.record(call, &caller, outcome).await
    }

    async fn resume_rollout(
        &self,
        request: Request<pb::ResumeRolloutRequest>,
    ) -> Result<Response<pb::Rollout>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("ResumeRollout", &request.name).because(&request.reason);
        let resume = |caller| self.resume(request, caller);
        self.run(&presented, call, resume).await
    }

    async fn abort_rollout(
        &self,
        request: Request<pb::AbortRolloutRequest>,
    ) -> Result<Response<pb::Rollout>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("AbortRollout", &request.name).because(&request.reason);
        let abort = |caller| self.abort(request, caller);
        self.run(&presented, call, abort).await
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
