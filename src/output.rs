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
    /// Whether the result is to be YAML, for commands that have it in another form than records.
    #[cfg(all(feature = "control-plane", feature = "data-plane"))]
    pub(crate) fn is_yaml(self) -> bool {
        self.output == Form::Yaml
    }

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

/// How wide the terminal is on which standard output is shown; `None` where it is none.
#[cfg(all(unix, feature = "control-plane", feature = "data-plane"))]
pub(crate) fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    // Some terminals do not say.
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(all(not(unix), feature = "control-plane", feature = "data-plane"))]
pub(crate) fn terminal_width() -> Option<usize> {
    None
}

/// A table whose last two columns are cut where lines would be longer than `width`.
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
pub(crate) fn table_within(
    columns: &[&str],
    mut records: Vec<Value>,
    width: Option<usize>,
) -> String {
    if let (Some(width), [others @ .., middle, last]) = (width, columns) {
        let gap = 2;
        let taken: usize = others
            .iter()
            .map(|column| widest(column, &records) + gap)
            .sum();
        let room = width.saturating_sub(taken + gap);
        // What one does not need the other may have.
        let for_middle = widest(middle, &records).min(room / 2);
        for (column, room) in [(middle, for_middle), (last, room - for_middle)] {
            let room = room.max(SHORTEST);
            for record in &mut records {
                record[*column] = cut(record[*column].as_str().unwrap_or_default(), room).into();
            }
        }
    }
    table(columns, &records)
}

/// What is left of a column, however narrow the terminal is.
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
const SHORTEST: usize = 12;

#[cfg(all(feature = "control-plane", feature = "data-plane"))]
fn widest(column: &str, records: &[Value]) -> usize {
    let cells = records
        .iter()
        .map(|record| text(&record[column]).chars().count());
    cells.chain([column.len()]).max().unwrap_or_default()
}

#[cfg(all(feature = "control-plane", feature = "data-plane"))]
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// `, did you mean …?` with the known names that are nearest to one that is not known.
#[cfg(all(unix, feature = "control-plane", feature = "data-plane"))]
pub(crate) fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 3;
    let mut known: Vec<(f64, &str)> = known
        .map(|known| {
            // What stands behind a server's name is often all that people remember.
            let bare = known.rsplit_once("__").map_or(known, |(_, bare)| bare);
            let whole = strsim::jaro_winkler(known, name);
            (whole.max(strsim::jaro_winkler(bare, name)), known)
        })
        .filter(|(alike, _)| *alike > 0.8)
        .collect();
    known.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let best = known.first().map_or(1.0, |(alike, _)| *alike);
    let close = known.iter().filter(|(alike, _)| best - alike < 0.05);
    let names = close.take(MOST).map(|(_, name)| format!("`{name}`"));
    let names = names.collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        names
    } else {
        format!(", did you mean {names}?")
    }
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
