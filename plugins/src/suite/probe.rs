//! How the suites call an implementation: with which context, late, dropped halfway, many at once.

use std::error::Error;
use std::fmt::Write;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::poll_immediate;
use gateway_core::{CallContext, Deadline, ErrorKind, PluginError, RequestId, TenantId, UserId};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::report::{Outcome, Unmet, failed};

/// How many calls a case makes at once.
pub(super) const CROWD: usize = 32;

/// What a call in time may take.
const TIME: Duration = Duration::from_secs(20);

/// How far behind its deadline a call may return.
const GRACE: Duration = Duration::from_secs(2);

/// A text that no answer, error or log may repeat when it was part of a secret.
pub(super) const SECRET: &str = "s3cr3t-of-the-suite";

/// A call in time, for the default tenant.
pub(super) fn context() -> CallContext {
    context_of(&TenantId::default())
}

/// A call in time, for a tenant.
pub(super) fn context_of(tenant: &TenantId) -> CallContext {
    CallContext::new(
        tenant.clone(),
        Deadline::after(TIME),
        RequestId::new("suite"),
    )
}

/// A call that nobody waits for any more.
pub(super) fn late_context() -> CallContext {
    CallContext::new(
        TenantId::default(),
        Deadline::after(Duration::ZERO),
        RequestId::new("suite-late"),
    )
}

/// A name that no other run uses, so that suites can run against the same server at once.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", uuid::Uuid::new_v4().simple())
}

/// A user whom no other run uses.
pub(super) fn unique_user() -> Result<UserId, Unmet> {
    named(&unique("suite-user"))
}

/// A checked name from a text of the suite's own.
pub(super) fn named<T: std::str::FromStr>(text: &str) -> Result<T, Unmet> {
    text.parse()
        .or_else(|_| failed(format!("the suite's own name `{text}` is not valid")))
}

/// A call with a late context: it may answer or fail, but must return.
pub(super) async fn returns_late<T>(call: impl Future<Output = Result<T, PluginError>>) -> Outcome {
    match timeout(GRACE, call).await {
        Ok(_) => Ok(()),
        Err(_) => failed(format!("had not returned {GRACE:?} after the deadline")),
    }
}

/// Makes calls and drops each at another place: unpolled, at the first await, and later.
pub(super) async fn drop_halfway<C: Future>(call: impl Fn() -> C) {
    drop(call());
    drop(poll_immediate(pin!(call())).await);
    for millis in [1, 5] {
        drop(timeout(Duration::from_millis(millis), call()).await.ok());
    }
}

/// Runs all bodies at once and waits for all; the first that fails decides.
pub(super) async fn all_at_once<B>(bodies: impl IntoIterator<Item = B>) -> Outcome
where
    B: Future<Output = Outcome> + Send + 'static,
{
    let mut tasks: JoinSet<Outcome> = bodies.into_iter().collect();
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(outcome) => outcome?,
            Err(_) => return failed("panicked when called by many at once"),
        }
    }
    Ok(())
}

/// Everything that an error prints, in every form and with all its causes.
pub(super) fn printed(error: &PluginError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string does not fail.
        write!(text, ": {error}").ok();
        cause = error.source();
    }
    text
}

/// Holds an error to its kind, and to not printing a secret.
pub(super) fn refused<T>(outcome: Result<T, PluginError>, kind: ErrorKind) -> Outcome {
    match outcome {
        Ok(_) => failed(format!("answered where `{kind}` is due")),
        Err(error) if error.kind() != kind => {
            let text = printed(&error);
            failed(format!(
                "failed with `{}` where `{kind}` is due: {text}",
                error.kind()
            ))
        }
        Err(error) => prints_no_secret(&error, SECRET),
    }
}

/// Holds an error to not printing a secret.
pub(super) fn prints_no_secret(error: &PluginError, secret: &str) -> Outcome {
    let text = format!("{} {error:?}", printed(error));
    if !secret.is_empty() && text.contains(secret) {
        // Not repeated here: a report is shown around.
        return failed("an error prints the secret");
    }
    Ok(())
}
