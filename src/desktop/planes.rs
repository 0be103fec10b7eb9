//! Both planes of a desktop, the pipe between them, and the one way in which a document comes
//! into force.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use gateway_control_plane::{ApplyError, Change, ControlPlane, Removal, Verdict, pipe};
use gateway_core::{Deadline, Revision, TenantId};
use gateway_data_plane::{Access, DataPlane, Limits, Permits, SessionKeys};
use gateway_plugins::{Registry, Role};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use crate::config_file::{ConfigFile, Document, Problem};
use crate::data_dir::DataDir;
use crate::exit::Failure;

/// How long a configuration may take to be in force.
const APPLY_PATIENCE: Duration = Duration::from_secs(10);

/// How long requests under way may take to finish at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// Who changes the configuration of a desktop, and why, in its history.
const AUTHOR: &str = "desktop";
const REASON: &str = "the configuration file";

/// Both planes, running.
pub(super) struct Planes {
    control: ControlPlane,
    pub(super) data: DataPlane,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Why a document is not in force.
pub(super) enum Refusal {
    Invalid(Vec<Problem>),
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(problems) => super::invalid(problems),
            Refusal::Failed(error) => Self::Failed(error),
        }
    }
}

impl Planes {
    /// Starts both with `document`, which may not be in force yet when this returns.
    pub(super) async fn start(
        data_dir: &DataDir,
        permits: Permits,
        access: Access,
        limits: Limits,
        document: &Document,
    ) -> Result<(Self, Revision), Refusal> {
        let session_keys = SessionKeys::load_or_create(&data_dir.file("session.key"))
            .map_err(anyhow::Error::from)?;
        // What depends on the listener is the data plane's to refuse.
        let checks = Registry::new(Role::Desktop {
            loopback_only: true,
        });
        let control = ControlPlane::open(gateway_control_plane::Options {
            name: "desktop".to_owned(),
            database: data_dir.file("gateway.db").into(),
            check_plugins: Arc::new(move |plugins| checks.check(plugins)),
        });
        let control = Box::pin(control).await.map_err(anyhow::Error::from)?;
        // Before a data plane asks: nothing of an earlier file is started once more.
        let revision = keep(&control, document).await?;
        remove_others(&control, &document.config.tenant).await?;

        let (incoming, channel) = pipe::pipe();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (serving, stopping) = (control.clone(), stop.clone());
        drop(tasks.spawn(async move {
            if let Err(error) = serving.serve(incoming, stopping).await {
                error!(%error, "the control plane ended");
            }
        }));
        let here = gateway_data_plane::ControlPlane { url: None, channel };
        let options = gateway_data_plane::Options {
            replica: "desktop".to_owned(),
            fleet: None,
            join_token: None,
            permits,
            session_keys,
            cache: None,
            access,
            limits,
        };
        let planes = Self {
            control,
            data: DataPlane::start(options, vec![here]).map_err(anyhow::Error::from)?,
            stop,
            tasks,
        };
        Ok((planes, revision))
    }

    /// Waits until a kept document is in force, or refused.
    pub(super) async fn in_force(
        &self,
        document: &Document,
        revision: Revision,
    ) -> Result<(), Refusal> {
        let deadline = Deadline::after(APPLY_PATIENCE);
        let tenant = &document.config.tenant;
        let verdict = self.control.verdict(tenant, revision, deadline).await;
        match verdict.map_err(anyhow::Error::from)? {
            Verdict::InForce => Ok(()),
            Verdict::Refused(violations) => Err(Refusal::Invalid(document.locate(violations))),
            Verdict::Superseded => Err(anyhow!("another configuration came first").into()),
        }
    }

    /// Puts an edit of the file in force. One that cannot be leaves everything as it is.
    pub(super) async fn take_edit(&self, file: &ConfigFile, permits: &Permits) {
        let read = file.read().and_then(|document| document.check(permits));
        let taken = match read {
            Ok(document) => self.replace(&document).await,
            Err(problems) => Err(Refusal::Invalid(problems)),
        };
        match taken {
            Ok(()) => return,
            Err(Refusal::Invalid(problems)) => {
                for problem in problems {
                    error!("configuration refused: {problem}");
                }
            }
            Err(Refusal::Failed(error)) => error!("configuration refused: {error:#}"),
        }
        info!("the last good configuration stays in force");
    }

    /// An edit may give the tenant another name: the earlier one goes once the new one is there.
    async fn replace(&self, document: &Document) -> Result<(), Refusal> {
        let revision = keep(&self.control, document).await?;
        self.in_force(document, revision).await?;
        remove_others(&self.control, &document.config.tenant).await
    }

    pub(super) async fn shut_down(&self) {
        self.data.shut_down(DRAIN).await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.control.close().await;
        info!("stopped");
    }
}

/// Makes a document its tenant's current revision.
async fn keep(control: &ControlPlane, document: &Document) -> Result<Revision, Refusal> {
    let change = Change {
        config: document.config.clone(),
        submitted: document.text.clone(),
        author: AUTHOR.to_owned(),
        reason: REASON.to_owned(),
        expected: None,
        validate_only: false,
        must_exist: false,
        canary: None,
    };
    match control.apply(change).await {
        Ok(applied) => Ok(applied.revision),
        Err(ApplyError::Invalid(violations)) => Err(Refusal::Invalid(document.locate(violations))),
        Err(error) => Err(Refusal::Failed(error.into())),
    }
}

/// The file is one tenant's, and it is all that a desktop serves.
async fn remove_others(control: &ControlPlane, tenant: &TenantId) -> Result<(), Refusal> {
    let others = control.tenants().into_iter();
    for other in others.filter(|other| other != tenant) {
        let removal = Removal {
            tenant: other,
            author: AUTHOR.to_owned(),
            reason: REASON.to_owned(),
            expected: None,
        };
        control.remove(removal).await.map_err(anyhow::Error::from)?;
    }
    Ok(())
}
