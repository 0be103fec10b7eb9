//! One server tried by itself: started or contacted as a gateway would do it, and ended again.

use std::time::Duration;

use gateway_core::config::{ServerConfig, Violation};
use gateway_core::{Deadline, SecretString, ServerName, TenantId, UserId};
use gateway_mcp::client::{ClientError, LastWords, ServerHello};
use gateway_mcp::version::Version;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::Target;
use crate::config::Permits;
use crate::upstream::authorization::{AuthorizationContext, InvalidCredential};

/// How long a server may take to end: its input is closed, then SIGTERM, then SIGKILL.
const ENDING: Duration = Duration::from_secs(6);

/// Why a server is of no use.
#[derive(Debug)]
pub enum NotUsable {
    /// A gateway would refuse its configuration.
    Invalid(Vec<Violation>),
    /// What the credential plugin gave cannot go along, and why.
    Credential(String),
    /// It could not be reached, or did not introduce itself.
    Failed {
        /// What went wrong.
        error: ClientError,
        /// What a command wrote last to its standard error.
        last_words: Vec<String>,
    },
}

impl From<InvalidCredential> for NotUsable {
    fn from(error: InvalidCredential) -> Self {
        Self::Credential(error.to_string())
    }
}

impl Permits {
    /// Connects to a server or starts it, by itself and beside whatever runs, hears how it
    /// introduces itself, and ends the session or the child again.
    ///
    /// `credential` is what goes along for `user`, where the server is given one.
    ///
    /// # Errors
    /// Says why it is of no use, after `patience` at the latest. Nothing is left running.
    pub async fn try_server(
        &self,
        tenant: &TenantId,
        (name, config): (&ServerName, &ServerConfig),
        (user, credential): (&UserId, Option<Vec<(String, SecretString)>>),
        patience: Duration,
    ) -> Result<ServerHello, NotUsable> {
        let (tasks, last_words) = (TaskTracker::new(), LastWords::default());
        let target =
            Target::of(&self.outbound(), tenant, name, config).map_err(NotUsable::Invalid)?;
        let target = target.within(&tasks).heard_by(&last_words);
        let credential = credential
            .map(|given| target.credential(given))
            .transpose()?;
        let context = AuthorizationContext::of_user(user, credential, config.isolation);
        let deadline = Deadline::after(patience);
        let connecting = target.connect(&context, None, Version::LATEST_LEGACY, "{}", deadline);
        let outcome = match connecting.await {
            Ok(peer) => {
                // A session that the server does not let be ended ends by itself.
                timeout(ENDING, peer.close()).await.ok();
                Ok(peer.hello().clone())
            }
            Err(error) => Err(error),
        };
        tasks.close();
        // Whoever is not gone by then is killed when this process ends.
        timeout(ENDING, tasks.wait()).await.ok();
        outcome.map_err(|error| NotUsable::Failed {
            error,
            last_words: last_words.lines(),
        })
    }
}
