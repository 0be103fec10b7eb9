//! The hosts service: gives host names to tenants, shows them and takes them away.

use std::collections::BTreeMap;

use gateway_core::{HostName, InvalidHostName, TenantId};
use gateway_proto::admin::v1 as pb;
use gateway_proto::admin::v1::hosts_server::Hosts;
use jiff::Timestamp;
use tonic::{Request, Response, Status};

use super::names::{self, Page, reason, required_tenant};
use super::refusal::{self, field};
use super::trail::{Call, Done};
use super::{Service, answer};
use crate::grpc::admission::{Caller, Power, Presented};
use crate::store::{AddHostError, HostRecord, HostRemoval, NewHost};

const HOSTS: Page = Page {
    usual: 50,
    most: 1000,
};

impl Service {
    async fn give_host(
        &self,
        request: pb::CreateHostRequest,
        caller: &Caller,
    ) -> Result<Done<pb::Host>, Status> {
        govern(caller)?;
        let host = host_name("host_id", &request.host_id)?;
        let tenant = request.host.unwrap_or_default().tenant;
        let record = HostRecord {
            host,
            tenant: required_tenant("host.tenant", &tenant)?,
            created_at: Timestamp::now(),
            author: caller.name.clone(),
        };
        let new = NewHost {
            record: record.clone(),
            reason: reason(request.reason)?,
        };
        match self.control.add_host(new).await {
            Ok(()) => {}
            Err(AddHostError::Exists) => {
                return Err(Status::already_exists(format!(
                    "the host name `{}` is given already: delete it first, or choose another one",
                    record.host
                )));
            }
            Err(AddHostError::Store(error)) => return Err(refusal::store(error)),
        }
        tracing::info!(host = %record.host, tenant.id = %record.tenant, "gave a host name");
        Ok(Done::recorded_if(true, answer::host(record)))
    }

    async fn hosts(
        &self,
        request: pb::ListHostsRequest,
        caller: &Caller,
    ) -> Result<pb::ListHostsResponse, Status> {
        let tenant = match request.tenant.as_str() {
            "" => caller.only_tenant().cloned(),
            name => {
                let tenant = required_tenant("tenant", name)?;
                caller.may(Power::Read, Some(&tenant), || refusal::no_tenant(&tenant))?;
                Some(tenant)
            }
        };
        let limit = HOSTS.limit(request.page_size)?;
        let after = names::after::<HostName>(&request.page_token)?;
        let store = &self.control.store;
        let found = store.hosts(tenant.as_ref(), after.as_ref(), limit + 1);
        let (found, more) = names::cut(found.await.map_err(refusal::store)?, limit);
        let last = found.last().filter(|_| more);
        Ok(pb::ListHostsResponse {
            next_page_token: last.map(|last| last.host.to_string()).unwrap_or_default(),
            hosts: found.into_iter().map(answer::host).collect(),
        })
    }

    async fn take_host(
        &self,
        request: pb::DeleteHostRequest,
        caller: &Caller,
    ) -> Result<Done<()>, Status> {
        govern(caller)?;
        let Some(host) = request.name.strip_prefix("hosts/") else {
            return Err(field("name", "is no name of a host: write hosts/HOST"));
        };
        let removal = HostRemoval {
            host: host_name("name", host)?,
            removed_at: Timestamp::now(),
            author: caller.name.clone(),
            reason: reason(request.reason)?,
        };
        let removed = self.control.remove_host(removal).await;
        match removed.map_err(refusal::store)? {
            Some(record) => {
                tracing::info!(host = %record.host, tenant.id = %record.tenant, "took a host name away");
                Ok(Done::recorded_if(true, ()))
            }
            None => Err(Status::not_found(format!("there is no host name `{host}`"))),
        }
    }

    /// The host names of a tenant, in their order.
    pub(super) fn host_names(&self, tenant: &TenantId) -> Vec<String> {
        let table = self.control.hub.hosts();
        let own = table.iter().filter(|(_, of)| *of == tenant);
        own.map(|(host, _)| host.to_string()).collect()
    }

    /// The same tenants with their host names.
    pub(super) fn with_host_names(&self, mut tenants: Vec<pb::Tenant>) -> Vec<pb::Tenant> {
        let table = self.control.hub.hosts();
        let mut names: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (host, of) in table.iter() {
            let of = names.entry(answer::tenant_name(of)).or_default();
            of.push(host.to_string());
        }
        for tenant in &mut tenants {
            tenant.host_names = names.remove(&tenant.name).unwrap_or_default();
        }
        tenants
    }
}

/// Asked before anything is looked up, so that nobody learns which names there are.
fn govern(caller: &Caller) -> Result<(), Status> {
    caller.may(Power::Govern, None, || {
        Status::permission_denied("host names are given and taken away by administrators")
    })
}

fn host_name(name: &str, text: &str) -> Result<HostName, Status> {
    text.parse()
        .map_err(|error: InvalidHostName| field(name, error.to_string()))
}

#[tonic::async_trait]
impl Hosts for Service {
    async fn create_host(
        &self,
        request: Request<pb::CreateHostRequest>,
    ) -> Result<Response<pb::Host>, Status> {
        let (presented, request) = Presented::with(request);
        let target = format!("hosts/{}", request.host_id);
        let call = Call::new("CreateHost", &target).because(&request.reason);
        let give = |caller| async move { self.give_host(request, &caller).await };
        self.run(&presented, call, give).await
    }

    async fn list_hosts(
        &self,
        request: Request<pb::ListHostsRequest>,
    ) -> Result<Response<pb::ListHostsResponse>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("ListHosts", "hosts");
        let list = |caller| async move { self.hosts(request, &caller).await.map(Done::read) };
        self.run(&presented, call, list).await
    }

    async fn delete_host(
        &self,
        request: Request<pb::DeleteHostRequest>,
    ) -> Result<Response<()>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("DeleteHost", &request.name).because(&request.reason);
        let take = |caller| async move { self.take_host(request, &caller).await };
        self.run(&presented, call, take).await
    }
}
