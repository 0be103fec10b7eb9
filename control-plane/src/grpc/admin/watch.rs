//! The stream of what becomes of a tenant.

use std::time::Duration;

use gateway_core::TenantId;
use gateway_proto::admin::v1 as pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::answer::{replica, tenant_without_document};
use super::names::required_tenant;
use super::trail::Done;
use super::{Service, refusal, rollouts};
use crate::ControlPlane;
use crate::grpc::admission::{Caller, Power};

/// A watcher that does not read is told the rest when it does.
const QUEUE: usize = 1;

/// So long answers of many replicas are gathered before they are told.
const GATHER: Duration = Duration::from_millis(50);

pub(super) type Stream = ReceiverStream<Result<pb::WatchTenantResponse, Status>>;

impl Service {
    /// Follows a tenant until the watcher goes, or the control plane stops.
    pub(super) async fn watch(&self, name: String, caller: Caller) -> Result<Done<Stream>, Status> {
        let tenant = required_tenant("name", &name)?;
        caller.may(Power::Read, Some(&tenant), || refusal::no_tenant(&tenant))?;
        if self.control.current_revision(&tenant).is_none() {
            return Err(refusal::no_tenant(&tenant));
        }
        let (told, stream) = mpsc::channel(QUEUE);
        let (control, stopping) = (self.control.clone(), self.stopping.clone());
        let authority = self.trail.authority();
        tokio::spawn(async move {
            let following = follow(&control, &tenant, &told);
            tokio::select! {
                () = following => {}
                () = told.closed() => {}
                status = authority.expelled(&caller) => {
                    told.send(Err(status)).await.ok();
                }
                () = stopping.cancelled() => {
                    let status = Status::unavailable("the control plane is stopping: watch again");
                    // Who has not read what came before need not hear of it.
                    told.try_send(Err(status)).ok();
                }
            }
        });
        Ok(Done::read(ReceiverStream::new(stream)))
    }
}

async fn follow(
    control: &ControlPlane,
    tenant: &TenantId,
    told: &mpsc::Sender<Result<pb::WatchTenantResponse, Status>>,
) {
    let mut changes = control.hub.changes();
    let mut last = None;
    loop {
        changes.mark_seen();
        let now = look(control, tenant).await;
        if now.as_ref().ok() != last.as_ref() {
            last = now.as_ref().ok().cloned();
            let failed = now.is_err();
            if told.send(now).await.is_err() || failed {
                return;
            }
        }
        changes.next().await;
        tokio::time::sleep(GATHER).await;
    }
}

async fn look(
    control: &ControlPlane,
    tenant: &TenantId,
) -> Result<pb::WatchTenantResponse, Status> {
    let found = match control.current_revision(tenant) {
        Some(revision) => control.store.revision(tenant, revision).await,
        None => Ok(None),
    };
    let found = found.map_err(refusal::store)?;
    let replicas = control.replicas();
    let rollout = rollouts::last(control, tenant).await?;
    Ok(pb::WatchTenantResponse {
        tenant: found.map(|stored| tenant_without_document(tenant, stored.record)),
        replicas: replicas
            .iter()
            .filter(|status| status.is_of(Some(tenant)))
            .map(|status| replica(status, Some(tenant)))
            .collect(),
        rollout,
    })
}
