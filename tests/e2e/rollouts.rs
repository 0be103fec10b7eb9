//! Revisions that a few data planes have first, as an administrator types it.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::gateway::Exit;
use gateway_tests::planes::{ControlPlane, DataPlane, acme, join_token};
use gateway_tests::{Era, Session, Workspace, wait};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// One control plane, and data planes that have the first revision of `acme`.
struct Site {
    _server: HttpFixture,
    control: ControlPlane,
    planes: Vec<DataPlane>,
    document: Value,
}

impl Site {
    async fn start(size: usize) -> Result<Self> {
        let server = HttpFixture::start(Options::default()).await?;
        let control = ControlPlane::start(BINARY, &Arc::new(Workspace::new("")?)).await?;
        let mut planes = Vec::new();
        for number in 0..size {
            let name = format!("dp-{number}");
            let flags = ["--name", &name];
            planes.push(DataPlane::start_with(BINARY, &control, &join_token(), &flags).await?);
        }
        for plane in &planes {
            plane.wait_until_ready().await?;
        }
        let document = acme(&server);
        let site = Self {
            _server: server,
            control,
            planes,
            document,
        };
        let applied = site.apply(&site.document, &[]).await?;
        ensure!(applied.code == Some(0), "{:?}", applied.stderr);
        Ok(site)
    }

    async fn apply(&self, document: &Value, flags: &[&str]) -> Result<Exit> {
        std::fs::write(self.control.path("acme.yaml"), document.to_string())?;
        let mut arguments = vec!["apply", "-f", "acme.yaml"];
        arguments.extend(flags);
        self.control.admin(&arguments).await
    }

    async fn admin(&self, arguments: &[&str]) -> Result<Exit> {
        self.control.admin(arguments).await
    }

    /// The first one's address changed, which is a change that every data plane takes.
    fn changed(&self, change: impl FnOnce(&mut Value)) -> Result<Value> {
        let mut document = self.document.clone();
        change(document.pointer_mut("/servers/one").context("one")?);
        Ok(document)
    }

    /// What each data plane has in force, as `status` says it.
    async fn in_force(&self) -> Result<Vec<u64>> {
        let shown = self.admin(&["status", "-o", "json"]).await?;
        let rows: Vec<Value> = serde_json::from_str(&shown.stdout.join("\n"))?;
        let revisions = rows.iter().filter_map(|row| row.get("in_force")?.as_u64());
        let mut revisions: Vec<_> = revisions.collect();
        revisions.sort_unstable();
        Ok(revisions)
    }

    async fn until_in_force(&self, expected: &[u64]) -> Result<()> {
        wait::until("the data planes to have their revisions", || async {
            self.in_force().await.is_ok_and(|found| found == expected)
        })
        .await
    }

    async fn stop(self) -> Result<()> {
        for plane in self.planes {
            plane.process.stop().await?;
        }
        self.control.process.stop().await
    }
}

fn says(exit: &Exit, part: &str) -> bool {
    let mut lines = exit.stdout.iter().chain(&exit.stderr);
    lines.any(|line| line.contains(part))
}

/// Calls at every data plane, over and over, until told to stop; says how many calls failed.
async fn load(sessions: Vec<Session>, stop: tokio_util::sync::CancellationToken) -> (u64, u64) {
    let (mut calls, mut failed) = (0, 0);
    while !stop.is_cancelled() {
        for session in &sessions {
            calls += 1;
            let answer = session.call_text("echo", json!({ "text": "x" })).await;
            failed += u64::from(answer.is_err());
        }
    }
    (calls, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_well_on_a_few_comes_to_all() -> Result<()> {
    let site = Site::start(4).await?;
    let slower = site.changed(|one| one["timeout"] = json!("20s"))?;
    let flags = ["--canary", "25%", "--bake", "1h"];
    let applied = site.apply(&slower, &flags).await?;
    ensure!(applied.code == Some(0), "{:?}", applied.stderr);
    ensure!(says(&applied, "bakes on dp-"), "{:?}", applied.stderr);
    site.until_in_force(&[1, 1, 1, 2]).await?;
    let status = site.admin(&["rollout", "status"]).await?;
    ensure!(says(&status, "canary"), "{:?}", status.stdout);

    // One that does not bake is over as soon as its canaries have taken it.
    let slowest = site.changed(|one| one["timeout"] = json!("30s"))?;
    let applied = site.apply(&slowest, &["--canary", "0.25"]).await?;
    ensure!(applied.code == Some(0), "{:?}", applied.stderr);
    ensure!(
        says(&applied, "revision 3 is in force on 4 data planes"),
        "{:?}",
        applied.stderr
    );
    site.until_in_force(&[3, 3, 3, 3]).await?;
    let over = site.admin(&["rollout", "status", "acme", "--wait"]).await?;
    ensure!(over.code == Some(0) && says(&over, "complete"), "{over:?}");

    // Back by the same way.
    let back = ["rollback", "acme", "--to", "1", "--canary", "50%"];
    let back = site.admin(&back).await?;
    ensure!(back.code == Some(0), "{:?}", back.stderr);
    site.until_in_force(&[4, 4, 4, 4]).await?;
    site.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_data_planes_refuse_is_halted_and_given_up() -> Result<()> {
    let site = Site::start(2).await?;
    let mut poisoned = site.document.clone();
    let shell = json!({ "type": "command", "command": "sh" });
    poisoned["servers"]["two"] = shell;
    let applied = site.apply(&poisoned, &["--canary", "10%"]).await?;
    ensure!(applied.code == Some(1), "{applied:?}");
    ensure!(says(&applied, "--allow-command"), "{:?}", applied.stderr);
    ensure!(
        says(&applied, "rollout resume acme"),
        "{:?}",
        applied.stderr
    );
    site.until_in_force(&[1, 1]).await?;
    let status = site.admin(&["rollout", "status", "acme", "--wait"]).await?;
    ensure!(
        status.code == Some(1) && says(&status, "halted"),
        "{status:?}"
    );
    let resumed = site.admin(&["rollout", "resume", "acme"]).await?;
    ensure!(resumed.code == Some(0), "{resumed:?}");
    let status = site.admin(&["rollout", "status", "acme", "--wait"]).await?;
    ensure!(
        status.code == Some(1) && says(&status, "halted"),
        "{status:?}"
    );
    let abort = ["rollout", "abort", "acme", "--reason", "no shells"];
    let aborted = site.admin(&abort).await?;
    ensure!(
        says(&aborted, "revision 1 says is current again"),
        "{aborted:?}"
    );
    site.until_in_force(&[3, 3]).await?;
    let again = site.admin(&abort).await?;
    ensure!(again.code == Some(1), "{again:?}");
    ensure!(
        says(&again, "no rollout of tenant acme is under way"),
        "{again:?}"
    );
    let history = site.admin(&["history", "acme"]).await?;
    ensure!(says(&history, "no shells"), "{history:?}");
    site.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_calls_fail_is_taken_back() -> Result<()> {
    let site = Site::start(2).await?;
    let mut sessions = Vec::new();
    for plane in &site.planes {
        sessions.push(plane.ada(Era::Modern).await?);
    }
    let stop = tokio_util::sync::CancellationToken::new();
    let loading = tokio::spawn(load(sessions, stop.clone()));
    // Nothing listens there.
    let dead = site.changed(|one| one["endpoint"] = json!("http://127.0.0.1:1/mcp"))?;
    let flags = ["--canary", "50%", "--bake", "1h", "--max-error-rate", "10%"];
    let applied = site.apply(&dead, &flags).await?;
    ensure!(applied.code == Some(0), "{:?}", applied.stderr);
    let status = site.admin(&["rollout", "status", "acme", "--wait"]).await?;
    ensure!(status.code == Some(1), "{status:?}");
    ensure!(
        says(&status, "requests on the canary replicas failed"),
        "{status:?}"
    );
    site.until_in_force(&[1, 1]).await?;
    stop.cancel();
    let (calls, failed) = loading.await?;
    ensure!(failed > 0 && failed <= calls / 2, "{failed} of {calls}");
    // Whoever calls now is answered everywhere.
    for plane in &site.planes {
        let session = plane.ada(Era::Modern).await?;
        session.call_text("echo", json!({ "text": "x" })).await?;
    }
    site.stop().await
}
