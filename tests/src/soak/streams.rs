//! Visits that read lists and streams.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::visitor::{Visitor, end};
use super::world::STEADY;
use crate::principals::ADA;
use crate::raw::{ACCEPT, RawClient, Stream};
use crate::session::{Era, Session, modern_message};

const JSON: (&str, &str) = ("content-type", "application/json");
const MODERN: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

impl Visitor {
    pub(super) async fn list(&mut self) -> anyhow::Result<()> {
        let world = Arc::clone(&self.world);
        for era in Era::BOTH {
            let session = self.open(era).await?;
            let outages = [("fragile", &world.fragile), ("mortal", &world.mortal)];
            let before = outages.map(|(_, outages)| outages.now());
            let names = session.tool_names().await?;
            let up = outages.iter().zip(before);
            let up = up.filter(|((_, outages), before)| outages.since(*before).is_some());
            for server in up.map(|((name, _), _)| *name).chain(STEADY) {
                let echo = format!("{server}__echo");
                ensure!(names.contains(&echo), "{echo} is missing: {names:?}");
            }
            end(&session, era).await?;
        }
        Ok(())
    }

    pub(super) async fn list_profile(&mut self) -> anyhow::Result<()> {
        let before = self.world.edited.now();
        let url = self.world.url("/p/extra/mcp");
        let session = Session::open_with(Era::Modern, &url, &[ADA]).await?;
        let answer = session.request("tools/list", json!({})).await?;
        let is_there = match answer.status {
            StatusCode::NOT_FOUND => false,
            _ => {
                let result = answer.result()?;
                let tools = result["tools"].as_array().context("no tools")?;
                ensure!(
                    tools.iter().any(|tool| tool["name"] == "child__echo"),
                    "{result}"
                );
                true
            }
        };
        if let Some(known) = self.world.edited.since(before) {
            ensure!(
                is_there == known.has_profile,
                "{known:?}: {}",
                answer.text()
            );
        }
        Ok(())
    }

    /// A legacy session's own stream stays while it calls, and ends with it.
    pub(super) async fn keep_stream(&mut self) -> anyhow::Result<()> {
        let session = self.open(Era::Legacy).await?;
        let mut stream = self.standing(&session).await?;
        for server in STEADY {
            self.echo(&session, server, self.arguments(0)).await?;
        }
        end(&session, Era::Legacy).await?;
        while stream.next().await?.is_some() {}
        Ok(())
    }

    pub(super) async fn standing(&self, session: &Session) -> anyhow::Result<Stream> {
        let headers = [
            ACCEPT,
            ADA,
            ("mcp-session-id", session.id().context("no session")?),
        ];
        let client = RawClient::default();
        let stream = client
            .stream(Method::GET, &self.world.url("/mcp"), &headers, "")
            .await?;
        ensure!(
            stream.status == StatusCode::OK,
            "the stream is {}",
            stream.status
        );
        Ok(stream)
    }

    /// Listens until the configuration is edited, and goes away.
    pub(super) async fn listen(&mut self) -> anyhow::Result<()> {
        let headers = [
            JSON,
            ACCEPT,
            ADA,
            MODERN,
            ("mcp-method", "subscriptions/listen"),
        ];
        let filter = json!({ "notifications": { "toolsListChanged": true } });
        let listen = modern_message("subscriptions/listen", filter);
        let (client, url) = (RawClient::default(), self.world.url("/mcp"));
        let mut stream = client.stream(Method::POST, &url, &headers, listen).await?;
        let first = stream.next().await?.context("the stream ended")?.message;
        let method = &first["method"];
        ensure!(
            method == "notifications/subscriptions/acknowledged",
            "{first}"
        );
        let listening = async {
            while stream.next().await?.is_some() {}
            anyhow::bail!("the stream ended by itself")
        };
        tokio::select! {
            ended = listening => ended,
            () = self.world.edited.changed() => Ok(()),
        }
    }

    pub(super) async fn follow_progress(&mut self) -> anyhow::Result<()> {
        let era = self.era();
        let session = self.open(era).await?;
        let arguments = self.arguments(0);
        let mut stream = self
            .call_with_progress(&session, "echo", &arguments)
            .await?;
        let progress = stream.next().await?.context("no progress")?.message;
        let token = &progress["params"]["progressToken"];
        ensure!(
            token == "soak" && progress["params"]["progress"].is_number(),
            "{progress}"
        );
        let answer = stream.next().await?.context("no answer")?.message;
        let echoed = &answer["result"]["structuredContent"]["arguments"];
        ensure!(*echoed == arguments, "{answer}");
        self.tally.answered("ada", "streaming", "echo", "ok");
        end(&session, era).await
    }

    /// Calls a tool of the server that answers with streams.
    pub(super) async fn call_with_progress(
        &self,
        session: &Session,
        tool: &str,
        arguments: &Value,
    ) -> anyhow::Result<Stream> {
        let name = format!("streaming__{tool}");
        let meta = json!({ "progressToken": "soak" });
        let params = json!({ "name": name, "arguments": arguments, "_meta": meta });
        session.stream("tools/call", params).await
    }

    pub(super) async fn read_metrics(&mut self) -> anyhow::Result<()> {
        let answer = RawClient::default().get(&self.world.operations).await?;
        let text = answer.text();
        ensure!(text.ends_with("# EOF\n"), "{} {text}", answer.status);
        let name = "mcp_gateway_requests_total";
        ensure!(text.contains(name), "{name} is missing in {text}");
        Ok(())
    }
}
