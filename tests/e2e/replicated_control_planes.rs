//! Two control planes on one PostgreSQL: no change is lost or made twice, each hears of the other's, and neither minds when
//! the database is away.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use gateway_proto::admin::v1 as pb;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::planes::{ControlPlane, DataPlane, LOOPBACK, acme, admin_token, join_token};
use gateway_tests::postgres::{Durability, Postgres};
use gateway_tests::{Era, Workspace, gateway, wait};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};
use tonic::{Code, Status};

mod admin_client;

use admin_client::Admin;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// So many read the tenant, change it and write it at once, so often each.
const WRITERS: u64 = 32;
const CHANGES: u64 = 3;

/// How often the store is read by who was not told of a change.
const POLL: Duration = Duration::from_secs(5);

struct Site {
    postgres: Postgres,
    planes: [ControlPlane; 2],
}

impl Site {
    async fn start() -> Result<Self> {
        let postgres = Postgres::start(Durability::None)?;
        let url = postgres.url(&postgres.database()?);
        let workspace = Arc::new(Workspace::new("")?);
        // Both find a database in which nothing is yet.
        let (one, two) = tokio::try_join!(
            ControlPlane::start_on(BINARY, &workspace, &url),
            ControlPlane::start_on(BINARY, &workspace, &url),
        )?;
        Ok(Self {
            postgres,
            planes: [one, two],
        })
    }

    async fn stop(self) -> Result<()> {
        let [one, two] = self.planes;
        one.process.stop().await?;
        two.process.stop().await
    }
}

async fn tenant(admin: &mut Admin) -> Result<pb::Tenant, Status> {
    let name = "tenants/acme".to_owned();
    let request = admin.request(pb::GetTenantRequest { name });
    Ok(admin.client.get_tenant(request).await?.into_inner())
}

/// The revision that a connected data plane has in force.
async fn in_force(admin: &mut Admin) -> Result<Option<u64>> {
    let request = admin.request(pb::ListReplicasRequest {
        tenant: "tenants/acme".to_owned(),
        ..Default::default()
    });
    let listed = admin.client.list_replicas(request).await?.into_inner();
    let tenant = listed.replicas.first().and_then(|one| one.tenants.first());
    Ok(tenant.map(|tenant| tenant.in_force_revision))
}

async fn wait_until_in_force(admin: &Admin, revision: u64) -> Result<()> {
    wait::until("the revision to be in force", || {
        let mut admin = admin.clone();
        async move { in_force(&mut admin).await.ok().flatten() == Some(revision) }
    })
    .await
}

/// Counts a writer's changes in the document, each on top of what it has read, and gives the revisions that they are.
async fn count_up(mut admin: Admin, writer: u64) -> Result<Vec<u64>> {
    let mut revisions = Vec::new();
    for change in 1..=CHANGES {
        loop {
            let read = tenant(&mut admin).await?;
            let mut document: Value = serde_json::from_str(&read.submitted)?;
            let servers = document.pointer_mut("/servers");
            let servers = servers.and_then(Value::as_object_mut);
            let url = format!("http://192.0.2.1/{change}");
            let servers = servers.context("no servers")?;
            servers.insert(format!("w{writer}"), json!(url));
            match admin.apply(&document, read.etag).await {
                Ok(revision) => {
                    ensure!(revision == read.revision + 1, "{revision} is a fork");
                    revisions.push(revision);
                    break;
                }
                Err(status) if status.code() == Code::Aborted => {
                    let said = status.message();
                    ensure!(said.contains("another change"), "{said}");
                }
                Err(status) => bail!("writer {writer}: {status}"),
            }
        }
    }
    Ok(revisions)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_two_control_planes_lose_nothing() -> Result<()> {
    let site = Site::start().await?;
    let [one, two] = &site.planes;
    let mut admins = [Admin::at(one).await?, Admin::at(two).await?];
    let first = json!({ "tenant": "acme", "servers": {} });
    assert_eq!(admins[0].apply(&first, String::new()).await?, 1);

    let mut writers = JoinSet::new();
    for (writer, admin) in (0..WRITERS).zip(admins.iter().cycle()) {
        writers.spawn(count_up(admin.clone(), writer));
    }
    let mut revisions = vec![1];
    while let Some(made) = writers.join_next().await {
        revisions.extend(made??);
    }
    revisions.sort_unstable();
    let last = 1 + WRITERS * CHANGES;
    assert_eq!(revisions, (1..=last).collect::<Vec<_>>());

    // Each writer's last change is there, and both control planes say the same.
    for admin in &mut admins {
        let read = tenant(admin).await?;
        assert_eq!(read.revision, last);
        let document: Value = serde_json::from_str(&read.submitted)?;
        let servers = document["servers"].as_object().context("no servers")?;
        assert_eq!(servers.len() as u64, WRITERS);
        let url = format!("http://192.0.2.1/{CHANGES}");
        assert!(servers.values().all(|server| *server == json!(url)));
    }
    drop(admins);
    site.stop().await
}

#[tokio::test]
async fn a_data_plane_gets_what_was_applied_at_the_other_control_plane() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let mut site = Site::start().await?;
    let [one, two] = &site.planes;
    let (here, mut there) = (Admin::at(one).await?, Admin::at(two).await?);
    let data = DataPlane::start(BINARY, one).await?;
    data.wait_until_ready().await?;

    let mut document = acme(&server);
    let began = Instant::now();
    for revision in 1..=6 {
        document["profiles"] = json!({ format!("p{revision}"): { "servers": ["one"] } });
        let applied = there.apply(&document, String::new()).await?;
        assert_eq!(applied, revision);
        wait_until_in_force(&here, revision).await?;
    }
    // Who looks only from time to time needs this time for each but the first.
    let took = began.elapsed();
    assert!(took < POLL * 4, "nobody was told of changes: {took:?}");
    let ada = data.ada(Era::Legacy).await?;
    ada.call("echo", json!({})).await?.result()?;

    site.postgres.pause()?;
    for plane in &site.planes {
        plane
            .process
            .wait_for_log(&["data planes go on with what they have"])
            .await?;
    }
    let refused = tenant(&mut there).await.err().context("it has a store")?;
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    ada.call("echo", json!({})).await?.result()?;
    assert!(data.is_ready().await?);
    // One that joins meanwhile gets what the control plane knows.
    let late = DataPlane::start(BINARY, &site.planes[1]).await?;
    late.wait_until_ready().await?;
    late.ada(Era::Modern).await?;
    late.process.stop().await?;

    site.postgres.resume()?;
    document["profiles"] = json!({});
    let revision = wait::until_some("changes to be accepted again", || {
        let (mut there, document) = (there.clone(), document.clone());
        async move { there.apply(&document, String::new()).await.ok() }
    });
    assert_eq!(revision.await?, 7);
    wait_until_in_force(&here, 7).await?;
    // Told again as well, not only found.
    let began = Instant::now();
    for revision in 8..=11 {
        document["profiles"] = json!({ format!("p{revision}"): { "servers": ["one"] } });
        there.apply(&document, String::new()).await?;
        wait_until_in_force(&here, revision).await?;
    }
    let took = began.elapsed();
    assert!(took < POLL * 3, "nobody was told of changes: {took:?}");
    ada.call("echo", json!({})).await?.result()?;
    data.process.stop().await?;
    drop((here, there));
    site.stop().await
}

/// The connected data planes, at which control plane each is, and how it is with its tenant.
async fn data_planes(control: &ControlPlane) -> Result<Vec<String>> {
    let exit = control.admin(&["status", "-o", "json"]).await?;
    ensure!(exit.code == Some(0), "{:?}", exit.stderr);
    let rows: Value = serde_json::from_str(&exit.stdout.join("\n"))?;
    let rows = rows.as_array().into_iter().flatten();
    let rows = rows.map(|row| {
        let text = |key: &str| row[key].as_str().unwrap_or_default();
        // By the port, which is the end of a name that nobody has chosen.
        let at = text("control_plane").rsplit(':').next().unwrap_or_default();
        format!("{} at {at}: {}", text("replica"), text("state"))
    });
    Ok(rows.collect())
}

async fn wait_for_data_planes(control: &ControlPlane, expected: &[String]) -> Result<()> {
    wait::until("each data plane to be known", || async {
        data_planes(control).await.unwrap_or_default() == expected
    })
    .await
}

#[tokio::test]
async fn each_control_plane_answers_for_the_data_planes_of_all() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let site = Site::start().await?;
    let [one, two] = &site.planes;
    let token = gateway_tests::planes::join_token();
    let near = DataPlane::start_with(BINARY, one, &token, &["--name", "near"]).await?;
    let far = DataPlane::start_with(BINARY, two, &token, &["--name", "far"]).await?;
    let row = |name: &str, at: &ControlPlane, state: &str| {
        format!("{name} at {}: {state}", at.address().port())
    };
    let idle = [
        row("far", two, "no tenants"),
        row("near", one, "no tenants"),
    ];
    for control in &site.planes {
        wait_for_data_planes(control, &idle).await?;
    }
    let exit = one.apply(&acme(&server).to_string()).await?;
    let said = [exit.stdout, exit.stderr].concat().join("\n");
    assert!(said.contains("in force on 2 data planes"), "{said}");
    let busy = [row("far", two, "in force"), row("near", one, "in force")];
    for control in &site.planes {
        wait_for_data_planes(control, &busy).await?;
    }

    // What a data plane refuses at one is told at the other, with its reasons.
    let program = r#""servers":{"two":{"type":"command","command":"none"},"#;
    let refused = acme(&server).to_string();
    let refused = refused.replace(r#""servers":{"#, program);
    let exit = one.apply(&refused).await?;
    let said = exit.stderr.join("\n");
    assert!(
        exit.code == Some(2) && said.contains("refused by"),
        "{said}"
    );
    wait::until("both refusals to be told", || async {
        let rows = data_planes(two).await.unwrap_or_default();
        rows.len() == 2
            && rows
                .iter()
                .all(|row| row.contains("refused revision 2: servers.two"))
    })
    .await?;

    // Killed, one says nothing any more, and after some time nothing is said of its data planes.
    let [one, two] = site.planes;
    let two = two.kill().await?;
    wait::until(
        "the data planes of the one that is gone not to be counted",
        || async {
            let rows = data_planes(&one).await.unwrap_or_default();
            matches!(rows.as_slice(), [only] if only.starts_with("near"))
        },
    )
    .await?;
    let two = two.start().await?;
    wait::until("the data plane to be back", || async {
        data_planes(&one).await.is_ok_and(|rows| rows.len() == 2)
    })
    .await?;
    near.process.stop().await?;
    far.process.stop().await?;
    one.process.stop().await?;
    two.process.stop().await
}

#[tokio::test]
async fn a_data_plane_goes_to_the_next_control_plane_when_its_own_is_gone() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let Site { postgres, planes } = Site::start().await?;
    let workspace = Arc::new(Workspace::new("")?);
    let file = workspace.path().join("token");
    std::fs::write(&file, join_token())?;
    let urls = planes.each_ref().map(ControlPlane::url);
    let flags = [&LOOPBACK[..], &["--join-token-file", "token"]].concat();
    let data = DataPlane::start_at(BINARY, &workspace, &urls, &[], &flags).await?;
    data.wait_until_ready().await?;
    // The file is read again when it is needed again; it is right once more before it is.
    std::fs::write(&file, "not-the-token-any-more")?;
    let followed = data
        .process
        .wait_for_log(&["following the control plane "])
        .await?;
    let [one, two] = planes;
    let is_one = followed.contains(&one.url());
    let (own, other) = if is_one { (one, two) } else { (two, one) };
    let mut admin = Admin::at(&other).await?;
    let mut document = acme(&server);
    admin.apply(&document, String::new()).await?;
    data.process
        .wait_for_log(&["configuration in force"])
        .await?;
    data.ada(Era::Legacy).await?;

    let own = own.kill().await?;
    data.process
        .wait_for_log(&["the control plane refuses this data plane", &other.url()])
        .await?;
    std::fs::write(&file, join_token())?;
    let followed = ["following the control plane ", &other.url(), "from now on"];
    data.process.wait_for_log(&followed).await?;
    let began = Instant::now();
    document["profiles"] = json!({ "p": { "servers": ["one"] } });
    let revision = admin.apply(&document, String::new()).await?;
    wait_until_in_force(&admin, revision).await?;
    let took = began.elapsed();
    assert!(took < POLL, "{took:?}");

    // And back, while the first one is away for good.
    let own = own.start().await?;
    drop(admin);
    other.kill().await?;
    let followed = ["following the control plane ", &own.url(), "from now on"];
    data.process.wait_for_log(&followed).await?;
    data.ada(Era::Modern).await?;
    std::fs::remove_file(&file)?;
    data.process.stop().await?;
    own.process.stop().await?;
    drop(postgres);
    Ok(())
}

#[tokio::test]
async fn control_planes_share_their_tokens() -> Result<()> {
    let workspace = Workspace::new("")?;
    let url = "postgres://ada:zq-secret-pw@127.0.0.1:1/gateway";
    let arguments = ["control-plane", "--database", url];
    let token = admin_token();
    let admin = ("MCP_GATEWAY_ADMIN_TOKEN", token.as_str());
    let join = ("MCP_GATEWAY_JOIN_TOKEN", token.as_str());
    for (variables, code, reason) in [
        (&[join][..], 2, "MCP_GATEWAY_ADMIN_TOKEN is missing"),
        (&[admin], 2, "MCP_GATEWAY_JOIN_TOKEN is missing"),
        (
            &[admin, join],
            1,
            "the database gateway at 127.0.0.1:1 cannot be reached",
        ),
    ] {
        let ports = ["MCP_GATEWAY_LISTEN", "MCP_GATEWAY_OPS_LISTEN"];
        let ports = ports.map(|port| (port, "127.0.0.1:0"));
        let variables = [variables, &ports].concat();
        let exit = gateway::run_with(BINARY, &workspace, &variables, &arguments).await?;
        let said = exit.stderr.join("\n");
        assert_eq!(exit.code, Some(code), "{said}");
        assert!(said.contains(reason), "{said}");
        assert!(!said.contains("zq-secret"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_file_is_for_one_control_plane() -> Result<()> {
    let workspace = Arc::new(Workspace::new("")?);
    let first = ControlPlane::start(BINARY, &workspace).await?;
    let token = admin_token();
    let variables = [
        ("MCP_GATEWAY_ADMIN_TOKEN", token.as_str()),
        ("MCP_GATEWAY_JOIN_TOKEN", &token),
        ("MCP_GATEWAY_LISTEN", "127.0.0.1:0"),
        ("MCP_GATEWAY_OPS_LISTEN", "127.0.0.1:0"),
    ];
    let arguments = ["control-plane", "--database", "sqlite://data/gateway.db"];
    let exit = gateway::run_with(BINARY, &workspace, &variables, &arguments).await?;
    let said = exit.stderr.join("\n");
    assert_eq!(exit.code, Some(1), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    first.process.stop().await
}
