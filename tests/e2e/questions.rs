//! What servers ask of clients: each question reaches the client that caused it, and nobody else.

use std::path::Path;

use anyhow::{Context as _, Result};
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::fixture::Eras;
use gateway_tests::raw::{ACCEPT, RawClient, Stream};
use gateway_tests::servers::{command, configuration, remote};
use gateway_tests::{Gateway, wait};
use http::{Method, StatusCode};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// A legacy client that can be asked for samples.
struct Client {
    raw: RawClient,
    url: String,
    session: String,
}

impl Client {
    async fn open(gateway: &Gateway, capabilities: Value) -> Result<Self> {
        let (raw, url) = (RawClient::default(), gateway.url("/mcp"));
        let initialize = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": capabilities,
                "clientInfo": { "name": "test", "version": "1" },
            },
        });
        let opened = raw.post(&url, &[], initialize.to_string()).await?;
        let session = opened
            .header("mcp-session-id")
            .context("no session")?
            .to_owned();
        let client = Self { raw, url, session };
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(client.send(&initialized).await?, StatusCode::ACCEPTED);
        Ok(client)
    }

    async fn send(&self, message: &Value) -> Result<StatusCode> {
        let headers = [("mcp-session-id", self.session.as_str())];
        let answer = self
            .raw
            .post(&self.url, &headers, message.to_string())
            .await?;
        Ok(answer.status)
    }

    async fn call(&self, id: u32, tool: &str, arguments: Value) -> Result<Stream> {
        let headers = [
            ACCEPT,
            ("content-type", "application/json"),
            ("mcp-session-id", &self.session),
        ];
        let call = json!({
            "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": tool, "arguments": arguments },
        });
        self.raw
            .stream(Method::POST, &self.url, &headers, call.to_string())
            .await
    }

    /// Answers the next question of a stream with a text of its own.
    async fn sample(&self, stream: &mut Stream, text: &str) -> Result<Value> {
        let question = stream.next_of("sampling/createMessage").await?.message;
        let answer = json!({
            "jsonrpc": "2.0", "id": question.get("id"),
            "result": { "role": "assistant", "model": "m", "content": { "type": "text", "text": text } },
        });
        assert_eq!(self.send(&answer).await?, StatusCode::ACCEPTED);
        Ok(question)
    }
}

async fn gateway(server: &ConformanceServer) -> Result<Gateway> {
    let config = configuration(&[("server", remote(&server.url()))]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "test_sampling").await?;
    Ok(gateway)
}

#[tokio::test]
async fn questions_of_two_clients_calls_do_not_cross() -> Result<()> {
    for eras in [Eras::Legacy, Eras::Both] {
        let server = ConformanceServer::start(eras).await?;
        let gateway = gateway(&server).await?;
        let one = Client::open(&gateway, json!({ "sampling": {} })).await?;
        let two = Client::open(&gateway, json!({ "sampling": {} })).await?;
        // The same id on purpose.
        let mut first = one
            .call(1, "test_sampling", json!({ "prompt": "of the first" }))
            .await?;
        let mut second = two
            .call(1, "test_sampling", json!({ "prompt": "of the second" }))
            .await?;
        let asked = two.sample(&mut second, "answer two").await?;
        assert!(asked.to_string().contains("of the second"), "{asked}");
        let asked = one.sample(&mut first, "answer one").await?;
        assert!(asked.to_string().contains("of the first"), "{asked}");
        for (stream, text) in [(&mut first, "answer one"), (&mut second, "answer two")] {
            let answer = stream.next().await?.context("no answer")?.message;
            assert_eq!(answer["id"], 1);
            assert!(answer["result"].to_string().contains(text), "{answer}");
        }
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_to_somebody_elses_question_reaches_nobody() -> Result<()> {
    let server = ConformanceServer::start(Eras::Legacy).await?;
    let gateway = gateway(&server).await?;
    let one = Client::open(&gateway, json!({ "sampling": {} })).await?;
    let other = Client::open(&gateway, json!({ "sampling": {} })).await?;
    let mut stream = one
        .call(1, "test_sampling", json!({ "prompt": "p" }))
        .await?;
    let question = stream.next_of("sampling/createMessage").await?.message;
    let result = json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "forged" } });
    let forged = json!({ "jsonrpc": "2.0", "id": question.get("id"), "result": result });
    assert_eq!(other.send(&forged).await?, StatusCode::ACCEPTED);
    let mut own = forged;
    own["result"]["content"]["text"] = "own".into();
    assert_eq!(one.send(&own).await?, StatusCode::ACCEPTED);
    let answer = stream.next().await?.context("no answer")?.message;
    assert!(answer["result"].to_string().contains("own"), "{answer}");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_cannot_be_asked_gets_the_servers_error() -> Result<()> {
    let server = ConformanceServer::start(Eras::Legacy).await?;
    let gateway = gateway(&server).await?;
    let client = Client::open(&gateway, json!({})).await?;
    let headers = [("mcp-session-id", client.session.as_str())];
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "test_sampling", "arguments": { "prompt": "p" } },
    });
    let answer = client
        .raw
        .post(&client.url, &headers, call.to_string())
        .await?
        .message()?;
    let failed = answer.get("error").is_some() || answer["result"]["isError"] == true;
    assert!(failed, "{answer}");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_was_restarted_asks_the_same_client_again() -> Result<()> {
    let server = ConformanceServer::start(Eras::Legacy).await?;
    let gateway = gateway(&server).await?;
    let client = Client::open(&gateway, json!({ "sampling": {} })).await?;
    let asks = || async {
        let call = client.call(1, "test_sampling", json!({ "prompt": "p" }));
        let mut stream = call.await?;
        client.sample(&mut stream, "still here").await?;
        let answer = stream.next().await?.context("no answer")?.message;
        anyhow::Ok(answer["result"].to_string().contains("still here"))
    };
    assert!(asks().await?);
    let address = server.kill().await;
    let _server = ConformanceServer::start_at(address, Eras::Legacy).await?;
    wait::until("the client to be asked again", || async {
        asks().await.is_ok_and(|answered| answered)
    })
    .await?;
    gateway.stop().await?;
    Ok(())
}

/// A child that asks, takes its question back, logs and answers, as soon as it is called.
const FICKLE: &str = r#"
say() { printf '{"jsonrpc":"2.0",%s}\n' "$1"; }
while read -r line; do
  id=$(printf %s "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  case "$line" in
    *'"initialize"'*) say "\"id\":$id,\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"fickle\",\"version\":\"1\"}}" ;;
    *'"tools/list"'*) say "\"id\":$id,\"result\":{\"tools\":[{\"name\":\"waver\",\"inputSchema\":{\"type\":\"object\"}}]}" ;;
    *'"tools/call"'*)
      say '"id":"own","method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}'
      say '"method":"notifications/cancelled","params":{"requestId":"own","reason":"never mind"}'
      say '"method":"notifications/message","params":{"level":"info","data":"wavered"}'
      say "\"id\":$id,\"result\":{\"content\":[]}" ;;
    *'"id"'*) say "\"id\":$id,\"error\":{\"code\":-32601,\"message\":\"Method not found\"}" ;;
  esac
done
"#;

#[tokio::test]
async fn what_a_child_says_comes_in_order_on_the_stream_of_the_call() -> Result<()> {
    let child = command(Path::new("sh"), &["-c", FICKLE]);
    let config = configuration(&[("server", child)]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "waver").await?;
    // A client that opens no standing stream.
    let client = Client::open(&gateway, json!({ "sampling": {} })).await?;
    for number in 1..=2 {
        let mut stream = client.call(number, "waver", json!({})).await?;
        let question = stream.next().await?.context("no question")?.message;
        assert_eq!(question["method"], "sampling/createMessage");
        assert_ne!(question["id"], "own", "servers choose the same ids");
        let taken_back = stream.next().await?.context("nothing more")?.message;
        assert_eq!(taken_back["method"], "notifications/cancelled");
        assert_eq!(taken_back["params"]["requestId"], question["id"]);
        let log = stream.next().await?.context("nothing more")?.message;
        assert_eq!(log["params"]["data"], "wavered");
        let answer = stream.next().await?.context("no answer")?.message;
        assert_eq!(answer["id"], number);
        assert!(stream.next().await?.is_none());
    }
    gateway.stop().await?;
    Ok(())
}
