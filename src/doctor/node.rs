//! Node, which most servers run on: whether it is new enough for them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use gateway_core::ServerName;
use gateway_core::config::ServerSpec;
use tokio::process::Command;
use tokio::time::timeout;

use super::programs::{find, installation, path_of};
use super::{Finding, Readable};

/// Programs that are, or run on, the `node` of the same PATH.
const PROGRAMS: [&str; 5] = ["node", "npm", "npx", "pnpm", "yarn"];

/// The MCP libraries for Node need this.
const LEAST: u32 = 18;

/// How long it may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks every Node that a server would get for its version.
pub(super) async fn look(
    readable: Readable<'_>,
    unstartable: &BTreeSet<ServerName>,
) -> Vec<Finding> {
    let mut asked = BTreeSet::new();
    let mut findings = Vec::new();
    for (name, server) in &readable.document.config.servers {
        let ServerSpec::Command { command, env, .. } = &server.spec else {
            continue;
        };
        let program = Path::new(command).file_name();
        let runs_on_node = PROGRAMS.iter().any(|node| program == Some(node.as_ref()));
        if !runs_on_node || unstartable.contains(name) {
            continue;
        }
        // A Node that is named by its path is that one; others find theirs on PATH.
        let is_path = command.contains('/') && command.ends_with("/node");
        let node = if is_path { command } else { "node" };
        let path = path_of(env);
        if asked.insert((node, path.clone())) {
            findings.push(version(name, node, &path).await);
        }
    }
    findings
}

async fn version(server: &ServerName, node: &str, path: &OsString) -> Finding {
    let install = || installation("node").unwrap_or_default();
    let Some(program) = find(node, path, None) else {
        let what = format!("server `{server}`: `node`, which its program runs on, is not on PATH");
        return Finding::trouble(what, install());
    };
    let at = program.display().to_string();
    let said = say_version(&program, path).await;
    match said.as_deref().and_then(major) {
        Some(major) if major >= LEAST => {
            Finding::ok(format!("Node is new enough: {}", said.unwrap_or_default())).at(at)
        }
        Some(_) => {
            let said = said.unwrap_or_default();
            let what =
                format!("Node is too old for MCP servers: {said}, and {LEAST} is needed at least");
            Finding::trouble(what, "see https://nodejs.org/en/download").at(at)
        }
        None => Finding::trouble("Node does not say its version", format!("{at} --version")).at(at),
    }
}

async fn say_version(program: &Path, path: &OsString) -> Option<String> {
    let asking = Command::new(program)
        .arg("--version")
        .env("PATH", path)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, asking).await.ok()?.ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    Some(said.trim().to_owned())
}

/// The first number of `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_node_says() {
        assert_eq!(major("v20.11.1"), Some(20));
        assert_eq!(major("v16.0.0-pre"), Some(16));
        assert_eq!(major("20"), None);
        assert_eq!(major(""), None);
    }
}
