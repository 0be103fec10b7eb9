//! Subscriptions to resources, across eras and transports: who hears of what, and for how long.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::crossing::Client;
use gateway_tests::fixture::{Eras, HttpFixture, Options};
use gateway_tests::raw::Stream;
use gateway_tests::servers::{configuration, conformance_on_stdio, remote};
use gateway_tests::{Era, Gateway, processes, wait};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

const UPDATED: &str = "notifications/resources/updated";
const ONE: &str = "test://watched-resource";
const TWO: &str = "test://static-text";

/// The code of what a policy denies.
const DENIED: i64 = 1003;

/// A client and the stream on which it is told.
struct Watcher {
    era: Era,
    client: Client,
    stream: Stream,
    /// The server's own URI.
    uri: &'static str,
}

impl Watcher {
    async fn begin(
        gateway: &Gateway,
        era: Era,
        name: &'static str,
        uri: &'static str,
    ) -> Result<Self> {
        let client = Client::open(gateway, era, name, None).await?;
        let shown = shown(uri);
        let stream = match era {
            Era::Legacy => {
                let stream = client.standing().await?;
                let subscribed = subscribe(&client, &shown).await?;
                ensure!(subscribed.get("result").is_some(), "{subscribed}");
                stream
            }
            Era::Modern => {
                // Both clients choose the same id.
                let filter = json!({ "resourceSubscriptions": [shown] });
                let mut stream = client.listen("listen", filter.clone()).await?;
                let agreed = stream.next().await?.context("no acknowledgment")?;
                let agreed = agreed.message.pointer("/params/notifications").cloned();
                ensure!(agreed == Some(filter), "{agreed:?}");
                stream
            }
        };
        Ok(Self {
            era,
            client,
            stream,
            uri,
        })
    }

    /// What the server is made to say of two resources: first of the other client's.
    async fn trigger(&self, other: &str) -> Result<()> {
        for uri in [other, self.uri] {
            trigger(&self.client, uri).await?;
        }
        Ok(())
    }

    /// The next that it is told, which has to be of its own resource.
    async fn hear(&mut self) -> Result<()> {
        let told = self.stream.next_of(UPDATED).await?.message;
        let uri = told.pointer("/params/uri").and_then(Value::as_str);
        ensure!(uri == Some(&shown(self.uri)), "{told}");
        let id = told.pointer("/params/_meta/io.modelcontextprotocol~1subscriptionId");
        let expected = (self.era == Era::Modern).then(|| json!("listen"));
        ensure!(id == expected.as_ref(), "{told}");
        Ok(())
    }

    /// Lets the server say something until this is heard.
    async fn hear_own(&mut self, other: &str) -> Result<()> {
        loop {
            self.trigger(other).await?;
            // The gateway may still be opening the stream on which the server says it.
            match tokio::time::timeout(Duration::from_secs(1), self.hear()).await {
                Ok(heard) => return heard,
                Err(_) => continue,
            }
        }
    }
}

fn shown(uri: &str) -> String {
    format!("server+{uri}")
}

async fn subscribe(client: &Client, shown: &str) -> Result<Value> {
    let params = json!({ "uri": shown });
    client
        .request("s".into(), "resources/subscribe", params)
        .await
}

async fn trigger(client: &Client, uri: &str) -> Result<()> {
    let arguments = json!({ "uri": uri });
    let params = json!({ "name": "server__test_trigger_resource_update", "arguments": arguments });
    let answer = client.request("t".into(), "tools/call", params).await?;
    ensure!(answer.get("result").is_some(), "{answer}");
    Ok(())
}

/// Beside another server, so that names tell which server is meant.
fn config(server: &Value, other: &HttpFixture) -> String {
    configuration(&[("server", server.clone()), ("other", remote(&other.url()))])
}

async fn start(server: &Value) -> Result<(Gateway, HttpFixture)> {
    let other = HttpFixture::start(Options::default()).await?;
    let config = config(server, &other);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    let tool = "server__test_trigger_resource_update";
    gateway.wait_for_tool("/mcp", tool).await?;
    Ok((gateway, other))
}

/// Two clients of one principal, each with a resource of its own.
async fn each_hears_its_own(gateway: &Gateway, era: Era) -> Result<()> {
    let mut one = Watcher::begin(gateway, era, "one", ONE).await?;
    let mut two = Watcher::begin(gateway, era, "two", TWO).await?;
    one.hear_own(TWO).await?;
    two.hear_own(ONE).await?;
    Ok(())
}

#[tokio::test]
async fn each_client_hears_of_its_own_resources_over_http() -> Result<()> {
    for eras in [Eras::Legacy, Eras::Modern] {
        let server = ConformanceServer::start(eras).await?;
        let (gateway, _other) = start(&remote(&server.url())).await?;
        for era in Era::BOTH {
            let case = || format!("a {era:?} client, a {eras:?} server");
            each_hears_its_own(&gateway, era).await.with_context(case)?;
        }
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn each_client_hears_of_its_own_resources_on_stdio() -> Result<()> {
    for eras in ["legacy", "modern"] {
        let (gateway, _other) = start(&conformance_on_stdio(BINARY, eras)?).await?;
        for era in Era::BOTH {
            let case = || format!("a {era:?} client, a {eras} server");
            each_hears_its_own(&gateway, era).await.with_context(case)?;
        }
        gateway.stop().await?;
    }
    Ok(())
}

async fn until_watched(server: &ConformanceServer, count: usize) -> Result<()> {
    let what = format!("the server to be asked for {count} resources");
    wait::until(&what, || async { server.watched() == count }).await
}

#[tokio::test]
async fn servers_are_told_when_nobody_watches_any_more() -> Result<()> {
    for eras in [Eras::Legacy, Eras::Modern] {
        let server = ConformanceServer::start(eras).await?;
        let (gateway, _other) = start(&remote(&server.url())).await?;
        let legacy = Watcher::begin(&gateway, Era::Legacy, "legacy", ONE).await?;
        let modern = Watcher::begin(&gateway, Era::Modern, "modern", ONE).await?;
        until_watched(&server, 2).await?;
        drop(modern);
        until_watched(&server, 1).await?;
        let params = json!({ "uri": shown(ONE) });
        let left = legacy
            .client
            .request("u".into(), "resources/unsubscribe", params)
            .await?;
        ensure!(left.get("result").is_some(), "{left}");
        until_watched(&server, 0).await?;
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn subscriptions_survive_a_server_over_http_that_is_restarted() -> Result<()> {
    for eras in [Eras::Legacy, Eras::Modern] {
        let server = ConformanceServer::start(eras).await?;
        let (gateway, _other) = start(&remote(&server.url())).await?;
        let mut watchers = Vec::new();
        for (era, name) in [(Era::Legacy, "legacy"), (Era::Modern, "modern")] {
            watchers.push(Watcher::begin(&gateway, era, name, ONE).await?);
        }
        let address = server.kill().await;
        let _server = ConformanceServer::start_at(address, eras).await?;
        for watcher in &mut watchers {
            let case = || format!("a {:?} client, a {eras:?} server", watcher.era);
            let case = case();
            // It may have changed while nobody was told.
            watcher.hear().await.with_context(|| case.clone())?;
            watcher.hear_own(TWO).await.context(case)?;
        }
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn subscriptions_survive_a_child_that_is_killed() -> Result<()> {
    for eras in ["legacy", "modern"] {
        let (gateway, _other) = start(&conformance_on_stdio(BINARY, eras)?).await?;
        for era in Era::BOTH {
            let mut watcher = Watcher::begin(&gateway, era, "one", ONE).await?;
            gateway.children().iter().for_each(processes::kill);
            let case = || format!("a {era:?} client, a {eras} server");
            watcher.hear().await.with_context(case)?;
            watcher.hear_own(TWO).await.with_context(case)?;
        }
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn subscriptions_survive_another_configuration_of_their_server() -> Result<()> {
    let server = ConformanceServer::start(Eras::Legacy).await?;
    let mut entry = remote(&server.url());
    let (gateway, other) = start(&entry).await?;
    let mut watchers = Vec::new();
    for (era, name) in [(Era::Legacy, "legacy"), (Era::Modern, "modern")] {
        watchers.push(Watcher::begin(&gateway, era, name, ONE).await?);
    }
    entry["timeout"] = "20s".into();
    gateway.apply_config(&config(&entry, &other)).await?;
    for watcher in &mut watchers {
        watcher.hear().await?;
        watcher.hear_own(TWO).await?;
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_log_level_survives_a_child_that_is_killed() -> Result<()> {
    let (gateway, _other) = start(&conformance_on_stdio(BINARY, "legacy")?).await?;
    let client = Client::open(&gateway, Era::Legacy, "one", None).await?;
    let params = json!({ "level": "error" });
    client
        .request("l".into(), "logging/setLevel", params)
        .await?;
    let quiet = async || {
        let answer = client
            .call(1, "server__test_tool_with_logging", json!({}))
            .await?;
        anyhow::Ok(answer.len() == 1)
    };
    assert!(quiet().await?, "it logs below the level that was set");
    let children = gateway.children();
    assert_eq!(children.len(), 2, "one for lists, and the client's own");
    children.iter().for_each(processes::kill);
    // The client does nothing.
    wait::until("both to be started again", || async {
        let now = gateway.children();
        now.len() == 2 && !now.iter().any(|child| children.contains(child))
    })
    .await?;
    assert!(quiet().await?, "the new child knows no level");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_a_policy_denies_is_not_watched() -> Result<()> {
    let server = ConformanceServer::start(Eras::Legacy).await?;
    let other = HttpFixture::start(Options::default()).await?;
    let servers: Value = json!({ "server": remote(&server.url()), "other": remote(&other.url()) });
    let config = |rules: Value| {
        let policy = json!({ "provider": "in-memory", "implementation": "rules", "settings": { "rules": rules } });
        json!({ "plugins": { "policy_evaluator": policy }, "servers": servers }).to_string()
    };
    let deny = |uri: &str| json!({ "name": "secret", "effect": "deny", "kinds": ["resource"], "names": [uri] });
    let all = json!({ "effect": "allow" });
    let first = config(json!([deny(TWO), all]));
    let gateway = Gateway::builder(BINARY).config(first).start().await?;
    let tool = "server__test_trigger_resource_update";
    gateway.wait_for_tool("/mcp", tool).await?;

    let legacy = Client::open(&gateway, Era::Legacy, "legacy", None).await?;
    let refused = subscribe(&legacy, &shown(TWO)).await?;
    assert_eq!(refused.pointer("/error/code"), Some(&json!(DENIED)));
    let modern = Client::open(&gateway, Era::Modern, "modern", None).await?;
    let filter = json!({ "resourceSubscriptions": [shown(ONE), shown(TWO), "nobody+x:y"] });
    let mut stream = modern.listen("listen", filter).await?;
    let agreed = stream.next().await?.context("no acknowledgment")?.message;
    let agreed = agreed.pointer("/params/notifications/resourceSubscriptions");
    assert_eq!(agreed, Some(&json!([shown(ONE)])));

    // What is denied later is watched no longer.
    until_watched(&server, 1).await?;
    gateway
        .apply_config(&config(json!([deny(ONE), all])))
        .await?;
    until_watched(&server, 0).await?;
    gateway.stop().await?;
    Ok(())
}
