//! Clients before two replicas, each of whose requests goes to the next one: they must not notice.

use anyhow::Result;
use gateway_tests::Era;
use gateway_tests::clients::OfficialClient;
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::crossing::{Client, Load};
use gateway_tests::fixture::Eras;
use gateway_tests::fleet::{Fleet, open_to_all};
use gateway_tests::matrix::{Subject, Transport, meet_by};
use gateway_tests::round_robin::RoundRobin;
use gateway_tests::servers::remote;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

async fn meet(client: OfficialClient, server: Subject) -> Result<()> {
    meet_by(Transport::Replicas, BINARY, client, server).await
}

#[tokio::test]
async fn typescript_1_meets_everything() -> Result<()> {
    meet(OfficialClient::TS_V1, Subject::EverythingOverHttp).await
}

#[tokio::test]
async fn typescript_1_meets_a_legacy_server() -> Result<()> {
    meet(OfficialClient::TS_V1, Subject::Fixture(Eras::Legacy)).await
}

#[tokio::test]
async fn typescript_2_meets_everything_on_stdio() -> Result<()> {
    meet(OfficialClient::TS_V2_LEGACY, Subject::EverythingOnStdio).await
}

#[tokio::test]
async fn typescript_2_as_a_modern_client_meets_a_server_of_both_eras() -> Result<()> {
    meet(OfficialClient::TS_V2_PINNED, Subject::Fixture(Eras::Both)).await
}

#[tokio::test]
async fn python_meets_everything() -> Result<()> {
    meet(OfficialClient::PYTHON_LEGACY, Subject::EverythingOverHttp).await
}

#[tokio::test]
async fn python_meets_a_legacy_server() -> Result<()> {
    meet(
        OfficialClient::PYTHON_LEGACY,
        Subject::Fixture(Eras::Legacy),
    )
    .await
}

#[tokio::test]
async fn two_clients_at_once_get_what_is_theirs() -> Result<()> {
    let server = ConformanceServer::start(Eras::Legacy).await?;
    let document = open_to_all(&[("server", remote(&server.url()))]);
    let fleet = Fleet::start(BINARY, &[document], 2).await?;
    fleet.wait_for_tool("test_sampling").await?;
    let front = RoundRobin::start(fleet.addresses()).await?;
    let one = Client::open_at(front.url("/mcp"), Era::Legacy, "one", None).await?;
    let two = Client::open_at(front.url("/mcp"), Era::Legacy, "two", None).await?;
    let load = Load {
        questions: 6,
        progress: 4,
        logs: 2,
        hears_logs: true,
    };
    let other = Load { logs: 5, ..load };
    tokio::try_join!(one.bear(load), two.bear(other))?;
    fleet.stop().await
}
