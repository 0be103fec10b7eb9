//! Tools as a table, and the one that is meant.

use gateway_mcp::list::Item;
use serde_json::{Value, json};

use super::outcome::on_one_line;
use super::schema;
use crate::exit::Failure;
use crate::output::{OutputArgs, near, table_within, terminal_width};

/// Prints tools: in short for people, whole for programs.
pub(super) fn print(tools: &[Item], output: OutputArgs) -> anyhow::Result<()> {
    let whole = tools.iter().map(definition).collect::<Vec<_>>();
    output.print_or(|| table(tools, &whole), &whole)
}

fn definition(tool: &Item) -> Value {
    serde_json::from_slice(tool.bytes()).unwrap_or_default()
}

fn table(tools: &[Item], whole: &[Value]) -> String {
    let rows: Vec<Value> = tools
        .iter()
        .zip(whole)
        .map(|(tool, whole)| {
            let text = whole["description"].as_str().or(whole["title"].as_str());
            let first = text.and_then(|text| text.trim().lines().next());
            json!({
                "name": tool.name(),
                "arguments": schema::of(tool).short(),
                "description": on_one_line(first.unwrap_or_default()),
            })
        })
        .collect();
    table_within(
        &["name", "arguments", "description"],
        rows,
        terminal_width(),
    )
}

/// The tool of this name.
pub(super) fn find<'a>(tools: &'a [Item], name: &str) -> Result<&'a Item, Failure> {
    let found = tools.iter().find(|tool| tool.name() == name);
    found.ok_or_else(|| {
        Failure::invalid(format!(
            "there is no tool `{name}`{}; see `mcp-gateway tools list`",
            near(name, tools.iter().map(Item::name))
        ))
    })
}
