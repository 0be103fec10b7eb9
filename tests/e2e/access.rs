//! Policy by rules: who sees what, and that nobody can use what they do not see.

use anyhow::Result;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::secrets::{ADA_HASH, ADA_KEY, BOB_HASH, BOB_KEY};
use gateway_tests::servers::remote;
use gateway_tests::{Era, Gateway, Session};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// The code of what a policy denies.
const DENIED: i64 = 1003;

fn config(one: &HttpFixture, two: &HttpFixture, rules: Value) -> String {
    let keys = json!([
        { "id": "ada", "user_id": "ada", "roles": ["admin"],
          "hash": ADA_HASH },
        { "id": "bob", "user_id": "bob", "groups": ["readers"],
          "hash": BOB_HASH },
    ]);
    let plugin = |name: &str, settings: Value| json!({ "provider": "in-memory", "implementation": name, "settings": settings });
    json!({
        "plugins": {
            "auth_provider": plugin("api-key", json!({ "keys": keys })),
            "policy_evaluator": plugin("rules", json!({ "rules": rules })),
        },
        "servers": { "one": remote(&one.url()), "two": remote(&two.url()) },
    })
    .to_string()
}

#[tokio::test]
async fn two_callers_see_and_use_different_tools() -> Result<()> {
    let one = HttpFixture::start(Options::default()).await?;
    let two = HttpFixture::start(Options::default()).await?;
    let rules = json!([
        { "name": "nobody-waits", "effect": "deny", "kinds": ["tool"], "names": ["w*t"] },
        { "effect": "allow", "roles": ["admin"] },
        { "effect": "allow", "groups": ["readers"], "servers": ["two"], "names": ["echo", "who*"] },
    ]);
    let gateway = Gateway::builder(BINARY)
        .config(config(&one, &two, rules))
        .start()
        .await?;
    let url = gateway.url("/mcp");
    for era in Era::BOTH {
        let ada = Session::open_with(era, &url, &[("x-api-key", ADA_KEY)]).await?;
        ada.wait_for_tool("one__echo").await?;
        ada.wait_for_tool("two__echo").await?;
        let seen = ada.tool_names().await?;
        assert_eq!(seen.len(), 10, "all of both but `wait`: {seen:?}");
        assert!(
            !seen.iter().any(|name| name.ends_with("__wait")),
            "{seen:?}"
        );

        let bob = Session::open_with(era, &url, &[("x-api-key", BOB_KEY)]).await?;
        assert_eq!(bob.tool_names().await?, ["two__echo", "two__whoami"]);
        assert_eq!(bob.call_text("two__echo", json!({})).await?, "{}");
        let calls = (one.calls(), two.calls());
        for (session, tool, reason) in [
            (&bob, "two__fail", "no rule allows it"),
            (&bob, "one__echo", "no rule allows it"),
            (&bob, "two__wait", "rule `nobody-waits` denies it"),
            (&ada, "one__wait", "rule `nobody-waits` denies it"),
        ] {
            let answer = session.call(tool, json!({})).await?;
            assert_eq!(answer.error_code()?, DENIED, "{tool}: {}", answer.text());
            assert!(answer.text().contains(reason), "{tool}: {}", answer.text());
        }
        assert_eq!((one.calls(), two.calls()), calls, "nothing was forwarded");
    }
    let is_denial = |event: &Value| event["user_id"] == "bob" && event["tool"] == "wait";
    let event = gateway.wait_for_audit(is_denial).await?;
    assert_eq!(event["result"], "denied", "{event}");
    let reason = event["metadata"]["reason"].to_string();
    assert!(reason.contains("rule `nobody-waits`"), "{event}");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_edit_of_the_rules_counts_for_the_next_request() -> Result<()> {
    let one = HttpFixture::start(Options::default()).await?;
    let two = HttpFixture::start(Options::default()).await?;
    let everything = json!([{ "effect": "allow" }]);
    let gateway = Gateway::builder(BINARY)
        .config(config(&one, &two, everything))
        .start()
        .await?;
    let url = gateway.url("/s/two/mcp");
    let bob = Session::open_with(Era::Legacy, &url, &[("x-api-key", BOB_KEY)]).await?;
    bob.wait_for_tool("echo").await?;
    bob.call_text("echo", json!({})).await?;
    let admins = json!([{ "effect": "allow", "roles": ["admin"] }]);
    gateway.apply_config(&config(&one, &two, admins)).await?;
    assert_eq!(bob.call("echo", json!({})).await?.error_code()?, DENIED);
    assert_eq!(bob.tool_names().await?, Vec::<String>::new());
    gateway.stop().await?;
    Ok(())
}
