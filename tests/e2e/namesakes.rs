//! Two servers that are alike to the last name: each item is listed for both, and used at the one that was meant.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::fixture::Eras;
use gateway_tests::servers::{configuration, remote};
use gateway_tests::{Era, Gateway, Session, wait};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

async fn twins(eras: [Eras; 2]) -> Result<([ConformanceServer; 2], Gateway)> {
    let twins = [
        ConformanceServer::start(eras[0]).await?,
        ConformanceServer::start(eras[1]).await?,
    ];
    let config = configuration(&[
        ("one", remote(&twins[0].url())),
        ("other", remote(&twins[1].url())),
    ]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    for tool in ["one__test_simple_text", "other__test_simple_text"] {
        gateway.wait_for_tool("/mcp", tool).await?;
    }
    Ok((twins, gateway))
}

async fn names(session: &Session, method: &str, list: &str, name: &str) -> Result<Vec<String>> {
    let result = session.request(method, json!({})).await?.result()?;
    let items = result.get(list).and_then(Value::as_array);
    let names = items.context("no list")?.iter().map(|item| {
        let name = item.get(name).and_then(Value::as_str);
        name.map(str::to_owned).context("no name")
    });
    names.collect()
}

#[tokio::test]
async fn every_item_of_both_is_listed_under_a_name_of_its_own() -> Result<()> {
    let (_twins, gateway) = twins([Eras::Legacy, Eras::Modern]).await?;
    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        for (method, list, name) in [
            ("tools/list", "tools", "name"),
            ("prompts/list", "prompts", "name"),
            ("resources/list", "resources", "uri"),
            (
                "resources/templates/list",
                "resourceTemplates",
                "uriTemplate",
            ),
        ] {
            let all = names(&session, method, list, name).await?;
            let distinct: BTreeSet<_> = all.iter().collect();
            assert_eq!(distinct.len(), all.len(), "{method}: a name came twice");
            let ones = all.iter().filter(|name| is_of(name, "one")).count();
            assert_eq!(ones * 2, all.len(), "{method}: {all:?}");
        }
    }
    gateway.stop().await?;
    Ok(())
}

/// `one__name`, `one+uri`, or `ui://one/…`.
fn is_of(name: &str, server: &str) -> bool {
    let bare = name.strip_prefix("ui://").unwrap_or(name);
    let rest = bare.strip_prefix(server);
    rest.is_some_and(|rest| rest.starts_with(['_', '+', '/']))
}

#[tokio::test]
async fn what_is_changed_at_one_is_not_changed_at_the_other() -> Result<()> {
    let (_twins, gateway) = twins([Eras::Both, Eras::Both]).await?;
    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        let toggle = "other__test_trigger_resource_change";
        session.call(toggle, json!({})).await?.result()?;
        wait::until(
            "the other's list to have it, and not this one's",
            || async {
                let uris = names(&session, "resources/list", "resources", "uri").await;
                uris.is_ok_and(|uris| {
                    let has = |uri: &str| uris.iter().any(|listed| listed == uri);
                    has("other+test://added-resource") && !has("one+test://added-resource")
                })
            },
        )
        .await?;
        session.call(toggle, json!({})).await?.result()?;
    }
    gateway.stop().await?;
    Ok(())
}
