//! Waiting for conditions instead of for time to pass.

use std::future::Future;
use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

/// How long a test waits for what should be there at once; long, since machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Asks again and again until the answer is yes.
pub async fn until<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> anyhow::Result<()> {
    let answer = until_some(what, || {
        let asked = condition();
        async move { asked.await.then_some(()) }
    });
    answer.await
}

/// Asks again and again until there is an answer.
pub async fn until_some<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut find: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = find().await {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {PATIENCE:?} in vain: {what}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
