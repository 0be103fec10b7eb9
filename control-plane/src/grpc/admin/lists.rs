//! The lists of the admin service, in pages.

use gateway_core::{Revision, TenantId};
use gateway_proto::admin::v1 as pb;
use tonic::Status;

use super::answer::{replica, revision, tenant, tenant_without_document};
use super::names::{self, Page, required_tenant};
use super::query::{Asked, Query};
use super::{Service, refusal};
use crate::grpc::admission::{Caller, Power};
use crate::store::TenantRecord;

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

impl Service {
    pub(super) async fn tenants(
        &self,
        request: pb::ListTenantsRequest,
        caller: &Caller,
    ) -> Result<pb::ListTenantsResponse, Status> {
        let limit = TENANTS.limit(request.page_size)?;
        let asked = Asked {
            filter: &request.filter,
            order_by: &request.order_by,
            page_token: &request.page_token,
        };
        let store = &self.control.store;
        let (tenants, next_page_token) = if let Some(own) = caller.only_tenant() {
            self.only(own, asked).await?
        } else if asked.is_plain() {
            let after = names::after::<TenantId>(&request.page_token)?;
            // One more than asked for says whether there is another page.
            let found = store.tenants(after.as_ref(), limit + 1).await;
            let (found, more) = names::cut(found.map_err(refusal::store)?, limit);
            let last = found.last().filter(|_| more);
            let next = last.map(|last| last.tenant.to_string());
            let tenants = self.with_host_names(found.into_iter().map(tenant).collect());
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
            let all = self.with_host_names(all.into_iter().map(tenant).collect());
            query.page(all, limit)?
        };
        Ok(pb::ListTenantsResponse {
            tenants,
            next_page_token,
        })
    }

    /// The page of a caller who sees one tenant.
    async fn only(
        &self,
        own: &TenantId,
        asked: Asked<'_>,
    ) -> Result<(Vec<pb::Tenant>, String), Status> {
        let found = self.current(own).await?;
        let found = found.map(|stored| pb::Tenant {
            host_names: self.host_names(own),
            ..tenant_without_document(own, stored.record)
        });
        if !asked.is_plain() {
            let query = Query::read::<pb::Tenant>("tenants", asked)?;
            return query.page(found.into_iter().collect(), 1);
        }
        let after = names::after::<TenantId>(asked.page_token)?;
        let is_behind = after.is_none_or(|after| after < *own);
        let found = found.filter(|_| is_behind);
        Ok((found.into_iter().collect(), String::new()))
    }

    pub(super) async fn revisions(
        &self,
        request: pb::ListRevisionsRequest,
        caller: &Caller,
    ) -> Result<pb::ListRevisionsResponse, Status> {
        let tenant = required_tenant("parent", &request.parent)?;
        let limit = REVISIONS.limit(request.page_size)?;
        caller.may(Power::Read, Some(&tenant), || refusal::no_tenant(&tenant))?;
        let asked = Asked {
            filter: &request.filter,
            order_by: &request.order_by,
            page_token: &request.page_token,
        };
        let (revisions, next_page_token) = if asked.is_plain() {
            let before = names::after::<u64>(&request.page_token)?.map(Revision);
            let found = self.some_revisions(&tenant, before, limit + 1).await?;
            let (found, more) = names::cut(found, limit);
            let last = found.last().filter(|_| more);
            let next = last.map(|last| last.revision.to_string());
            (found, next.unwrap_or_default())
        } else {
            let query = Query::read::<pb::Revision>(&request.parent, asked)?;
            let mut all = self.some_revisions(&tenant, None, REVISIONS.most).await?;
            while let Some(last) = all.last().filter(|last| last.revision > 1) {
                let before = Revision(last.revision);
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
        before: Option<Revision>,
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

    pub(super) fn replicas(
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
        let asked = Asked {
            filter: &request.filter,
            order_by: &request.order_by,
            page_token: &request.page_token,
        };
        let query = Query::read::<pb::Replica>(&request.tenant, asked)?;
        let found = self.control.replicas();
        let found = found.iter().filter(|status| status.is_of(only.as_ref()));
        let found = found.map(|status| replica(status, only.as_ref()));
        let (replicas, next_page_token) = query.page(found.collect(), limit)?;
        Ok(pb::ListReplicasResponse {
            replicas,
            next_page_token,
        })
    }
}
