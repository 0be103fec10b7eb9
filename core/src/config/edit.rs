//! Edits of a configuration's YAML that keep its comments and its order.
//!
//! Each edit is of text alone. `None`: the form of the text is beyond it. What comes of an edit is
//! to be read again before it is used: the text may have meant something else than it looks like.

use serde::Serialize;
use yaml_edit::{Document, Mapping, Sequence};

/// Adds an entry to a section that stands at the top level, such as `servers`, or replaces what is
/// there. The section is made where it is missing.
pub fn set_entry(text: &str, section: &str, name: &str, value: &impl Serialize) -> Option<String> {
    let block = serde_yaml::to_string(value).ok()?;
    let Some((document, mapping)) = filled_section(text, section) else {
        return append(text, section, name, &block);
    };
    let value: Document = block.parse().ok()?;
    match value.as_mapping() {
        Some(value) => mapping.set(name, value),
        None => mapping.set(name, value.as_sequence()?),
    }
    Some(document.to_string())
}

/// Removes an entry from a section that stands at the top level.
pub fn remove_entry(text: &str, section: &str, name: &str) -> Option<String> {
    let (document, mapping) = filled_section(text, section)?;
    mapping.remove(name)?;
    Some(document.to_string())
}

/// Adds an item to a list of a plugin's settings, which is there already.
pub fn push_setting(text: &str, plugin: &str, list: &str, item: &impl Serialize) -> Option<String> {
    let block = serde_yaml::to_string(item).ok()?;
    with_list(text, plugin, list, |items| {
        let item: Document = block.parse().ok()?;
        items.push(item.as_mapping()?);
        Some(())
    })
}

/// Removes an item, by its place, from a list of a plugin's settings.
pub fn remove_setting(text: &str, plugin: &str, list: &str, index: usize) -> Option<String> {
    with_list(text, plugin, list, |items| items.remove(index).map(drop))
}

fn with_list(
    text: &str,
    plugin: &str,
    list: &str,
    edit: impl FnOnce(&Sequence) -> Option<()>,
) -> Option<String> {
    let document: Document = text.parse().ok()?;
    let plugin = document
        .as_mapping()?
        .get_mapping("plugins")?
        .get_mapping(plugin)?;
    edit(&plugin.get_mapping("settings")?.get_sequence(list)?)?;
    Some(document.to_string())
}

/// A section that has entries.
fn filled_section(text: &str, section: &str) -> Option<(Document, Mapping)> {
    let document: Document = text.parse().ok()?;
    let mapping = document.as_mapping()?.get_mapping(section)?;
    (!mapping.is_empty()).then_some((document, mapping))
}

/// Puts the first entry of a section below its heading, which is written where it is missing.
fn append(text: &str, section: &str, name: &str, block: &str) -> Option<String> {
    let mut entry = format!("  {name}:\n");
    for line in block.lines() {
        entry.push_str(&format!("    {line}\n"));
    }
    let mut edited = String::new();
    let mut found = false;
    for line in text.split_inclusive('\n') {
        let Some(rest) = line
            .strip_prefix(section)
            .and_then(|rest| rest.strip_prefix(':'))
        else {
            edited.push_str(line);
            continue;
        };
        let (value, comment) = rest.find('#').map_or((rest, ""), |at| rest.split_at(at));
        if !matches!(value.trim(), "" | "{}" | "null" | "~") {
            return None;
        }
        found = true;
        let gap = if comment.is_empty() { "" } else { " " };
        edited.push_str(&format!("{section}:{gap}{}\n{entry}", comment.trim_end()));
    }
    if !found {
        if !edited.is_empty() && !edited.ends_with('\n') {
            edited.push('\n');
        }
        edited.push_str(&format!("\n{section}:\n{entry}"));
    }
    Some(edited)
}

#[cfg(test)]
mod tests;
