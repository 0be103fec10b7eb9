//! Watches a rollout.

use std::time::Duration;

use anyhow::anyhow;
use gateway_core::TenantId;
use gateway_proto::admin::v1 as pb;
use gateway_proto::admin::v1::rollout::Stage;
use tonic::Code;

use super::{names, stage_name};
use crate::admin::client::{Client, failure};
use crate::exit::{Failure, note};

/// Between two attempts at a control plane that went away.
const PAUSE: Duration = Duration::from_millis(200);

/// How far a rollout is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum Until {
    /// Until the canaries have the revision, or it is over or halted.
    Baking,
    /// Until it is over or halted.
    Over,
}

/// Follows the rollout of a revision, over the ends of connections, and says how it goes on.
pub(in crate::admin) async fn follow(
    client: &mut Client,
    tenant: &TenantId,
    revision: u64,
    until: Until,
) -> Result<pb::Rollout, Failure> {
    let request = pb::WatchTenantRequest {
        name: format!("tenants/{tenant}"),
    };
    let mut said = String::new();
    loop {
        let mut stream = match client.watch_tenant(request.clone()).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return Err(failure(&status)),
        };
        loop {
            let now = match stream.message().await {
                Ok(Some(now)) => now.rollout,
                Ok(None) => break,
                Err(status) if status.code() == Code::Unavailable => break,
                Err(status) => return Err(failure(&status)),
            };
            let Some(now) = now.filter(|now| now.revision == revision) else {
                return Err(Failure::Failed(anyhow!(
                    "{tenant}: another change came before revision {revision} was rolled out"
                )));
            };
            let text = text(&now);
            if text != said {
                note(&format!("{tenant}: revision {revision}: {text}"));
                said = text;
            }
            let is_baking = now.bake_start_time.is_some() && until == Until::Baking;
            if now.stage() != Stage::Canary || is_baking {
                return Ok(now);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn text(now: &pb::Rollout) -> String {
    let stage = stage_name(now.stage());
    let canaries = names(now).join(", ");
    match (now.stage(), canaries.as_str()) {
        (Stage::Canary, "") => "waits for a data plane".to_owned(),
        (Stage::Canary, _) if now.bake_start_time.is_none() => {
            format!("waits for {canaries}")
        }
        (Stage::Canary, _) => format!("bakes on {canaries}"),
        _ if now.reason.is_empty() => stage.to_owned(),
        _ => format!("{stage}: {}", now.reason),
    }
}
