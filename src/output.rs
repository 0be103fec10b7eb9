//! What commands print on standard output: lines, tables for people, JSON and YAML for programs.

use std::io::Write as _;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use comfy_table::{Cell, Table, presets};
use serde_json::Value;

/// The flag that chooses the form of a result.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct OutputArgs {
    /// How the result is written.
    #[arg(short, long, value_enum, default_value_t = Form::Table, value_name = "FORM")]
    output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Json,
    Yaml,
}

impl OutputArgs {
    /// Prints records, of which a table shows these columns.
    pub(crate) fn print(self, columns: &[&str], records: &[Value]) -> anyhow::Result<()> {
        self.print_or(|| table(columns, records), records)
    }

    /// Prints records, of which people see this text instead.
    pub(crate) fn print_or(
        self,
        people: impl FnOnce() -> String,
        records: &[Value],
    ) -> anyhow::Result<()> {
        let text = match self.output {
            Form::Table => people(),
            Form::Json => serde_json::to_string_pretty(records)? + "\n",
            Form::Yaml => serde_yaml::to_string(&records)?,
        };
        raw(&text)
    }
}

/// Prints one line.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    raw(&format!("{line}\n"))
}

/// Prints a text as it is.
pub(crate) fn raw(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("standard output cannot be written to")
}

fn table(columns: &[&str], records: &[Value]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(columns.iter().map(|name| name.to_uppercase()));
    for record in records {
        table.add_row(columns.iter().map(|name| Cell::new(text(&record[*name]))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
