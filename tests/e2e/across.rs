//! What has no counterpart in the other era: a clear error for the client at once, and a clear answer for the server.

use anyhow::{Context as _, Result};
use gateway_tests::clients::{OfficialClient, Step};
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::fixture::{AnswerForm, Eras, HttpFixture, Options};
use gateway_tests::raw::Answer;
use gateway_tests::servers::{configuration, fixture_on_stdio, remote};
use gateway_tests::{Era, Gateway, Session, wait};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const NOT_BRIDGEABLE: i64 = 1007;
const QUESTIONS: [&str; 3] = ["sampling/createMessage", "elicitation/create", "roots/list"];

/// A gateway before one server, and the server where it is in this process.
struct Setting {
    name: String,
    gateway: Gateway,
    server: Option<HttpFixture>,
}

async fn over_http(options: Options) -> Result<Setting> {
    let name = format!("{options:?}");
    let server = HttpFixture::start(Options {
        asking: true,
        ..options
    })
    .await?;
    let gateway = gateway(remote(&server.url())).await?;
    Ok(Setting {
        name,
        gateway,
        server: Some(server),
    })
}

async fn on_stdio(arguments: &[&str]) -> Result<Setting> {
    let mut all = vec!["--asking"];
    all.extend_from_slice(arguments);
    let gateway = gateway(fixture_on_stdio(BINARY, &all)?).await?;
    Ok(Setting {
        name: format!("stdio {arguments:?}"),
        gateway,
        server: None,
    })
}

async fn gateway(server: Value) -> Result<Gateway> {
    let config = configuration(&[("server", server)]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "ask").await?;
    Ok(gateway)
}

/// A server of one era over every transport that can carry a question.
async fn settings(era: Eras) -> Result<Vec<Setting>> {
    let options = |answer, sessions| Options {
        era,
        answer,
        sessions,
        ..Options::default()
    };
    let mut settings = vec![
        over_http(options(AnswerForm::Sse, false)).await?,
        over_http(options(AnswerForm::Sse, true)).await?,
    ];
    if era == Eras::Modern {
        settings.push(over_http(options(AnswerForm::Json, false)).await?);
        settings.push(on_stdio(&["--era", "modern"]).await?);
    } else {
        let server = HttpFixture::start(Options {
            asking: true,
            ..options(AnswerForm::Json, false)
        })
        .await?;
        let url = server.url().replace("/mcp", "/sse");
        settings.push(Setting {
            name: "HTTP+SSE".to_owned(),
            gateway: gateway(remote(&url)).await?,
            server: Some(server),
        });
        settings.push(on_stdio(&["--era", "legacy"]).await?);
    }
    Ok(settings)
}

fn error_text(answer: &Answer) -> Result<String> {
    let message = answer.message()?;
    let text = message.pointer("/error/message").and_then(Value::as_str);
    let text = text.with_context(|| format!("no error: {message}"))?;
    Ok(text.to_owned())
}

fn cannot_be_asked(answer: &Answer, asked: &str, name: &str) -> Result<()> {
    assert_eq!(
        answer.error_code()?,
        NOT_BRIDGEABLE,
        "{name}: {}",
        answer.text()
    );
    let told = error_text(answer)?;
    for part in ["server `server`", asked, "cannot be asked"] {
        assert!(told.contains(part), "{name}: {told}");
    }
    Ok(())
}

/// Waits until the server has got an answer to its question.
async fn is_told(gateway: &Gateway, server: Option<&HttpFixture>, method: &str) -> Result<()> {
    let Some(server) = server else {
        gateway
            .wait_for_log(&["answered", "-32601", method])
            .await?;
        return Ok(());
    };
    wait::until("the server to be told", || async {
        let mut answers = server.answers().into_iter();
        answers.any(|answer| answer.to_string().contains(method))
    })
    .await
}

#[tokio::test]
async fn a_modern_clients_call_ends_when_its_legacy_server_asks_something() -> Result<()> {
    for setting in settings(Eras::Legacy).await? {
        let Setting {
            name,
            gateway,
            server,
        } = setting;
        let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
        for method in QUESTIONS {
            // The second would hang whatever it is told, and with it a client that is told nothing.
            for stubborn in [false, true] {
                let arguments = json!({ "method": method, "stubborn": stubborn });
                let answer = session.call("ask", arguments).await?;
                cannot_be_asked(&answer, method, &name)?;
            }
            is_told(&gateway, server.as_ref(), method).await?;
        }
        assert_eq!(session.call_text("echo", json!({})).await?, "{}", "{name}");
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn of_several_calls_of_a_child_each_gets_what_the_child_makes_of_the_refusal() -> Result<()> {
    let Setting { gateway, .. } = on_stdio(&["--era", "legacy"]).await?;
    let url = gateway.url("/mcp");
    let (waiting, asking) = (
        Session::open(Era::Modern, &url).await?,
        Session::open(Era::Modern, &url).await?,
    );
    let ask = async {
        gateway.wait_for_log(&["called wait"]).await?;
        let arguments = json!({ "method": "roots/list" });
        asking.call_text("ask", arguments).await
    };
    let refused = tokio::select! {
        answered = waiting.call("wait", json!({})) => panic!("answered {answered:?}"),
        refused = ask => refused?,
    };
    assert!(
        refused.contains("roots/list") && refused.contains("cannot be asked"),
        "{refused}"
    );
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_question_outside_of_any_call_is_refused_and_does_no_harm() -> Result<()> {
    let Setting { gateway, .. } = on_stdio(&["--era", "legacy", "--asks-first"]).await?;
    gateway
        .wait_for_log(&["answered \"unprompted\"", "-32601", "cannot be asked"])
        .await?;
    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        assert_eq!(session.call_text("echo", json!({})).await?, "{}");
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_legacy_clients_call_ends_when_its_modern_server_asks_something() -> Result<()> {
    for Setting {
        name,
        gateway,
        server: _server,
    } in settings(Eras::Modern).await?
    {
        let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
        for method in QUESTIONS {
            let answer = session.call("ask", json!({ "method": method })).await?;
            cannot_be_asked(&answer, method, &name)?;
        }
        let modern = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
        let arguments = json!({ "method": "roots/list" });
        let result = modern.call("ask", arguments).await?.result()?;
        assert_eq!(result["resultType"], "input_required", "{name}: {result}");
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_legacy_client_learns_what_its_modern_server_would_ask() -> Result<()> {
    let server = ConformanceServer::start(Eras::Modern).await?;
    let config = configuration(&[("server", remote(&server.url()))]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "test_sampling").await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    for (tool, asked) in [
        ("test_sampling", "asks for sampling"),
        ("test_list_roots", "asks for roots"),
        ("test_elicitation", "asks for elicitation"),
    ] {
        let arguments = json!({ "prompt": "p", "message": "m" });
        let answer = session.call(tool, arguments).await?;
        cannot_be_asked(&answer, asked, tool)?;
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_missing_resource_has_the_code_of_the_clients_era() -> Result<()> {
    for eras in [Eras::Legacy, Eras::Modern] {
        let argument = if eras == Eras::Legacy {
            "legacy"
        } else {
            "modern"
        };
        let options = Options {
            era: eras,
            ..Options::default()
        };
        for setting in [
            over_http(options).await?,
            on_stdio(&["--era", argument]).await?,
        ] {
            for (era, code) in [(Era::Legacy, -32002), (Era::Modern, -32602)] {
                let session = Session::open(era, &setting.gateway.url("/mcp")).await?;
                let answer = session
                    .request("resources/read", json!({ "uri": "x:missing" }))
                    .await?;
                assert_eq!(answer.error_code()?, code, "{} {era:?}", setting.name);
            }
            setting.gateway.stop().await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_page_to_visit_first_is_told_to_clients_of_both_eras() -> Result<()> {
    let options = Options {
        era: Eras::Legacy,
        ..Options::default()
    };
    for setting in [
        over_http(options).await?,
        on_stdio(&["--era", "legacy"]).await?,
    ] {
        let url = setting.gateway.url("/mcp");
        let legacy = Session::open(Era::Legacy, &url).await?;
        let answer = legacy.call("visit", json!({})).await?;
        assert_eq!(answer.error_code()?, -32042, "{}", answer.text());
        let modern = Session::open(Era::Modern, &url).await?;
        let answer = modern.call("visit", json!({})).await?;
        assert_eq!(answer.error_code()?, NOT_BRIDGEABLE, "{}", answer.text());
        let told = error_text(&answer)?;
        assert!(told.contains("server `server`"), "{told}");
        assert!(
            told.contains("open https://example.com/visit first"),
            "{told}"
        );
        let data = answer.message()?["error"]["data"].clone();
        assert_eq!(data["elicitations"][0]["elicitationId"], "e-1", "{data}");
        setting.gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn legacy_clients_use_a_tool_whose_structure_they_do_not_have() -> Result<()> {
    let options = Options {
        era: Eras::Modern,
        ..Options::default()
    };
    for setting in [
        over_http(options).await?,
        on_stdio(&["--era", "modern"]).await?,
    ] {
        let url = setting.gateway.url("/mcp");
        let definition = |era| {
            let url = url.clone();
            async move {
                let session = Session::open(era, &url).await?;
                let list = session.request("tools/list", json!({})).await?.result()?;
                let tools = list["tools"].as_array().context("no tools")?.clone();
                let tool = tools.into_iter().find(|tool| tool["name"] == "array");
                let result = session.call("array", json!({})).await?.result()?;
                anyhow::Ok((tool.context("not listed")?, result))
            }
        };
        let (tool, result) = definition(Era::Modern).await?;
        assert_eq!(tool["outputSchema"]["type"], "array", "{tool}");
        assert_eq!(result["structuredContent"], json!([1, 2]), "{result}");
        let (tool, result) = definition(Era::Legacy).await?;
        assert!(tool.get("outputSchema").is_none(), "{tool}");
        assert_eq!(tool["x-vendor"]["float"], 1.0, "{tool}");
        assert!(result.get("structuredContent").is_none(), "{result}");
        assert_eq!(result["content"][0]["text"], "[1,2]", "{result}");
        for client in [
            OfficialClient::TS_V1,
            OfficialClient::TS_V2_LEGACY,
            OfficialClient::PYTHON_LEGACY,
            OfficialClient::TS_V2_PINNED,
            OfficialClient::PYTHON_PINNED,
        ] {
            let steps = vec![
                Step::list("tools").lists("array"),
                Step::call("array", json!({})).says("[1,2]"),
            ];
            let visits = [(url.clone(), steps)];
            client.visit(client.best_version(), &visits).await?;
        }
        setting.gateway.stop().await?;
    }
    Ok(())
}
