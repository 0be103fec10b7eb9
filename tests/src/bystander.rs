//! A well-behaved client that goes on calling while others misbehave, and is to notice nothing of it.

use std::future::Future;

use anyhow::Context as _;
use serde_json::json;

use crate::gateway::Gateway;
use crate::processes;
use crate::session::{Era, Session};

/// Runs a case while clients of both eras call `tool`, which echoes, at the endpoint `path`: as often
/// as they get answers, from before the case begins until it is over. One call that fails is a failure.
pub async fn beside<T>(
    gateway: &Gateway,
    path: &str,
    tool: &str,
    case: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let url = gateway.url(path);
    let mut sessions = Vec::new();
    for era in Era::BOTH {
        let session = Session::open(era, &url).await?;
        session.wait_for_tool(tool).await?;
        sessions.push(session);
    }
    let call = async |number: u64| -> anyhow::Result<()> {
        let arguments = json!({ "number": number });
        let expected = arguments.to_string();
        for session in &sessions {
            let text = session.call_text(tool, arguments.clone()).await;
            let text = text.context("another client's call failed")?;
            anyhow::ensure!(
                text == expected,
                "another client's call number {number} was answered {text:?}"
            );
        }
        Ok(())
    };
    call(0).await?;
    let calling = async {
        let mut number = 1;
        loop {
            call(number).await?;
            number += 1;
        }
    };
    let outcome = tokio::select! {
        outcome = case => outcome?,
        failed = calling => return failed,
    };
    call(u64::MAX).await?;
    Ok(outcome)
}

/// Runs a case and tells by how many bytes the most memory that the gateway ever had in use has grown.
pub async fn growth(
    gateway: &Gateway,
    case: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<u64> {
    let before = processes::peak_memory(gateway.process_id())?;
    case.await?;
    let after = processes::peak_memory(gateway.process_id())?;
    Ok(after.saturating_sub(before))
}
