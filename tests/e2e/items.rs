//! Prompts, resources, templates and completion: of several servers under one endpoint, and of one server as they are.

use anyhow::{Context as _, Result};
use gateway_tests::servers::{Everything, configuration, filesystem, remote, time};
use gateway_tests::{Era, Gateway, Session};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

const RESOURCE_NOT_FOUND: i64 = -32002;
const INVALID_PARAMS: i64 = -32602;

/// `server-everything`, and two servers without prompts and resources beside it.
async fn three_servers() -> Result<(Gateway, Everything)> {
    let everything = Everything::start().await?;
    let config = configuration(&[
        ("everything", remote(&everything.url())),
        ("files", filesystem(&std::env::temp_dir())?),
        ("time", time()?),
    ]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    for tool in ["everything__echo", "time__get_current_time"] {
        gateway.wait_for_tool("/mcp", tool).await?;
    }
    Ok((gateway, everything))
}

/// The field of every item of a list.
async fn listed(session: &Session, method: &str, list: &str, field: &str) -> Result<Vec<String>> {
    let result = session.request(method, json!({})).await?.result()?;
    let items = result
        .get(list)
        .and_then(Value::as_array)
        .context("a result without the list")?;
    Ok(items
        .iter()
        .filter_map(|item| Some(item[field].as_str()?.to_owned()))
        .collect())
}

#[tokio::test]
async fn an_endpoint_of_several_servers_shows_whose_items_they_are() -> Result<()> {
    let (gateway, _everything) = three_servers().await?;
    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        let prompts = listed(&session, "prompts/list", "prompts", "name").await?;
        assert!(
            prompts.contains(&"everything__simple-prompt".into()),
            "{prompts:?}"
        );
        let resources = listed(&session, "resources/list", "resources", "uri").await?;
        let uri = "everything+demo://resource/static/document/features.md";
        assert!(resources.contains(&uri.into()), "{resources:?}");
        let templates = listed(
            &session,
            "resources/templates/list",
            "resourceTemplates",
            "uriTemplate",
        )
        .await?;
        let template = "everything+demo://resource/dynamic/text/{resourceId}";
        assert!(templates.contains(&template.into()), "{templates:?}");
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn items_are_used_under_the_names_that_are_shown() -> Result<()> {
    let (gateway, _everything) = three_servers().await?;
    for (path, name_prefix, uri_prefix) in [
        ("/mcp", "everything__", "everything+"),
        ("/s/everything/mcp", "", ""),
    ] {
        for era in Era::BOTH {
            let session = Session::open(era, &gateway.url(path)).await?;
            let uri = format!("{uri_prefix}demo://resource/dynamic/text/1");

            let read = session
                .request("resources/read", json!({ "uri": uri }))
                .await?
                .result()?;
            assert_eq!(read["contents"][0]["uri"], uri, "{read}");

            let arguments = json!({ "resourceType": "Text", "resourceId": "1" });
            let prompt =
                json!({ "name": format!("{name_prefix}resource-prompt"), "arguments": arguments });
            let got = session.request("prompts/get", prompt).await?.result()?;
            assert_eq!(
                got["messages"][1]["content"]["resource"]["uri"], uri,
                "{got}"
            );

            let tool = format!("{name_prefix}get-resource-links");
            let called = session.call(&tool, json!({ "count": 2 })).await?.result()?;
            let link = called["content"][2]["uri"].as_str().context("no link")?;
            assert_eq!(link, format!("{uri_prefix}demo://resource/dynamic/text/2"));

            let reference =
                json!({ "type": "ref/prompt", "name": format!("{name_prefix}completable-prompt") });
            assert_eq!(
                complete(&session, reference, "department", "E").await?,
                ["Engineering"]
            );
            let uri = format!("{uri_prefix}demo://resource/dynamic/text/{{resourceId}}");
            let reference = json!({ "type": "ref/resource", "uri": uri });
            assert_eq!(
                complete(&session, reference, "resourceId", "7").await?,
                ["7"]
            );
        }
    }
    gateway.stop().await?;
    Ok(())
}

async fn complete(
    session: &Session,
    reference: Value,
    name: &str,
    value: &str,
) -> Result<Vec<String>> {
    let params = json!({ "ref": reference, "argument": { "name": name, "value": value } });
    let result = session
        .request("completion/complete", params)
        .await?
        .result()?;
    Ok(serde_json::from_value(
        result
            .pointer("/completion/values")
            .cloned()
            .unwrap_or_default(),
    )?)
}

#[tokio::test]
async fn what_is_not_there_gets_the_error_of_the_clients_version() -> Result<()> {
    let (gateway, _everything) = three_servers().await?;
    for (era, code) in [
        (Era::Legacy, RESOURCE_NOT_FOUND),
        (Era::Modern, INVALID_PARAMS),
    ] {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        for uri in ["nobody+file:///x", "file:///x"] {
            let answer = session
                .request("resources/read", json!({ "uri": uri }))
                .await?;
            assert_eq!(answer.error_code()?, code, "{}", answer.text());
        }
        for name in ["nobody__prompt", "prompt"] {
            let answer = session
                .request("prompts/get", json!({ "name": name }))
                .await?;
            assert_eq!(answer.error_code()?, INVALID_PARAMS, "{}", answer.text());
        }
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_endpoint_introduces_itself_by_its_servers() -> Result<()> {
    let (gateway, _everything) = three_servers().await?;
    let discovered = |path: &'static str| {
        let url = gateway.url(path);
        async move {
            let session = Session::open(Era::Modern, &url).await?;
            session
                .request("server/discover", json!({}))
                .await?
                .result()
        }
    };
    let all = discovered("/mcp").await?;
    for capability in ["tools", "prompts", "resources", "completions"] {
        assert!(all["capabilities"].get(capability).is_some(), "{all}");
    }
    let instructions = all["instructions"].as_str().context("no instructions")?;
    assert!(
        instructions.starts_with("## everything\n\n# Everything Server"),
        "{instructions}"
    );
    let time = discovered("/s/time/mcp").await?;
    assert!(time["capabilities"].get("completions").is_none(), "{time}");
    let info = &time["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert_eq!(info["name"], "mcp-time", "{time}");
    gateway.stop().await?;
    Ok(())
}
