//! What a policy costs by where it is: in memory, or a plugin on a unix socket, with and without a cache; beside nginx and
//! a gateway without one.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::front::{Server, gateway_target, wait_until_ready};
use super::load::Target;
use super::nginx::Nginx;
use super::report::{Cell, Figures};
use super::rounds::{self, Question};
use super::row::Row;
use crate::gateway::Gateway;
use crate::plugin_server::PluginServer;
use crate::session::Era;
use crate::workspace::Workspace;

/// What stands in the table, with how the policy is configured.
const NONE: &str = "no policy";
const IN_MEMORY: &str = "in memory";
const CACHED: &str = "plugin, cached";
const UNCACHED: &str = "plugin";

const ERA: Era = Era::Modern;
const ROW: Row = Row::Call;

fn rules() -> Value {
    let rules = json!([{ "effect": "deny", "names": ["delete_*"] }, { "effect": "allow" }]);
    json!({ "provider": "in-memory", "implementation": "rules", "settings": { "rules": rules } })
}

/// Measures all of them at one connection, and gives the table.
pub(super) async fn measure(
    binary: &Path,
    server: &Server,
    nginx: Option<&Nginx>,
    (rounds, calls): (usize, u64),
) -> anyhow::Result<String> {
    let workspace = Workspace::new("")?;
    let socket = workspace.path().join("policy.sock");
    let program = binary.to_str().context("the path is not UTF-8")?;
    let path = socket.to_str().context("the path is not UTF-8")?;
    let served = ("rules", &json!({ "policy_evaluator": rules() }));
    let plugin =
        PluginServer::start(program, workspace.path(), served, &["--socket", path]).await?;
    let over_mcp = json!({ "provider": "mcp", "server": { "type": "sidecar", "socket": path } });
    let mut cached = over_mcp.clone();
    if let Some(cached) = cached.as_object_mut() {
        cached.insert("cache".to_owned(), json!({ "ttl": "1h" }));
    }
    let mut targets = super::plain_targets(ROW, ERA, server, nginx);
    let mut gateways = Vec::new();
    for (name, policy) in [
        (NONE, None),
        (IN_MEMORY, Some(rules())),
        (CACHED, Some(cached)),
        (UNCACHED, Some(over_mcp)),
    ] {
        let mut config = ROW.configuration(ERA, server.address);
        if let (Some(config), Some(policy)) = (config.as_object_mut(), policy) {
            config.insert("plugins".to_owned(), json!({ "policy_evaluator": policy }));
        }
        let gateway = Gateway::builder(program).config(config.to_string());
        let gateway = gateway.discard_results().start().await?;
        let target = Target {
            name: name.to_owned(),
            ..gateway_target(&gateway, ROW)
        };
        wait_until_ready(&target, ROW, ERA).await?;
        targets.push(target);
        gateways.push(gateway);
    }
    let question = Question {
        row: ROW,
        era: ERA,
        connections: 1,
        targets,
    };
    let cells = rounds::measure(&[question], rounds, calls).await?;
    for gateway in gateways {
        gateway.stop().await?;
    }
    plugin.stop().await?;
    table(cells.first().context("nothing was measured")?)
}

fn table(cell: &Cell) -> anyhow::Result<String> {
    let mut text =
        "| policy | p50 | p99 | p99 beyond in memory | CPU of 1,000 calls | of in memory |\n\
                    |---|--:|--:|--:|--:|--:|\n"
            .to_owned();
    let in_memory = cell
        .of(IN_MEMORY)
        .context("nothing in memory was measured")?;
    for Figures {
        target,
        p50_us,
        p99_us,
        cpu_ms_per_1000_calls: cpu,
        ..
    } in &cell.figures
    {
        let added = p99_us - in_memory.p99_us;
        let share = cpu.zip(in_memory.cpu_ms_per_1000_calls);
        let share = share.map_or(String::new(), |(cpu, of)| format!("{:.2}", cpu / of));
        let cpu = cpu.map_or(String::new(), |cpu| format!("{cpu:.0} ms"));
        writeln!(
            text,
            "| {target} | {p50_us:.0} µs | {p99_us:.0} µs | {added:+.0} µs | {cpu} | {share} |"
        )?;
    }
    Ok(text)
}
