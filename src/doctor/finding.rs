//! What the doctor found, and how it is told to people and to programs.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

/// How wide the report is at the most. Commands and what servers said are never broken.
const WIDTH: usize = 80;

/// The column in which everything but the level begins.
const INDENT: usize = 9;

/// How advice begins that is no command.
pub(super) const READ: &str = "see ";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// A fact that somebody may want to know.
    Note,
    /// Something does not work, or will not.
    Trouble,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) what: String,
    /// A file with line and column, a folder or an address.
    #[serde(rename = "where")]
    pub(super) place: Option<String>,
    /// The last lines that a server wrote to its standard error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) said: Vec<String>,
    /// A command that mends it, or with which it is mended; or, behind [`READ`], what to read.
    pub(super) mend: Option<String>,
}

impl Finding {
    pub(super) fn ok(what: impl Into<String>) -> Self {
        Self::new(Level::Ok, what)
    }

    pub(super) fn note(what: impl Into<String>) -> Self {
        Self::new(Level::Note, what)
    }

    pub(super) fn trouble(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            mend: Some(mend.into()),
            ..Self::new(Level::Trouble, what)
        }
    }

    fn new(level: Level, what: impl Into<String>) -> Self {
        Self {
            level,
            what: what.into(),
            place: None,
            said: Vec::new(),
            mend: None,
        }
    }

    pub(super) fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    pub(super) fn saying(mut self, said: Vec<String>) -> Self {
        self.said = said;
        self
    }

    pub(super) fn is_trouble(&self) -> bool {
        self.level == Level::Trouble
    }

    /// As programs read it.
    pub(super) fn record(&self) -> Value {
        json!(self)
    }

    /// As people read it.
    fn describe(&self, text: &mut String) {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Trouble => "trouble",
        };
        let place = self.place.as_ref().map(|place| format!(" ({place})"));
        let what = format!("{}{}", self.what, place.unwrap_or_default());
        text.push_str(&format!("{level:<INDENT$}{}\n", wrapped(&what)));
        for line in &self.said {
            text.push_str(&format!("{:INDENT$}| {line}\n", ""));
        }
        if let Some(mend) = &self.mend {
            // Where there is no command, it says what to read.
            let prompt = if mend.starts_with(READ) { "" } else { "$ " };
            text.push_str(&format!("{:INDENT$}  {prompt}{mend}\n", ""));
        }
    }
}

/// The whole report for people: each finding with what is wrong and the command that mends it.
pub(super) fn report(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        finding.describe(&mut text);
    }
    if !findings.iter().any(Finding::is_trouble) {
        text.push_str("nothing is wrong\n");
    }
    text
}

/// A text in lines of the report's width. A word that is longer has a line of its own. What servers
/// say is in it too, so nothing in it moves a terminal's cursor.
fn wrapped(text: &str) -> String {
    let room = WIDTH - INDENT;
    let mut lines = vec![String::new()];
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join(&format!("\n{:INDENT$}", ""))
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    quoted_text(&path.to_string_lossy())
}

/// A word as a shell takes it.
pub(super) fn quoted_text(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The command with which a file is edited, at a line where one is known.
pub(super) fn edit(file: &Path, line: Option<u64>) -> String {
    let line = line.map(|line| format!("+{line} ")).unwrap_or_default();
    format!("${{EDITOR:-vi}} {line}{}", quoted(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_it_in_eighty_columns() {
        let findings = [
            Finding::ok("short"),
            Finding::trouble(
                "a text that is so long that it does not fit into one line of eighty columns",
                "mend --it",
            )
            .at("gateway.yaml:4:5")
            .saying(vec!["last words".to_owned()]),
            Finding::trouble("unknown", "see https://example.com"),
        ];
        insta::assert_snapshot!(report(&findings), @r"
        ok       short
        trouble  a text that is so long that it does not fit into one line of eighty
                 columns (gateway.yaml:4:5)
                 | last words
                   $ mend --it
        trouble  unknown
                   see https://example.com
        ");
        assert_eq!(report(&findings[..1]), "ok       short\nnothing is wrong\n");
    }

    #[test]
    fn nothing_in_it_moves_the_cursor() {
        assert_eq!(
            report(&[Finding::note("a\u{1b}[2Jb\n\nc")]),
            "note     a [2Jb c\nnothing is wrong\n"
        );
    }

    #[test]
    fn a_shell_takes_what_is_quoted_as_one_word() {
        assert_eq!(quoted_text("/a/b-c.yaml"), "/a/b-c.yaml");
        assert_eq!(quoted_text("/a b/it's"), r"'/a b/it'\''s'");
        assert_eq!(quoted_text("$HOME"), "'$HOME'");
        assert_eq!(quoted_text(""), "''");
    }
}
