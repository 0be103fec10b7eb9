//! Tenants never touch each other: clients of several tenants that are as alike as can be do this and that at the same time,
//! and whatever is answered, recorded, measured or logged is of the tenant that it was done for.

#![expect(
    clippy::indexing_slicing,
    reason = "an index into a JSON value gives null where there is nothing, and tenants are counted"
)]

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use gateway_tests::raw::RawClient;
use gateway_tests::secrets::{ADA_KEY, BOB_KEY, named, secret};
use gateway_tests::tenants::{NAMES, Tenants, allowed_tool, own_name, token_name};
use gateway_tests::wait::{self, PATIENCE};
use gateway_tests::{Era, Session};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// Where what is done begins to be random. Another seed is another run.
const SEED: u64 = 20_261_127;
const STEPS: usize = 40;
const EDITS: usize = 6;

/// Random enough, and the same every time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((value ^ (value >> 31)) % end as u64) as usize
    }
}

/// What was done, as the audit log and the measurements have to tell it.
type Tally = BTreeMap<(String, String), u64>;

/// A user of a tenant, and what it has done.
struct Visitor<'a> {
    tenants: &'a Tenants,
    tenant: usize,
    era: Era,
    key: &'static str,
    session: Session,
    dice: Dice,
    done: Tally,
}

impl<'a> Visitor<'a> {
    async fn come(
        tenants: &'a Tenants,
        tenant: usize,
        era: Era,
        key: &'static str,
    ) -> Result<Self> {
        let session = open(tenants, tenant, era, key).await?;
        let number =
            tenant as u64 * 4 + u64::from(era == Era::Modern) * 2 + u64::from(key == ADA_KEY);
        let mut visitor = Self {
            tenants,
            tenant,
            era,
            key,
            session,
            dice: Dice(SEED ^ number << 32),
            done: Tally::new(),
        };
        visitor.did_open();
        Ok(visitor)
    }

    fn did(&mut self, event: &str, result: &str) {
        let event = (event.to_owned(), result.to_owned());
        *self.done.entry(event).or_default() += 1;
    }

    fn did_open(&mut self) {
        if self.era == Era::Legacy {
            self.did("session_start", "ok");
        }
    }

    /// Until both servers are there.
    async fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let names = self.session.tool_names().await?;
            self.did("tool_list", "ok");
            if names == self.expected() {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{names:?}");
        }
    }

    fn expected(&self) -> Vec<String> {
        let own = [
            "echo".to_owned(),
            "wait".to_owned(),
            "whoami".to_owned(),
            "ask".to_owned(),
        ];
        let own = own.into_iter().chain([allowed_tool(self.tenant)]);
        let own = own.map(|name| format!("own__{name}"));
        let token = format!("of-{}", token_name(self.tenant));
        let shared = ["echo", "wait", "whoami", &token].map(|name| format!("shared__{name}"));
        own.chain(shared).collect()
    }

    async fn visit(&mut self, everybody: &[String]) -> Result<()> {
        for step in 0..STEPS {
            let what = self.dice.below(9);
            let done = self.act(what, everybody).await;
            done.with_context(|| {
                format!("{} {:?}, step {step}: {what}", NAMES[self.tenant], self.era)
            })?;
        }
        Ok(())
    }

    async fn act(&mut self, what: usize, everybody: &[String]) -> Result<()> {
        match what {
            0 => {
                let names = self.session.tool_names().await?;
                self.did("tool_list", "ok");
                ensure!(names == self.expected(), "{names:?}");
                Ok(())
            }
            1 => self.is_known_by_its_token().await,
            2 => {
                let text = format!("{} says it", NAMES[self.tenant]);
                let answer = self
                    .session
                    .call("own__echo", json!({ "text": text }))
                    .await?;
                self.did("tool_call", "ok");
                let answer = answer.result()?.to_string();
                ensure!(answer.contains(&text), "{answer}");
                Ok(())
            }
            3 => {
                let tool = format!("own__{}", allowed_tool(self.tenant));
                let text = self.session.call_text(&tool, json!({})).await?;
                self.did("tool_call", "ok");
                ensure!(text.ends_with(&own_name(self.tenant)), "{text}");
                Ok(())
            }
            4 => {
                let other = (self.tenant + 1 + self.dice.below(NAMES.len() - 1)) % NAMES.len();
                let tool = format!("own__{}", allowed_tool(other));
                let answer = self.session.call(&tool, json!({})).await?;
                self.did("tool_call", "denied");
                ensure!(answer.result().is_err(), "{}", answer.text());
                Ok(())
            }
            5 if self.era == Era::Legacy => {
                let levels = ["debug", "info", "error"];
                let level = json!({ "level": levels[self.dice.below(levels.len())] });
                self.session
                    .request("logging/setLevel", level)
                    .await?
                    .result()?;
                Ok(())
            }
            6 if self.era == Era::Legacy => {
                let ended = self.session.delete().await?;
                ensure!(ended.status == StatusCode::NO_CONTENT, "{}", ended.text());
                self.did("session_end", "ok");
                let answer = self.session.request("tools/list", json!({})).await?;
                ensure!(answer.status == StatusCode::NOT_FOUND, "{}", answer.text());
                self.did("tool_list", "denied");
                self.session = open(self.tenants, self.tenant, self.era, self.key).await?;
                self.did_open();
                Ok(())
            }
            7 if self.era == Era::Legacy => self.is_asked_by_its_own_server().await,
            8 => self.uses_the_session_of_another(everybody).await,
            _ => Ok(()),
        }
    }

    /// Through a connection that leads to the same server for all tenants.
    async fn is_known_by_its_token(&mut self) -> Result<()> {
        let seen = self
            .session
            .call_structured("shared__whoami", json!({}))
            .await?;
        self.did("tool_call", "ok");
        let token = named(&format!("Bearer {}", secret(&token_name(self.tenant))));
        ensure!(seen["headers"]["authorization"] == token, "{seen}");
        Ok(())
    }

    async fn is_asked_by_its_own_server(&mut self) -> Result<()> {
        let arguments = json!({ "method": "sampling/createMessage" });
        let call = json!({ "name": "own__ask", "arguments": arguments });
        let mut stream = self.session.stream("tools/call", call).await?;
        let question = stream.next_of("sampling/createMessage").await?.message;
        let text = format!("{} answers", NAMES[self.tenant]);
        let result = json!({ "role": "assistant", "model": "m",
                             "content": { "type": "text", "text": text } });
        let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result });
        let taken = self.session.send(&answer).await?;
        ensure!(taken.status == StatusCode::ACCEPTED, "{}", taken.text());
        let heard = stream
            .next()
            .await?
            .context("no answer")?
            .message
            .to_string();
        self.did("tool_call", "ok");
        ensure!(heard.contains(&text), "{heard}");
        Ok(())
    }

    async fn uses_the_session_of_another(&mut self, everybody: &[String]) -> Result<()> {
        let other = (self.tenant + 1 + self.dice.below(NAMES.len() - 1)) % NAMES.len();
        let headers = [
            ("x-api-key", self.key),
            ("mcp-protocol-version", "2025-11-25"),
            ("mcp-session-id", &everybody[other]),
        ];
        let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        let url = self.tenants.url(self.tenant);
        let answer = RawClient::default()
            .post(&url, &headers, list.to_string())
            .await?;
        self.did("tool_list", "denied");
        ensure!(answer.status == StatusCode::NOT_FOUND, "{}", answer.text());
        Ok(())
    }
}

async fn open(tenants: &Tenants, tenant: usize, era: Era, key: &str) -> Result<Session> {
    let (url, headers) = (tenants.url(tenant), [("x-api-key", key)]);
    match era {
        Era::Legacy => Session::open_able(&url, &headers, &json!({ "sampling": {} })).await,
        Era::Modern => Session::open_with(era, &url, &headers).await,
    }
}

/// Changes tenants in any order, each in what no client uses; how often each.
async fn edit(tenants: &Tenants) -> Result<[u64; NAMES.len()]> {
    let (mut dice, mut edits) = (Dice(SEED), [0; NAMES.len()]);
    for _ in 0..EDITS {
        let tenant = dice.below(NAMES.len());
        edits[tenant] += 1;
        let mut document = tenants.document(tenant);
        document["profiles"][format!("edit-{}", edits[tenant])] = json!({ "servers": ["own"] });
        tenants.apply(&document).await?;
    }
    Ok(edits)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_several_tenants_do_at_once_each_sees_its_own_alone() -> Result<()> {
    let tenants = Tenants::start(BINARY).await?;
    let mut visitors = Vec::new();
    // A session of each tenant that lasts, by the user that all have.
    let mut lasting = Vec::new();
    for tenant in 0..NAMES.len() {
        for era in Era::BOTH {
            for key in [ADA_KEY, BOB_KEY] {
                let mut visitor = Visitor::come(&tenants, tenant, era, key).await?;
                visitor.wait().await?;
                visitors.push(visitor);
            }
        }
        let session = open(&tenants, tenant, Era::Legacy, ADA_KEY).await?;
        lasting.push(session.id().context("no session")?.to_owned());
    }
    let visits = visitors.iter_mut().map(|visitor| visitor.visit(&lasting));
    let (edits, _) = tokio::try_join!(edit(&tenants), try_join_all(visits))?;

    let mut done = NAMES.map(|_| Tally::from([(("session_start".into(), "ok".into()), 1)]));
    for visitor in &visitors {
        for (event, count) in &visitor.done {
            *done[visitor.tenant].entry(event.clone()).or_default() += count;
        }
    }
    drop(visitors);
    check_audit(&tenants, &done, &edits).await?;
    check_metrics(&tenants, &done).await?;
    check_operations(&tenants, &edits).await?;
    check_log(&tenants);
    tenants.stop().await
}

/// Every event is one of its tenant's, under a revision of that tenant, and none is missing.
async fn check_audit(
    tenants: &Tenants,
    done: &[Tally; NAMES.len()],
    edits: &[u64; NAMES.len()],
) -> Result<()> {
    let total: u64 = done.iter().flat_map(Tally::values).sum();
    let events = || {
        let [lines, _] = tenants.data.process.written();
        let events = lines.iter().map(|line| serde_json::from_str::<Value>(line));
        events.collect::<Result<Vec<_>, _>>()
    };
    wait::until("every event to be written", || async {
        events().is_ok_and(|events| events.len() as u64 >= total)
    })
    .await?;
    let mut recorded = NAMES.map(|_| Tally::new());
    for event in events()? {
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let tenant = NAMES.iter().position(|name| event["tenant_id"] == **name);
        let tenant = tenant.with_context(|| format!("an event of nobody: {event}"))?;
        *recorded[tenant]
            .entry((text("event_type"), text("result")))
            .or_default() += 1;
        let revision = event["metadata"]["revision"]
            .as_u64()
            .context("no revision")?;
        ensure!((1..=edits[tenant] + 1).contains(&revision), "{event}");
        let others = (0..NAMES.len()).filter(|other| *other != tenant);
        for other in others {
            let foreign = event["tool"] == format!("of-{}", token_name(other))
                || (event["tool"] == allowed_tool(other) && event["result"] != "denied");
            ensure!(!foreign, "{event}");
        }
    }
    assert_eq!(&recorded, done);
    Ok(())
}

/// What is measured of each tenant is what it has done.
async fn check_metrics(tenants: &Tenants, done: &[Tally; NAMES.len()]) -> Result<()> {
    let url = format!("http://{}/metrics", tenants.data.operations());
    let text = RawClient::default().get(&url).await?.text();
    let mut measured = NAMES.map(|_| Tally::new());
    for line in text
        .lines()
        .filter(|line| line.starts_with("mcp_gateway_requests_total{"))
    {
        let label = |name: &str| {
            let (_, rest) = line.split_once(&format!("{name}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let tenant = label("tenant").context("a measurement of nobody")?;
        let tenant = NAMES.iter().position(|name| **name == tenant);
        let tenant = tenant.with_context(|| line.to_owned())?;
        let event = label("event_type").zip(label("result"));
        let count: u64 = line.rsplit(' ').next().unwrap_or_default().parse()?;
        *measured[tenant]
            .entry(event.context("no labels")?)
            .or_default() += count;
    }
    assert_eq!(&measured, done);
    Ok(())
}

/// What operators see of a tenant is of that tenant.
async fn check_operations(tenants: &Tenants, edits: &[u64; NAMES.len()]) -> Result<()> {
    let get = async |path: &str| {
        let url = format!("http://{}{path}", tenants.data.operations());
        let answer = RawClient::default().get(&url).await?;
        anyhow::Ok(serde_json::from_str::<Value>(&answer.text())?)
    };
    let servers = get("/servers").await?;
    let rows = servers["servers"].as_array().context("no servers")?;
    assert_eq!(rows.len(), 2 * NAMES.len());
    let config = get("/config").await?;
    for tenant in 0..NAMES.len() {
        let of_it = |row: &&Value| row["tenant"] == NAMES[tenant];
        for row in rows.iter().filter(of_it) {
            assert_eq!(row["revision"], edits[tenant] + 1, "{row}");
        }
        let shared = rows
            .iter()
            .filter(of_it)
            .find(|row| row["server"] == "shared");
        let tools = shared.context("no server")?["tools"].to_string();
        let tokens: Vec<_> = tools.match_indices("shared__of-").collect();
        assert!(
            tokens.len() == 1 && tools.contains(&format!("shared__of-{}\"", token_name(tenant)))
        );
        let in_force = config["tenants"]
            .as_array()
            .into_iter()
            .flatten()
            .find(of_it);
        let in_force = in_force.context("it is not in force")?.to_string();
        for (other, server) in tenants.own.iter().enumerate() {
            let is_named = in_force.contains(&server.address().to_string());
            assert_eq!(is_named, other == tenant, "{in_force}");
        }
    }
    Ok(())
}

/// No line of the log that is about a tenant names what is another's.
fn check_log(tenants: &Tenants) {
    let [_, lines] = tenants.data.process.written();
    let mut about = 0;
    for line in &lines {
        let words = line.split([' ', '{', '}', ',']);
        let named = words.filter_map(|word| {
            let name = word
                .strip_prefix("tenant.id=")
                .or(word.strip_prefix("tenant="))?;
            NAMES.iter().position(|known| *known == name)
        });
        for tenant in named {
            about += 1;
            for other in (0..NAMES.len()).filter(|other| *other != tenant) {
                let address = tenants.own[other].address().to_string();
                let is_foreign = line.contains(&address) || line.contains(&own_name(other));
                assert!(!is_foreign, "{line}");
            }
        }
    }
    assert!(about > 0, "no line is about a tenant");
}
