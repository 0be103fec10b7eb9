//! The suite of `McpProvisioner`.

use std::sync::Arc;

use gateway_core::config::ServerSpec;
use gateway_core::plugin::{McpProvisioner, PluginKind, ProvisionedServer};
use gateway_core::{ErrorKind, PluginError, ServerName, TenantId, UserId};

use super::probe::{self, CROWD, context, context_of, late_context, unique};
use super::report::{Outcome, Report, Unmet, ensure};
use super::tidy::TidyProvisioner;

/// What a provisioner can run.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// A server that it can run; the suite starts and stops it.
    pub possible: Option<ServerSpec>,
    /// A server of a kind that it cannot run at all.
    pub impossible: Option<ServerSpec>,
}

/// Runs the suite, with users of its own in the tenants `default` and `suite-other`.
pub async fn mcp_provisioner(provisioner: Arc<dyn McpProvisioner>, running: Running) -> Report {
    let mut report = Report::new(PluginKind::McpProvisioner);
    let running = Arc::new(running);
    let tidy = Arc::new(TidyProvisioner::new(provisioner));
    let subject = || Subject {
        provisioner: Arc::clone(&tidy) as _,
        running: Arc::clone(&running),
    };
    report
        .case("has_nothing_of_an_unknown_user", subject().has_nothing())
        .await;
    report
        .case("stops_what_is_not_there", subject().stops_nothing())
        .await;
    report
        .case("refuses_what_it_cannot_run", subject().refuses())
        .await;
    report
        .case("runs_one_instance_until_it_is_stopped", subject().runs())
        .await;
    report
        .case("runs_one_instance_for_calls_at_once", subject().runs_once())
        .await;
    report.case("lists_by_name", subject().lists()).await;
    report
        .case("keeps_tenants_apart", subject().keeps_apart())
        .await;
    report
        .case("is_usable_after_dropped_calls", subject().survives_drops())
        .await;
    report
        .case(
            "returns_when_the_deadline_has_passed",
            subject().returns_late(),
        )
        .await;
    tidy.clean().await;
    report
}

#[derive(Clone)]
struct Subject {
    provisioner: Arc<dyn McpProvisioner>,
    running: Arc<Running>,
}

impl Subject {
    fn possible(&self) -> Result<&ServerSpec, Unmet> {
        let nothing = Unmet::NotApplicable("no server is known that it can run");
        self.running.possible.as_ref().ok_or(nothing)
    }

    async fn start(&self, name: &ServerName, user: &UserId) -> Result<ProvisionedServer, Unmet> {
        let server = self.possible()?;
        let started = self
            .provisioner
            .provision(&context(), name, server, user)
            .await?;
        ensure(started.name == *name && started.user_id == *user, || {
            format!("started `{}` for `{}`", started.name, started.user_id)
        })?;
        Ok(started)
    }

    async fn stop(&self, server: &ProvisionedServer) -> Result<(), PluginError> {
        self.provisioner.deprovision(&context(), &server.id).await
    }

    /// Holds the list of a user to these ids.
    async fn has(&self, tenant: &TenantId, user: &UserId, due: &[&str]) -> Outcome {
        let listed = self.provisioner.list(&context_of(tenant), user).await?;
        let found: Vec<_> = listed.iter().map(|server| server.id.as_str()).collect();
        ensure(found == due, || {
            format!("lists {found:?} where {due:?} is due")
        })
    }

    async fn has_nothing(self) -> Outcome {
        self.has(&TenantId::default(), &probe::unique_user()?, &[])
            .await
    }

    async fn stops_nothing(self) -> Outcome {
        let id = unique("suite-unknown");
        self.provisioner.deprovision(&context(), &id).await?;
        Ok(self.provisioner.deprovision(&context(), &id).await?)
    }

    async fn refuses(self) -> Outcome {
        let Some(server) = &self.running.impossible else {
            return Err(Unmet::NotApplicable(
                "no server is known that it cannot run",
            ));
        };
        let (name, user) = (probe::named("suite")?, probe::unique_user()?);
        let refused = self
            .provisioner
            .provision(&context(), &name, server, &user)
            .await;
        probe::refused(refused, ErrorKind::Unsupported)?;
        self.has(&TenantId::default(), &user, &[]).await
    }

    async fn runs(self) -> Outcome {
        self.possible()?;
        let (name, user) = (probe::named("suite")?, probe::unique_user()?);
        let first = self.start(&name, &user).await?;
        let second = self.start(&name, &user).await?;
        ensure(first.id == second.id, || {
            "started a second instance".to_owned()
        })?;
        self.has(&TenantId::default(), &user, &[&first.id]).await?;
        self.stop(&first).await?;
        self.has(&TenantId::default(), &user, &[]).await?;
        Ok(self.stop(&first).await?)
    }

    async fn runs_once(self) -> Outcome {
        self.possible()?;
        let (name, user) = (probe::named::<ServerName>("suite")?, probe::unique_user()?);
        probe::all_at_once((0..CROWD).map(|_| {
            let (subject, name, user) = (self.clone(), name.clone(), user.clone());
            async move { subject.start(&name, &user).await.map(drop) }
        }))
        .await?;
        let listed = self.provisioner.list(&context(), &user).await?;
        for server in &listed {
            self.stop(server).await?;
        }
        ensure(listed.len() == 1, || {
            format!("runs {} instances", listed.len())
        })
    }

    async fn lists(self) -> Outcome {
        self.possible()?;
        let user = probe::unique_user()?;
        let (first, second) = (probe::named("suite-a")?, probe::named("suite-b")?);
        let second = self.start(&second, &user).await?;
        let first = self.start(&first, &user).await?;
        let in_order = self
            .has(&TenantId::default(), &user, &[&first.id, &second.id])
            .await;
        self.stop(&first).await?;
        self.stop(&second).await?;
        in_order
    }

    async fn keeps_apart(self) -> Outcome {
        self.possible()?;
        let (name, user) = (probe::named("suite")?, probe::unique_user()?);
        let other = context_of(&probe::named("suite-other")?);
        let server = self.start(&name, &user).await?;
        let unseen = self.has(&other.tenant, &user, &[]).await;
        // Another tenant's id is an unknown id: it succeeds and stops nothing.
        let foreign = self.provisioner.deprovision(&other, &server.id).await;
        let still_there = self.has(&TenantId::default(), &user, &[&server.id]).await;
        self.stop(&server).await?;
        foreign?;
        unseen.and(still_there)
    }

    async fn survives_drops(self) -> Outcome {
        let (name, user) = (probe::named("suite")?, probe::unique_user()?);
        let context = context();
        probe::drop_halfway(|| self.provisioner.list(&context, &user)).await;
        let Ok(server) = self.possible() else {
            return self.has_nothing().await;
        };
        let start = || self.provisioner.provision(&context, &name, server, &user);
        probe::drop_halfway(start).await;
        let server = self.start(&name, &user).await?;
        let listed = self.has(&TenantId::default(), &user, &[&server.id]).await;
        self.stop(&server).await?;
        listed
    }

    async fn returns_late(self) -> Outcome {
        let (name, user) = (probe::named("suite")?, probe::unique_user()?);
        let late = late_context();
        let wanted = self
            .running
            .possible
            .as_ref()
            .or(self.running.impossible.as_ref());
        if let Some(server) = wanted {
            let start = self.provisioner.provision(&late, &name, server, &user);
            probe::returns_late(start).await?;
        }
        probe::returns_late(self.provisioner.list(&late, &user)).await?;
        probe::returns_late(self.provisioner.deprovision(&late, "suite-unknown")).await?;
        for server in self.provisioner.list(&context(), &user).await? {
            self.stop(&server).await?;
        }
        Ok(())
    }
}
