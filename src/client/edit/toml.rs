//! TOML, with its comments and order.

use serde_json::Value;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, value};

use super::{EditError, Place};

pub(super) fn find(text: &str, place: Place<'_>) -> Result<Option<Value>, EditError> {
    let mut document = parse(text)?;
    let Some(section) = section(&mut document, place)? else {
        return Ok(None);
    };
    Ok(section.get(place.name).map(to_json))
}

pub(super) fn insert(text: &str, place: Place<'_>, entry: &Value) -> Result<String, EditError> {
    let mut document = parse(text)?;
    if section(&mut document, place)?.is_none() {
        // Only the tables below it are written.
        let mut section = Table::new();
        section.set_implicit(true);
        document.insert(place.dialect.section, Item::Table(section));
    }
    let first = document.len() == 1;
    if let Some(section) = section(&mut document, place)? {
        let mut table = Table::new();
        for (field, said) in entry.as_object().into_iter().flatten() {
            table.insert(field, from_json(said));
        }
        if first && section.is_empty() {
            table.decor_mut().set_prefix("");
        }
        section.insert(place.name, Item::Table(table));
    }
    Ok(document.to_string())
}

pub(super) fn remove(text: &str, place: Place<'_>) -> Result<String, EditError> {
    let mut document = parse(text)?;
    let mut is_empty = false;
    if let Some(section) = section(&mut document, place)? {
        section.remove(place.name);
        is_empty = section.is_empty();
    }
    if is_empty {
        document.remove(place.dialect.section);
    }
    Ok(document.to_string())
}

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    text.parse()
        .map_err(|error: toml_edit::TomlError| EditError::Unreadable(error.to_string()))
}

fn section<'a>(
    document: &'a mut DocumentMut,
    place: Place<'_>,
) -> Result<Option<&'a mut dyn toml_edit::TableLike>, EditError> {
    let name = place.dialect.section;
    let Some(item) = document.get_mut(name) else {
        return Ok(None);
    };
    item.as_table_like_mut()
        .map(Some)
        .ok_or_else(|| EditError::OtherForm(name.to_owned()))
}

fn from_json(said: &Value) -> Item {
    match said {
        Value::Array(items) => {
            let items = items.iter().filter_map(Value::as_str);
            value(items.collect::<Array>())
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let texts = fields.filter_map(|(name, said)| Some((name, said.as_str()?)));
            value(texts.collect::<InlineTable>())
        }
        Value::Bool(said) => value(*said),
        said => value(said.as_str().unwrap_or_default()),
    }
}

/// What is needed to compare and describe an entry: texts, lists of texts, tables of texts.
fn to_json(item: &Item) -> Value {
    if let Some(table) = item.as_table_like() {
        let fields = table.iter();
        return Value::Object(
            fields
                .map(|(k, item)| (k.to_owned(), to_json(item)))
                .collect(),
        );
    }
    if let Some(items) = item.as_array() {
        let items = items.iter();
        return Value::Array(
            items
                .map(|value| to_json(&Item::Value(value.clone())))
                .collect(),
        );
    }
    match (item.as_str(), item.as_bool()) {
        (Some(text), _) => text.into(),
        (None, Some(said)) => said.into(),
        (None, None) => item.to_string().trim().into(),
    }
}
