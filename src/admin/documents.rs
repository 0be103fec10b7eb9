//! The documents that an administrator applies: of files, folders and standard input, several in
//! one text, each with its place there.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gateway_core::TenantId;
use gateway_core::config::{ConfigError, TenantConfig, Violation, load_yaml};

use crate::exit::Failure;

/// One tenant's document.
#[derive(Debug)]
pub(super) struct Document {
    /// Where it comes from, as messages name it.
    source: String,
    /// How many lines of the source come before it.
    before: u64,
    pub(super) text: String,
    pub(super) config: TenantConfig,
}

impl Document {
    /// Says where in the source violations are.
    pub(super) fn locate(&self, violations: Vec<Violation>) -> Vec<String> {
        let error = ConfigError::locate(&self.text, violations);
        messages(&self.source, self.before, error)
    }
}

/// Reads every document, each of which must be sound and of a tenant of its own.
pub(super) fn read(sources: &[PathBuf]) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    for source in sources {
        for (name, text) in texts(source)? {
            for (before, part) in split(&text) {
                match load_yaml(&part) {
                    Ok(config) => documents.push(Document {
                        source: name.clone(),
                        before,
                        text: part,
                        config,
                    }),
                    Err(error) => problems.extend(messages(&name, before, error)),
                }
            }
        }
    }
    let mut first: BTreeMap<&TenantId, &Document> = BTreeMap::new();
    for document in &documents {
        if let Some(earlier) = first.insert(&document.config.tenant, document) {
            let reason = format!(
                "tenant `{}` is in {} already, from line {} on",
                document.config.tenant,
                earlier.source,
                earlier.before + 1
            );
            problems.extend(document.locate(vec![Violation::new("tenant", reason)]));
        }
    }
    if !problems.is_empty() {
        return Err(Failure::Invalid(problems));
    }
    if documents.is_empty() {
        return Err(Failure::invalid("there is no document in what -f names"));
    }
    Ok(documents)
}

fn messages(source: &str, before: u64, error: ConfigError) -> Vec<String> {
    let problems = error.problems.into_iter().map(|problem| {
        let (line, column) = (problem.line + before, problem.column);
        let field = problem.path.map(|path| format!("{path}: "));
        let field = field.unwrap_or_default();
        format!("{source}:{line}:{column}: {field}{}", problem.reason)
    });
    problems.collect()
}

/// The texts of a file, a folder or, for `-`, standard input, each with its name.
fn texts(source: &Path) -> Result<Vec<(String, String)>, Failure> {
    if source == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.context("standard input cannot be read")?;
        return Ok(vec![("standard input".to_owned(), text)]);
    }
    let mut files = vec![source.to_owned()];
    if source.is_dir() {
        files = std::fs::read_dir(source)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .with_context(|| format!("{} cannot be read", source.display()))?
            .into_iter()
            .map(|entry| entry.path())
            .filter(|path| {
                let ending = path.extension().and_then(|ending| ending.to_str());
                matches!(ending, Some("yaml" | "yml")) && path.is_file()
            })
            .collect();
        files.sort();
    }
    let mut texts = Vec::with_capacity(files.len());
    for file in files {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(&file)
            .map_err(|error| Failure::invalid(format!("{name} cannot be read: {error}")))?;
        texts.push((name, text));
    }
    Ok(texts)
}

/// The documents of a text, each with how many lines come before it. Those that say nothing are
/// left out. A line that begins so ends a document wherever it stands, in a block of text too.
fn split(text: &str) -> Vec<(u64, String)> {
    let mut parts = Vec::new();
    let (mut before, mut part) = (0, String::new());
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        let begins = marked(line, "---");
        if begins.is_none() && marked(line, "...").is_none() {
            part.push_str(line);
            continue;
        }
        parts.push((before, std::mem::take(&mut part)));
        before = number;
        // What stands behind the mark belongs to the document, in the same column.
        if let Some(rest) = begins.filter(|rest| !is_empty(rest)) {
            before = number - 1;
            part = format!("   {rest}");
        }
    }
    parts.push((before, part));
    parts.retain(|(_, part)| !part.lines().all(is_empty));
    parts
}

/// What stands behind a mark.
fn marked<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(mark)?;
    (rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])).then_some(rest)
}

/// Whether a line is blank, a comment, or for the parser.
fn is_empty(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#') || line.starts_with('%')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tenants.yaml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_text_has_as_many_documents_as_say_something() {
        let parts = split("# only a comment\n---\na: 1\n---\n\n--- # two\nb: 2\n...\n--- {c: 3}\n");
        let expected = [(2, "a: 1\n"), (6, "b: 2\n"), (8, "    {c: 3}\n")];
        let expected = expected.map(|(before, part)| (before, part.to_owned()));
        assert_eq!(parts, expected);
        assert_eq!(split("a: --- b\n").len(), 1);
    }

    #[test]
    fn what_is_wrong_has_its_place_in_the_whole_file() {
        let (_folder, path) = file(
            "tenant: acme\n---\ntenant: zoo\nservers:\n  a: { type: command }\n---\ntenant: acme\n",
        );
        let Err(Failure::Invalid(said)) = read(&[path]) else {
            panic!("it is not sound");
        };
        assert!(said[0].contains("tenants.yaml:5:"), "{said:?}");
        assert!(said[1].contains("tenants.yaml:7:1: tenant: "), "{said:?}");
        assert!(said[1].contains("already, from line 1 on"), "{said:?}");
    }

    #[test]
    fn a_folder_has_the_documents_of_its_files() {
        let (folder, _) = file("tenant: acme\n");
        std::fs::write(folder.path().join("b.yml"), "tenant: bee\n").unwrap();
        std::fs::write(folder.path().join("notes.txt"), "no: [\n").unwrap();
        let documents = read(&[folder.path().to_owned()]).unwrap();
        let tenants: Vec<_> = documents.iter().map(|d| d.config.tenant.as_str()).collect();
        assert_eq!(tenants, ["bee", "acme"]);
    }
}
