//! Lists that are kept: how long, for whom, what ends it, and what clients are told of it.

use anyhow::{Context as _, Result};
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::fixture::{AnswerForm, Eras, Hang, HttpFixture, Options};
use gateway_tests::raw::RawClient;
use gateway_tests::secrets::{ADA_HASH, ADA_KEY, BOB_HASH, BOB_KEY};
use gateway_tests::servers::{configuration, remote};
use gateway_tests::{Era, Gateway, Session, wait};
use http::Method;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const HOUR: u64 = 60 * 60 * 1000;
const UNAVAILABLE: i64 = 1001;

/// A modern server whose lists may be kept for an hour, by everybody.
fn lasting() -> Options {
    Options {
        era: Eras::Modern,
        ttl: HOUR,
        ..Options::default()
    }
}

async fn gateway(servers: &[(&str, &HttpFixture)]) -> Result<Gateway> {
    let servers: Vec<_> = servers
        .iter()
        .map(|(name, server)| (*name, remote(&server.url())))
        .collect();
    let config = configuration(&servers);
    Gateway::builder(BINARY).config(config).start().await
}

/// Lists until a list asks the server for nothing.
async fn settle(session: &Session, lists: impl Fn() -> u64) -> Result<()> {
    wait::until("a list to be kept", || async {
        let before = lists();
        session
            .tool_names()
            .await
            .is_ok_and(|names| !names.is_empty())
            && lists() == before
    })
    .await
}

/// What a modern client is told of a result.
async fn hints(session: &Session, method: &str) -> Result<(u64, String)> {
    let result = session.request(method, json!({})).await?.result()?;
    let ttl = result.get("ttlMs").and_then(Value::as_u64);
    let ttl = ttl.context("no ttlMs")?;
    let scope = result.get("cacheScope").and_then(Value::as_str);
    let scope = scope.context("no cacheScope")?;
    Ok((ttl, scope.to_owned()))
}

/// What the operations listener says is kept of a server's tools.
async fn kept_tools(gateway: &Gateway) -> Result<Value> {
    let url = gateway.operations_url("/servers").await?;
    let answer = RawClient::default()
        .send(Method::GET, &url, &[], "")
        .await?;
    let said: Value = serde_json::from_slice(&answer.body)?;
    let kept = said.pointer("/servers/0/lists/tools");
    Ok(kept.cloned().unwrap_or_default())
}

#[tokio::test]
async fn a_list_that_holds_is_served_to_clients_of_both_eras_without_asking() -> Result<()> {
    let server = HttpFixture::start(lasting()).await?;
    let gateway = gateway(&[("server", &server)]).await?;
    let modern = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    settle(&modern, || server.lists()).await?;
    let asked = server.lists();
    for era in Era::BOTH.repeat(2) {
        for path in ["/mcp", "/s/server/mcp"] {
            let names = Session::open(era, &gateway.url(path)).await?;
            assert_eq!(names.tool_names().await?.len(), 6);
        }
    }
    assert_eq!(server.lists(), asked);
    let (ttl, scope) = hints(&modern, "tools/list").await?;
    assert!((1..=HOUR).contains(&ttl), "{ttl}");
    assert_eq!(scope, "public");
    let kept = kept_tools(&gateway).await?;
    assert_eq!(kept["shared"]["items"], 6, "{kept}");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_list_is_asked_for_anew_when_the_time_is_over_that_its_server_says() -> Result<()> {
    let brief = Options {
        ttl: 100,
        ..lasting()
    };
    let server = HttpFixture::start(brief).await?;
    let gateway = gateway(&[("server", &server)]).await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    let asked = server.lists();
    wait::until("the list to be asked for anew, twice", || async {
        session.tool_names().await.is_ok() && server.lists() >= asked + 2
    })
    .await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_may_not_be_kept_is_asked_for_every_time() -> Result<()> {
    let fleeting = Options {
        ttl: 0,
        ..lasting()
    };
    let server = HttpFixture::start(fleeting).await?;
    let gateway = gateway(&[("server", &server)]).await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    for _ in 0..3 {
        let asked = server.lists();
        assert_eq!(hints(&session, "tools/list").await?, (0, "public".into()));
        assert_eq!(server.lists(), asked + 1);
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_legacy_server_that_nobody_hears_is_believed_for_a_short_time() -> Result<()> {
    // It declares list-changed, but has no stream on which it could say so.
    let legacy = Options {
        era: Eras::Legacy,
        ..Options::default()
    };
    let server = HttpFixture::start(legacy).await?;
    let gateway = gateway(&[("server", &server)]).await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    settle(&session, || server.lists()).await?;
    let asked = server.lists();
    let (ttl, scope) = hints(&session, "tools/list").await?;
    assert!((1..=10_000).contains(&ttl), "{ttl}");
    assert_eq!(scope, "private");
    wait::until("the list to be asked for anew", || async {
        session.tool_names().await.is_ok() && server.lists() > asked
    })
    .await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_says_its_list_has_changed_is_asked_anew() -> Result<()> {
    for eras in [Eras::Legacy, Eras::Modern] {
        let server = ConformanceServer::start(eras).await?;
        let config = configuration(&[("server", remote(&server.url()))]);
        let gateway = Gateway::builder(BINARY).config(config).start().await?;
        let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
        settle(&session, || server.lists()).await?;
        if eras == Eras::Legacy {
            // Once its standing stream is open.
            wait::until("the server to be heard", || async {
                let listed = session.tool_names().await.is_ok();
                let kept = kept_tools(&gateway).await.unwrap_or_default();
                listed && kept["shared"]["holds"] == "until the server says otherwise"
            })
            .await?;
        }
        // The gateway may still be subscribing: then it asks anew because of that.
        let trigger = json!({});
        session.call("test_trigger_tool_change", trigger).await?;
        session.wait_for_tool("test_added_tool").await?;
        settle(&session, || server.lists()).await?;
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn news_of_a_change_on_a_calls_own_stream_alone_make_it_be_asked_anew() -> Result<()> {
    let telling = Options {
        era: Eras::Legacy,
        answer: AnswerForm::Sse,
        changes_in_calls: true,
        ..Options::default()
    };
    let server = HttpFixture::start(telling).await?;
    let gateway = gateway(&[("server", &server)]).await?;
    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        settle(&session, || server.lists()).await?;
        let asked = server.lists();
        session.call_text("echo", json!({})).await?;
        session.tool_names().await?;
        assert_eq!(server.lists(), asked + 1, "{era:?}");
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_was_found_to_be_away_is_asked_anew() -> Result<()> {
    let server = HttpFixture::start(lasting()).await?;
    let gateway = gateway(&[("server", &server)]).await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    settle(&session, || server.lists()).await?;
    let address = server.kill().await;
    let failed = session.call("echo", json!({})).await?;
    assert_eq!(failed.error_code()?, UNAVAILABLE, "{}", failed.text());
    let more = Options {
        tools: 1,
        ..lasting()
    };
    let server = HttpFixture::start_at(address, more);
    let _server = server.await?;
    session.wait_for_tool("tool-0000").await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn only_a_server_whose_own_configuration_changes_is_asked_anew() -> Result<()> {
    let server = HttpFixture::start(lasting()).await?;
    let other = HttpFixture::start(lasting()).await?;
    let gateway = gateway(&[("server", &server)]).await?;
    let session = Session::open(Era::Modern, &gateway.url("/s/server/mcp")).await?;
    settle(&session, || server.lists()).await?;
    let asked = server.lists();
    let servers = |own: Value| configuration(&[("server", own), ("other", remote(&other.url()))]);
    gateway
        .apply_config(&servers(remote(&server.url())))
        .await?;
    session.tool_names().await?;
    assert_eq!(server.lists(), asked, "nothing has changed for it");
    let mut changed = remote(&server.url());
    changed["timeout"] = json!("50s");
    gateway.apply_config(&servers(changed)).await?;
    wait::until("the server to be asked anew", || async {
        session.tool_names().await.is_ok() && server.lists() > asked
    })
    .await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn several_servers_together_are_kept_as_the_strictest_of_them() -> Result<()> {
    let lasting_server = HttpFixture::start(lasting()).await?;
    let brief = Options {
        ttl: 60_000,
        private: true,
        ..lasting()
    };
    let brief = HttpFixture::start(brief).await?;
    let gateway = gateway(&[("lasting", &lasting_server), ("brief", &brief)]).await?;
    for tool in ["lasting__echo", "brief__echo"] {
        gateway.wait_for_tool("/mcp", tool).await?;
    }
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    settle(&session, || lasting_server.lists() + brief.lists()).await?;
    let (ttl, scope) = hints(&session, "tools/list").await?;
    assert!((1..=60_000).contains(&ttl), "{ttl}");
    assert_eq!(scope, "private");
    // Neither has prompts, and neither says so for long.
    let (ttl, scope) = hints(&session, "prompts/list").await?;
    assert!(ttl > 0, "{ttl}");
    assert_eq!(scope, "public");

    let alone = Session::open(Era::Modern, &gateway.url("/s/lasting/mcp")).await?;
    let (ttl, scope) = hints(&alone, "tools/list").await?;
    assert!(ttl > 60_000, "{ttl}");
    assert_eq!(scope, "public");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn while_a_server_hangs_nobody_is_told_to_keep_what_is_shown() -> Result<()> {
    let healthy = HttpFixture::start(lasting()).await?;
    let hung = Options {
        hang: Some(Hang::List),
        ..lasting()
    };
    let hung = HttpFixture::start(hung).await?;
    let gateway = gateway(&[("healthy", &healthy), ("hung", &hung)]).await?;
    gateway.wait_for_tool("/mcp", "healthy__echo").await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    assert_eq!(hints(&session, "tools/list").await?.0, 0);
    hung.hang(None);
    wait::until("a list that may be kept", || async {
        let hints = hints(&session, "tools/list").await;
        hints.is_ok_and(|(ttl, _)| ttl > 0)
    })
    .await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_introduction_is_kept_as_its_servers_say() -> Result<()> {
    let lasting_server = HttpFixture::start(lasting()).await?;
    let legacy = Options {
        era: Eras::Legacy,
        ..Options::default()
    };
    let legacy = HttpFixture::start(legacy).await?;
    let gateway = gateway(&[("lasting", &lasting_server), ("legacy", &legacy)]).await?;
    for tool in ["lasting__echo", "legacy__echo"] {
        gateway.wait_for_tool("/mcp", tool).await?;
    }
    let one = Session::open(Era::Modern, &gateway.url("/s/lasting/mcp")).await?;
    let (ttl, scope) = hints(&one, "server/discover").await?;
    assert!(ttl > 60_000, "{ttl}");
    assert_eq!(scope, "public");
    let both = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    let (ttl, scope) = hints(&both, "server/discover").await?;
    assert!((1..=10_000).contains(&ttl), "{ttl}");
    assert_eq!(scope, "private");
    gateway.stop().await?;
    Ok(())
}

/// Two users, and a policy by which the one may use less than the other.
fn plugins() -> Value {
    json!({
        "auth_provider": { "provider": "in-memory", "implementation": "api-key", "settings": { "keys": [
            { "id": "ada", "user_id": "ada",
              "hash": ADA_HASH },
            { "id": "bob", "user_id": "bob",
              "hash": BOB_HASH },
        ] } },
        "policy_evaluator": { "provider": "in-memory", "implementation": "always-allow" },
    })
}

#[tokio::test]
async fn two_users_never_share_what_is_private() -> Result<()> {
    for (private, questions) in [(true, 2), (false, 1)] {
        let options = Options {
            private,
            ..lasting()
        };
        let server = HttpFixture::start(options).await?;
        let servers = json!({ "server": remote(&server.url()) });
        let config = json!({ "servers": servers, "plugins": plugins() });
        let gateway = Gateway::builder(BINARY).config(config.to_string());
        let gateway = gateway.start().await?;
        let url = gateway.url("/mcp");
        let ada = Session::open_with(Era::Modern, &url, &[("x-api-key", ADA_KEY)]).await?;
        settle(&ada, || server.lists()).await?;
        let asked = server.lists();
        let bob = Session::open_with(Era::Modern, &url, &[("x-api-key", BOB_KEY)]).await?;
        for session in [&bob, &ada, &bob] {
            assert_eq!(session.tool_names().await?.len(), 6);
        }
        assert_eq!(server.lists(), asked + questions - 1, "private: {private}");
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_policy_decides_is_told_to_be_private_and_not_for_long() -> Result<()> {
    let server = HttpFixture::start(lasting()).await?;
    let rules = json!([{ "effect": "allow", "users": ["ada"] }]);
    let mut plugins = plugins();
    plugins["policy_evaluator"] = json!({
        "provider": "in-memory", "implementation": "rules", "settings": { "rules": rules },
    });
    let servers = json!({ "server": remote(&server.url()) });
    let config = json!({ "servers": servers, "plugins": plugins });
    let gateway = Gateway::builder(BINARY).config(config.to_string());
    let gateway = gateway.start().await?;
    let url = gateway.url("/mcp");
    let ada = Session::open_with(Era::Modern, &url, &[("x-api-key", ADA_KEY)]).await?;
    settle(&ada, || server.lists()).await?;
    let (ttl, scope) = hints(&ada, "tools/list").await?;
    assert!((1..=10_000).contains(&ttl), "{ttl}");
    assert_eq!(scope, "private");
    gateway.stop().await?;
    Ok(())
}
