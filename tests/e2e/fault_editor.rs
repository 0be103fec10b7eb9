//! An administrator who edits one tenant while control planes come and go, and knows which revision has to be which change.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use gateway_proto::admin::v1 as pb;
use gateway_proto::admin::v1::admin_client::AdminClient;
use gateway_proto::admin::v1::apply_tenant_request::Document;
use gateway_proto::admin::v1::rollout::Stage;
use gateway_tests::faults::{Kind, Meaning, Random, Site};
use gateway_tests::planes::admin_token;
use tokio::time::{Instant, sleep};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use uuid::Uuid;

/// How long a change may take while control planes and the database come and go.
const PATIENCE: Duration = Duration::from_secs(60);

/// A canary that has left is replaced after a while, and by a control plane that has been there for as long.
const HALTING: Duration = Duration::from_secs(180);
const ATTEMPT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

type Client = AdminClient<Channel>;

#[derive(Debug)]
pub(crate) struct Editor {
    site: Arc<Site>,
    clients: [Client; 2],
    bearer: AsciiMetadataValue,
    turn: usize,
    pub(crate) tenant: String,
    pub(crate) edition: u64,
    etag: String,
    /// What each of its revisions is for, and why it was made.
    pub(crate) revisions: Vec<(Meaning, String)>,
    /// When calls of the tenant may have failed.
    pub(crate) failing: Vec<(Instant, Instant)>,
    /// How often a request had to be sent again.
    pub(crate) repeated: u64,
}

impl Editor {
    pub(crate) fn new(site: &Arc<Site>, tenant: &str) -> Result<Self> {
        let connect = |url: &String| -> Result<Client> {
            let endpoint = Endpoint::from_shared(url.clone())?;
            let endpoint = endpoint.connect_timeout(ATTEMPT).timeout(ATTEMPT);
            Ok(AdminClient::new(endpoint.connect_lazy()))
        };
        let [one, two] = &site.urls;
        Ok(Self {
            site: Arc::clone(site),
            clients: [connect(one)?, connect(two)?],
            bearer: format!("Bearer {}", admin_token()).parse()?,
            turn: tenant.len(),
            tenant: tenant.to_owned(),
            edition: 0,
            etag: String::new(),
            revisions: Vec::new(),
            failing: Vec::new(),
            repeated: 0,
        })
    }

    /// Edits in ways that a seed decides, until then.
    pub(crate) async fn edit(&mut self, mut random: Random, until: Instant) -> Result<()> {
        while Instant::now() < until {
            match random.below(12) {
                0 => self.edit_by_canary(&mut random).await?,
                1 => self.apply_refused(&mut random).await?,
                _ => self.apply_sound(None).await?,
            }
            sleep(random.milliseconds(20, 300)).await;
        }
        Ok(())
    }

    /// Has calls fail on one data plane, again and again, until then.
    pub(crate) async fn spoil(&mut self, mut random: Random, until: Instant) -> Result<()> {
        while Instant::now() < until {
            self.apply_failing().await?;
            sleep(random.milliseconds(1000, 4000)).await;
        }
        Ok(())
    }

    /// The next edition, for all data planes or some first.
    pub(crate) async fn apply_sound(&mut self, canary: Option<pb::Canary>) -> Result<()> {
        self.edition += 1;
        let reason = format!("edition {}", self.edition);
        let meaning = Meaning::Edition(self.edition);
        self.apply(Kind::Sound, canary, meaning, reason).await
    }

    async fn edit_by_canary(&mut self, random: &mut Random) -> Result<()> {
        self.apply_sound(Some(canary(random.below(2), 0.05)))
            .await?;
        // What was not over by then is superseded.
        let until = Instant::now() + random.milliseconds(0, 5000);
        while self.stage().await? == Stage::Canary && Instant::now() < until {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn apply_refused(&mut self, random: &mut Random) -> Result<()> {
        let reason = "refused".to_owned();
        let canary = Some(canary(0, 0.05));
        self.apply(Kind::Refused, canary, Meaning::Refused, reason)
            .await?;
        self.wait_for_halt().await?;
        match random.below(2) {
            0 => self.abort().await,
            _ => self.apply_sound(None).await,
        }
    }

    async fn apply_failing(&mut self) -> Result<()> {
        let site = Arc::clone(&self.site);
        // That its canary is the only one is certain while no data plane comes or goes.
        let replicas = site.replicas.lock().await;
        self.wait_until_none_is_missed().await?;
        let began = Instant::now();
        site.chronicle
            .note("failing: a canary of the server that is not there");
        let canary = Some(canary(3600, 0.05));
        let reason = "failing".to_owned();
        self.apply(Kind::Failing, canary, Meaning::Failing, reason)
            .await?;
        self.wait_for_halt().await?;
        self.abort().await?;
        drop(replicas);
        self.wait_until_in_force().await?;
        self.failing.push((began, Instant::now()));
        site.chronicle.note("it has been taken back");
        Ok(())
    }

    /// Makes a change, and insists on it being the next revision.
    async fn apply(
        &mut self,
        kind: Kind,
        canary: Option<pb::Canary>,
        meaning: Meaning,
        reason: String,
    ) -> Result<()> {
        let document = self.site.document(&self.tenant, self.edition, kind);
        let request = pb::ApplyTenantRequest {
            document: Some(Document::Yaml(document.to_string())),
            etag: self.etag.clone(),
            reason: reason.clone(),
            request_id: Uuid::new_v4().to_string(),
            canary,
            ..Default::default()
        };
        let applied = self
            .insist(&reason, |mut client, bearer| {
                let request = authorized(bearer, request.clone());
                async move { client.apply_tenant(request).await }
            })
            .await?;
        let expected = self.revisions.len() as u64 + 1;
        ensure!(
            applied.revision == expected && applied.changed,
            "{reason} of {} is revision {} and not {expected}",
            self.tenant,
            applied.revision
        );
        self.etag = applied.etag;
        self.revisions.push((meaning, reason));
        Ok(())
    }

    /// Gives the revision up that is rolled out, which makes another one of the edition before.
    async fn abort(&mut self) -> Result<()> {
        // Not always the last one, which may have been rolled out and not be over.
        let stable = usize::try_from(self.rollout().await?.stable_revision)?;
        let before = stable.checked_sub(1).and_then(|at| self.revisions.get(at));
        let Some(&(Meaning::Edition(edition), _)) = before else {
            bail!("revision {stable} of {} cannot be stable", self.tenant);
        };
        let reason = format!("edition {edition} again");
        let request = pb::AbortRolloutRequest {
            name: format!("tenants/{}/rollout", self.tenant),
            reason: reason.clone(),
        };
        let aborted = self
            .insist(&reason, |mut client, bearer| {
                let request = authorized(bearer, request.clone());
                async move {
                    match client.abort_rollout(request).await {
                        // It was done, and the answer lost.
                        Err(status) if status.code() == Code::FailedPrecondition => Ok(().into()),
                        answer => answer.map(|_| ().into()),
                    }
                }
            })
            .await;
        aborted?;
        let stage = self.stage().await?;
        ensure!(stage == Stage::Aborted, "aborted, it is {stage:?}");
        let tenant = self.tenant().await?;
        let meaning = Meaning::Edition(edition);
        self.revisions.push((meaning, reason));
        let expected = self.revisions.len() as u64;
        ensure!(
            tenant.revision == expected,
            "aborted, {} has revision {} and not {expected}",
            self.tenant,
            tenant.revision
        );
        self.etag = tenant.etag;
        Ok(())
    }

    async fn tenant(&mut self) -> Result<pb::Tenant> {
        let name = format!("tenants/{}", self.tenant);
        self.insist("reading the tenant", |mut client, bearer| {
            let request = authorized(bearer, pb::GetTenantRequest { name: name.clone() });
            async move { client.get_tenant(request).await }
        })
        .await
    }

    async fn rollout(&mut self) -> Result<pb::Rollout> {
        let name = format!("tenants/{}/rollout", self.tenant);
        self.insist("reading the rollout", |mut client, bearer| {
            let request = authorized(bearer, pb::GetRolloutRequest { name: name.clone() });
            async move { client.get_rollout(request).await }
        })
        .await
    }

    async fn stage(&mut self) -> Result<Stage> {
        Ok(self.rollout().await?.stage())
    }

    async fn wait_for_halt(&mut self) -> Result<()> {
        let until = Instant::now() + HALTING;
        loop {
            let rollout = self.rollout().await?;
            match rollout.stage() {
                Stage::Halted => return Ok(()),
                Stage::Canary if Instant::now() < until => sleep(PAUSE).await,
                _ => bail!("what is to be halted is this: {rollout:?}"),
            }
        }
    }

    /// Waits until every data plane has the last revision.
    pub(crate) async fn wait_until_in_force(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let expected = self.revisions.len() as u64;
        loop {
            let replicas = self.replicas().await?;
            let in_force = |replica: &pb::Replica| {
                let tenant = replica.tenants.first();
                tenant.is_some_and(|tenant| tenant.in_force_revision == expected)
            };
            if replicas.len() == 2 && replicas.iter().all(in_force) {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "revision {expected} of {} is not in force: {replicas:?}",
                self.tenant
            );
            sleep(PAUSE).await;
        }
    }

    async fn replicas(&mut self) -> Result<Vec<pb::Replica>> {
        let message = self.wanted_replicas();
        let listed = self
            .insist("listing replicas", |mut client, bearer| {
                let request = authorized(bearer, message.clone());
                async move { client.list_replicas(request).await }
            })
            .await?;
        Ok(listed.replicas)
    }

    fn wanted_replicas(&self) -> pb::ListReplicasRequest {
        pb::ListReplicasRequest {
            tenant: format!("tenants/{}", self.tenant),
            ..Default::default()
        }
    }

    /// Waits until both control planes count two data planes. One that has ended while its control plane was
    /// killed is counted for a while, and half of three is two.
    async fn wait_until_none_is_missed(&self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut counts = Vec::new();
            for mut client in self.clients.clone() {
                let request = authorized(self.bearer.clone(), self.wanted_replicas());
                let listed = client.list_replicas(request).await;
                counts.push(listed.map(|listed| listed.into_inner().replicas.len()));
            }
            if counts.iter().all(|count| matches!(count, Ok(2))) {
                return Ok(());
            }
            ensure!(Instant::now() < until, "there are not two: {counts:?}");
            sleep(PAUSE).await;
        }
    }

    /// The reasons in the tenant's history, oldest first, as one control plane says them; its revisions have no gaps.
    pub(crate) async fn history(&mut self, control: usize) -> Result<Vec<String>> {
        let mut client = self.clients.get(control).context("there are two")?.clone();
        let mut reasons = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListRevisionsRequest {
                parent: format!("tenants/{}", self.tenant),
                page_size: 100,
                page_token,
                order_by: "revision".to_owned(),
                ..Default::default()
            };
            let request = authorized(self.bearer.clone(), request);
            let page = client.list_revisions(request).await?.into_inner();
            for revision in page.revisions {
                let expected = reasons.len() as u64 + 1;
                let found = revision.revision;
                ensure!(found == expected, "revision {found} instead of {expected}");
                reasons.push(revision.reason);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(reasons);
            }
        }
    }

    /// Sends the same request to one control plane and the other until it is answered.
    async fn insist<T, F>(
        &mut self,
        what: &str,
        send: impl Fn(Client, AsciiMetadataValue) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let until = Instant::now() + PATIENCE;
        loop {
            self.turn += 1;
            let [one, two] = &self.clients;
            let client = if self.turn.is_multiple_of(2) {
                one
            } else {
                two
            }
            .clone();
            let status = match send(client, self.bearer.clone()).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            let is_passing = matches!(
                status.code(),
                Code::Unavailable
                    | Code::Aborted
                    | Code::DeadlineExceeded
                    | Code::Cancelled
                    | Code::Unknown
            );
            ensure!(
                is_passing && Instant::now() < until,
                "{what} of {}: {status}",
                self.tenant
            );
            self.repeated += 1;
            sleep(PAUSE).await;
        }
    }
}

fn authorized<T>(bearer: AsciiMetadataValue, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", bearer);
    request
}

/// One of two data planes first, for so many seconds.
fn canary(seconds: u64, max_error_rate: f64) -> pb::Canary {
    pb::Canary {
        share: 0.5,
        bake: i64::try_from(seconds)
            .ok()
            .map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        max_error_rate: Some(max_error_rate),
    }
}
