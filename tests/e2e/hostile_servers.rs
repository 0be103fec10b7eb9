//! Servers that break the protocol, byte by byte: what their clients get, and that nobody else notices.

use std::path::Path;

use anyhow::{Context as _, Result};
use gateway_tests::bystander::{beside, growth};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::hostile::{HostileServer, LATE, Listing};
use gateway_tests::servers::{self, remote, with};
use gateway_tests::{Era, Gateway, Session, wait};
use serde_json::{Value, json};
use tokio::time::Instant;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const SERVER_UNAVAILABLE: i64 = 1001;
const DEADLINE_EXCEEDED: i64 = 1002;
const ANSWER_UNUSABLE: i64 = 1008;
/// Less than `LATE`.
const SHORT: &str = "2s";
/// For floods, on a busy machine.
const LONG: &str = "60s";
/// Several messages of the greatest length, and much less than what the servers send.
const BOUND: u64 = 96 << 20;

/// A well-behaved server and a hostile one, behind one gateway that lists the hostile one's tools.
struct Pair {
    gateway: Gateway,
    _healthy: HttpFixture,
}

impl Pair {
    /// The hostile server may take this long for a call.
    async fn start(hostile: Value, timeout: &str) -> Result<Self> {
        let healthy = HttpFixture::start(Options::default()).await?;
        let config = servers::configuration(&[
            ("healthy", remote(&healthy.url())),
            ("hostile", with(hostile, "timeout", timeout)),
        ]);
        let gateway = Gateway::builder(BINARY).config(config).start().await?;
        Ok(Self {
            gateway,
            _healthy: healthy,
        })
    }

    /// Runs a case while other clients call the well-behaved server through the same endpoint.
    async fn beside<T>(&self, case: impl Future<Output = Result<T>>) -> Result<T> {
        beside(&self.gateway, "/mcp", "healthy__echo", case).await
    }

    /// Calls each tool, wants the error that is named, or the answer, and then calls `echo`.
    async fn check(&self, expected: &[(&str, Option<i64>, &str)]) -> Result<()> {
        let session = Session::open(Era::Legacy, &self.gateway.url("/s/hostile/mcp")).await?;
        session.wait_for_tool("echo").await?;
        for (tool, code, text) in expected {
            let answer = session.call(tool, json!({ "of": tool })).await?;
            let what = format!("{tool}: {}", answer.text());
            match code {
                Some(code) => {
                    assert_eq!(answer.error_code().context(what.clone())?, *code, "{what}")
                }
                None => assert!(answer.result().is_ok(), "{what}"),
            }
            assert!(answer.text().contains(text), "{what}");
            let arguments = json!({ "after": tool });
            let expected = arguments.to_string();
            wait::until(&format!("the server to answer after {tool}"), || async {
                let answered = session.call_text("echo", arguments.clone()).await;
                answered.is_ok_and(|answered| answered == expected)
            })
            .await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_child_that_breaks_the_protocol_gets_clear_errors_and_harms_nobody() -> Result<()> {
    let pair = Pair::start(servers::hostile_on_stdio(BINARY)?, SHORT).await?;
    let case = Box::pin(pair.check(&[
        (
            "wrong-id",
            Some(DEADLINE_EXCEEDED),
            "did not answer in time",
        ),
        ("twice", None, "twice"),
        ("never", Some(DEADLINE_EXCEEDED), "did not answer in time"),
        ("late", Some(DEADLINE_EXCEEDED), "did not answer in time"),
        // What is no message is passed over.
        ("not-utf8", None, "not-utf8"),
        ("not-json", None, "not-json"),
    ]));
    pair.beside(case).await?;
    pair.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_line_of_100_megabytes_is_passed_over_and_takes_no_memory() -> Result<()> {
    let hostile = servers::hostile_on_stdio(BINARY)?;
    let pair = Pair::start(hostile, LONG).await?;
    let case = Box::pin(pair.check(&[("flood", None, "flood"), ("flood", None, "flood")]));
    let grown = growth(&pair.gateway, pair.beside(case)).await?;
    assert!(grown < BOUND, "the gateway took {grown} bytes");
    pair.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_over_http_that_breaks_the_protocol_gets_clear_errors_and_harms_nobody()
-> Result<()> {
    let server = HostileServer::start(Listing::Tools).await?;
    let pair = Pair::start(remote(&server.url()), SHORT).await?;
    let case = Box::pin(pair.check(&[
        ("wrong-id", Some(ANSWER_UNUSABLE), "hostile"),
        ("twice", None, "twice"),
        ("never", Some(DEADLINE_EXCEEDED), "hostile"),
        ("late", Some(DEADLINE_EXCEEDED), "hostile"),
        ("not-utf8", Some(ANSWER_UNUSABLE), "hostile"),
        ("not-json", Some(ANSWER_UNUSABLE), "hostile"),
        ("trickle", Some(DEADLINE_EXCEEDED), "hostile"),
        (
            "redirect",
            Some(SERVER_UNAVAILABLE),
            "redirects are not followed",
        ),
        ("two-answers", None, "two-answers"),
        ("cut-off", Some(SERVER_UNAVAILABLE), "hostile"),
        ("two-lengths", Some(SERVER_UNAVAILABLE), "hostile"),
    ]));
    pair.beside(case).await?;
    pair.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_answer_without_end_is_given_up_and_takes_no_memory() -> Result<()> {
    let server = HostileServer::start(Listing::Tools).await?;
    let pair = Pair::start(remote(&server.url()), LONG).await?;
    let case = Box::pin(pair.check(&[
        ("flood", Some(ANSWER_UNUSABLE), "hostile"),
        ("endless-head", Some(SERVER_UNAVAILABLE), "hostile"),
    ]));
    let grown = growth(&pair.gateway, pair.beside(case)).await?;
    assert!(grown < BOUND, "the gateway took {grown} bytes");
    pair.gateway.stop().await?;
    Ok(())
}

/// The names of the hostile server's tools as the endpoint of both servers lists them.
async fn listed(pair: &Pair) -> Result<Vec<String>> {
    let session = Session::open(Era::Modern, &pair.gateway.url("/mcp")).await?;
    let names = session.tool_names().await?;
    let hostile = names.into_iter().filter_map(|name| {
        let name = name.strip_prefix("hostile__")?;
        Some(name.to_owned())
    });
    Ok(hostile.collect())
}

#[tokio::test]
async fn a_schema_that_refers_to_itself_is_handed_on() -> Result<()> {
    let server = HostileServer::start(Listing::Cyclic).await?;
    let pair = Pair::start(remote(&server.url()), LONG).await?;
    let case = Box::pin(async {
        let session = Session::open(Era::Legacy, &pair.gateway.url("/s/hostile/mcp")).await?;
        session.wait_for_tool("one").await?;
        let list = session.request("tools/list", json!({})).await?.result()?;
        assert_eq!(list["tools"][0]["inputSchema"]["$defs"]["a"]["$ref"], "#");
        assert_eq!(
            session.call_text("one", json!({ "a": 1 })).await?,
            r#"{"a":1}"#
        );
        Ok(())
    });
    pair.beside(case).await?;
    pair.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_list_that_is_too_large_or_too_deep_is_left_out_and_said_to_be() -> Result<()> {
    for (listing, reason) in [
        (Listing::TooDeep, "more than 128 deep"),
        (Listing::TooLarge, "more than the permitted"),
    ] {
        let server = HostileServer::start(listing).await?;
        let pair = Pair::start(remote(&server.url()), LONG).await?;
        let case = Box::pin(async {
            pair.gateway
                .wait_for_log(&["a list cannot be had", reason])
                .await?;
            assert_eq!(listed(&pair).await?, Vec::<String>::new(), "{listing:?}");
            Ok(())
        });
        let grown = growth(&pair.gateway, pair.beside(case)).await?;
        assert!(grown < BOUND, "{listing:?}: the gateway took {grown} bytes");
        pair.gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_list_without_end_is_cut_off_and_takes_no_memory() -> Result<()> {
    let server = HostileServer::start(Listing::Endless).await?;
    let pair = Pair::start(remote(&server.url()), LONG).await?;
    let case = Box::pin(async {
        let session = Session::open(Era::Modern, &pair.gateway.url("/s/hostile/mcp")).await?;
        session.request("tools/list", json!({})).await?;
        pair.gateway
            .wait_for_log(&["the list is cut off here"])
            .await?;
        Ok(())
    });
    let grown = growth(&pair.gateway, pair.beside(case)).await?;
    assert!(grown < 2 * BOUND, "the gateway took {grown} bytes");
    pair.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_child_that_never_stops_writing_is_read_without_end_and_harms_nobody() -> Result<()> {
    let script = "while :; do echo '{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}'; done";
    let flood = servers::command(Path::new("sh"), &["-c", script]);
    let pair = Pair::start(flood, SHORT).await?;
    let began = Instant::now();
    let case = Box::pin(async {
        // As long as it takes others to see the worst of it.
        wait::until("some time to pass", || async { began.elapsed() > LATE }).await?;
        assert_eq!(listed(&pair).await?, Vec::<String>::new());
        Ok(())
    });
    let grown = growth(&pair.gateway, pair.beside(case)).await?;
    assert!(grown < BOUND, "the gateway took {grown} bytes");
    pair.gateway.stop().await?;
    Ok(())
}
