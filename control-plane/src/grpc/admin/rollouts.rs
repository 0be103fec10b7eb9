//! Rollouts, as administrators see them and decide about them.

use std::time::Duration;

use gateway_core::TenantId;
use gateway_proto::admin::v1 as pb;
use tonic::Status;

use super::Service;
use super::answer::{tenant_name, timestamp};
use super::names::{self, Page, required_tenant};
use super::query::{Asked, Query};
use super::refusal::{self, field};
use super::trail::Done;
use crate::grpc::admission::{Caller, Power};
use crate::rollout::{Plan, Rollout, Stage, Tally};
use crate::{ControlPlane, Decision};

const ROLLOUTS: Page = Page {
    usual: 50,
    most: 1000,
};

/// How a change is to be rolled out; `None`: to all replicas at once.
pub(super) fn plan(canary: Option<&pb::Canary>) -> Result<Option<Plan>, Status> {
    let Some(canary) = canary else {
        return Ok(None);
    };
    let bake = canary.bake.as_ref().map_or(Ok(Duration::ZERO), |bake| {
        Duration::try_from(*bake).map_err(|_| field("canary.bake", "is no duration from now on"))
    });
    Ok(Some(Plan {
        share: canary.share,
        bake: bake?,
        max_error_rate: canary.max_error_rate.unwrap_or(Plan::MAX_ERROR_RATE),
    }))
}

/// The tenant of `tenants/TENANT/rollout`.
fn tenant_of(name: &str) -> Result<TenantId, Status> {
    match name.strip_suffix("/rollout") {
        Some(tenant) => required_tenant("name", tenant),
        None => {
            let form = "is no name of a rollout: write tenants/TENANT/rollout";
            Err(field("name", form))
        }
    }
}

fn no_rollout(tenant: &TenantId) -> Status {
    Status::not_found(format!("tenant {tenant} has no rollout"))
}

impl Service {
    pub(super) async fn rollout(&self, name: &str, caller: &Caller) -> Result<pb::Rollout, Status> {
        let tenant = tenant_of(name)?;
        caller.may(Power::Read, Some(&tenant), || no_rollout(&tenant))?;
        let found = last(&self.control, &tenant).await?;
        found.ok_or_else(|| no_rollout(&tenant))
    }

    pub(super) async fn rollouts(
        &self,
        request: pb::ListRolloutsRequest,
        caller: &Caller,
    ) -> Result<pb::ListRolloutsResponse, Status> {
        let limit = ROLLOUTS.limit(request.page_size)?;
        let asked = Asked {
            filter: &request.filter,
            order_by: &request.order_by,
            page_token: &request.page_token,
        };
        let query = Query::read::<pb::Rollout>("rollouts", asked)?;
        let found = self.control.store.active_rollouts().await;
        let found = found.map_err(refusal::store)?.into_iter();
        let own = caller.only_tenant();
        let found = found.filter(|found| own.is_none_or(|own| *own == found.tenant));
        let found = found.map(|found| message(&self.control, found));
        let (rollouts, next_page_token) = query.page(found.collect(), limit)?;
        Ok(pb::ListRolloutsResponse {
            rollouts,
            next_page_token,
        })
    }

    pub(super) async fn resume(
        &self,
        request: pb::ResumeRolloutRequest,
        caller: Caller,
    ) -> Result<Done<pb::Rollout>, Status> {
        let decision = decision(&request.name, request.reason, &caller)?;
        let resumed = self.control.resume(decision).await;
        let resumed = resumed.map_err(refusal::apply)?;
        Ok(Done::recorded_if(true, message(&self.control, resumed)))
    }

    pub(super) async fn abort(
        &self,
        request: pb::AbortRolloutRequest,
        caller: Caller,
    ) -> Result<Done<pb::Rollout>, Status> {
        let decision = decision(&request.name, request.reason, &caller)?;
        let tenant = decision.tenant.clone();
        let found = self.control.store.rollout(&tenant).await;
        let found = found.map_err(refusal::store)?;
        if found.is_some_and(|found| found.stage.is_active() && found.stable.is_none()) {
            // What was new goes.
            caller.may(Power::Govern, Some(&tenant), || no_rollout(&tenant))?;
        }
        self.control.abort(decision).await.map_err(refusal::apply)?;
        let now = last(&self.control, &tenant).await?;
        let now = now.ok_or_else(|| no_rollout(&tenant))?;
        Ok(Done::recorded_if(true, now))
    }
}

fn decision(name: &str, reason: String, caller: &Caller) -> Result<Decision, Status> {
    let tenant = tenant_of(name)?;
    caller.may(Power::Change, Some(&tenant), || no_rollout(&tenant))?;
    Ok(Decision {
        tenant,
        author: caller.name.clone(),
        reason: names::reason(reason)?,
    })
}

/// A tenant's last rollout.
pub(super) async fn last(
    control: &ControlPlane,
    tenant: &TenantId,
) -> Result<Option<pb::Rollout>, Status> {
    let found = control.store.rollout(tenant).await;
    let found = found.map_err(refusal::store)?;
    Ok(found.map(|found| message(control, found)))
}

fn message(control: &ControlPlane, rollout: Rollout) -> pb::Rollout {
    let Tally { requests, errors } = match rollout.stage {
        Stage::Canary => control.hub.tally(&rollout),
        _ => Tally::default(),
    };
    let Plan {
        share,
        bake,
        max_error_rate,
    } = rollout.plan;
    let canary = pb::Canary {
        share,
        bake: prost_types::Duration::try_from(bake).ok(),
        max_error_rate: Some(max_error_rate),
    };
    let stage = match rollout.stage {
        Stage::Canary => pb::rollout::Stage::Canary,
        Stage::Halted => pb::rollout::Stage::Halted,
        Stage::Complete => pb::rollout::Stage::Complete,
        Stage::Aborted => pb::rollout::Stage::Aborted,
        Stage::Superseded => pb::rollout::Stage::Superseded,
    };
    let replicas = rollout.canaries.iter();
    pb::Rollout {
        name: format!("{}/rollout", tenant_name(&rollout.tenant)),
        revision: rollout.revision.0,
        stable_revision: rollout.stable.unwrap_or_default().0,
        canary: Some(canary),
        stage: stage.into(),
        replicas: replicas.map(|name| format!("replicas/{name}")).collect(),
        reason: rollout.reason,
        requests,
        errors,
        author: rollout.author,
        create_time: Some(timestamp(rollout.created_at)),
        update_time: Some(timestamp(rollout.updated_at)),
        bake_start_time: rollout.baking_since.map(timestamp),
    }
}
