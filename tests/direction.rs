//! Holds the direction of dependencies between the workspace's crates, as ARCHITECTURE.md draws it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Each crate and those of the workspace that it may depend on.
const ALLOWED: [(&str, &[&str]); 8] = [
    ("gateway-core", &[]),
    ("gateway-proto", &["gateway-core"]),
    ("gateway-mcp", &["gateway-core"]),
    ("gateway-plugins", &["gateway-core", "gateway-mcp"]),
    (
        "gateway-control-plane",
        &[
            "gateway-core",
            "gateway-mcp",
            "gateway-proto",
            "gateway-plugins",
        ],
    ),
    (
        "gateway-data-plane",
        &[
            "gateway-core",
            "gateway-mcp",
            "gateway-proto",
            "gateway-plugins",
        ],
    ),
    (
        "mcp-gateway",
        &[
            "gateway-core",
            "gateway-mcp",
            "gateway-proto",
            "gateway-plugins",
            "gateway-control-plane",
            "gateway-data-plane",
        ],
    ),
    ("gateway-tests", &[]),
];

/// What the domain types must not need.
const NOT_IN_CORE: [&str; 4] = ["tokio", "tonic", "hyper", "sqlx"];

struct Workspace {
    metadata: Value,
}

impl Workspace {
    fn read() -> Result<Self> {
        let output = Command::new(env!("CARGO"))
            .args([
                "metadata",
                "--format-version",
                "1",
                // Those of other platforms as well, which may have to be downloaded.
                "--locked",
                "--all-features",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(Self {
            metadata: serde_json::from_slice(&output.stdout)?,
        })
    }

    fn array(&self, pointer: &str) -> Result<&Vec<Value>> {
        let array = self.metadata.pointer(pointer).and_then(Value::as_array);
        array.with_context(|| format!("cargo metadata has no {pointer}"))
    }

    /// Every crate by its package id, workspace members and all others.
    fn names(&self) -> Result<BTreeMap<&str, &str>> {
        let packages = self.array("/packages")?.iter();
        Ok(packages
            .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
            .collect())
    }

    fn members(&self) -> Result<BTreeSet<&str>> {
        Ok(self
            .array("/workspace_members")?
            .iter()
            .filter_map(Value::as_str)
            .collect())
    }

    /// What each package depends on to be built and to run, but not to be tested; by package id.
    fn dependencies(&self) -> Result<BTreeMap<&str, Vec<&str>>> {
        let mut graph = BTreeMap::new();
        for node in self.array("/resolve/nodes")? {
            let needed = node["deps"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|dependency| {
                    let kinds = dependency["dep_kinds"].as_array();
                    kinds
                        .into_iter()
                        .flatten()
                        .any(|kind| kind["kind"] != "dev")
                });
            let id = node["id"].as_str().context("a node without id")?;
            graph.insert(
                id,
                needed
                    .filter_map(|dependency| dependency["pkg"].as_str())
                    .collect(),
            );
        }
        Ok(graph)
    }
}

#[test]
fn crates_depend_only_in_the_direction_that_is_drawn() -> Result<()> {
    let workspace = Workspace::read()?;
    let (names, members) = (workspace.names()?, workspace.members()?);
    let allowed = BTreeMap::from(ALLOWED);
    for (id, needed) in workspace.dependencies()? {
        if !members.contains(id) {
            continue;
        }
        let name = names[id];
        let may = allowed
            .get(name)
            .with_context(|| format!("{name} is not in the table"))?;
        for other in needed.iter().filter(|other| members.contains(*other)) {
            let other = names[other];
            assert!(may.contains(&other), "{name} must not depend on {other}");
        }
    }
    Ok(())
}

#[test]
fn core_needs_no_runtime_and_no_transport() -> Result<()> {
    let workspace = Workspace::read()?;
    let (names, graph) = (workspace.names()?, workspace.dependencies()?);
    let core = names
        .iter()
        .find(|(_, name)| **name == "gateway-core")
        .context("no core")?
        .0;
    let mut reached = BTreeSet::from([*core]);
    let mut next = vec![*core];
    while let Some(id) = next.pop() {
        next.extend(graph[id].iter().filter(|needed| reached.insert(**needed)));
    }
    for id in reached {
        assert!(
            !NOT_IN_CORE.contains(&names[id]),
            "core must not need {}",
            names[id]
        );
    }
    Ok(())
}
