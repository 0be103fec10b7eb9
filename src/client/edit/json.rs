//! JSON as people keep it, with comments and trailing commas.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde_json::Value;

use super::{EditError, Place};

/// What clients' own files hold, and no more.
pub(crate) const JSON: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

pub(super) fn find(text: &str, place: Place<'_>) -> Result<Option<Value>, EditError> {
    let root = parse(text)?;
    let Some(section) = section(&root, place)? else {
        return Ok(None);
    };
    let entry = section.get(place.name);
    Ok(entry.map(|entry| entry.to_serde_value().unwrap_or(Value::Null)))
}

pub(super) fn insert(text: &str, place: Place<'_>, entry: &Value) -> Result<String, EditError> {
    let root = parse(text)?;
    let other_form = || EditError::OtherForm(place.dialect.section.to_owned());
    let object = root
        .object_value_or_create()
        .ok_or_else(|| EditError::Unreadable("it does not hold an object".into()))?;
    let section = object
        .object_value_or_create(place.dialect.section)
        .ok_or_else(other_form)?;
    match section.get(place.name) {
        Some(property) => property.set_value(input(entry)),
        None => {
            section.append(place.name, input(entry));
        }
    }
    Ok(root.to_string())
}

pub(super) fn remove(text: &str, place: Place<'_>) -> Result<String, EditError> {
    let root = parse(text)?;
    if let Some(section) = section(&root, place)? {
        if let Some(entry) = section.get(place.name) {
            entry.remove();
        }
        if section.properties().is_empty()
            && let Some(property) = root
                .object_value()
                .and_then(|object| object.get(place.dialect.section))
        {
            property.remove();
        }
    }
    Ok(root.to_string())
}

fn parse(text: &str) -> Result<CstRootNode, EditError> {
    CstRootNode::parse(text, &JSON).map_err(|error| EditError::Unreadable(error.to_string()))
}

fn section(root: &CstRootNode, place: Place<'_>) -> Result<Option<CstObject>, EditError> {
    let name = place.dialect.section;
    let Some(property) = root.object_value().and_then(|object| object.get(name)) else {
        return Ok(None);
    };
    let section = property.object_value();
    section
        .map(Some)
        .ok_or_else(|| EditError::OtherForm(name.to_owned()))
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(value) => CstInputValue::Number(value.to_string()),
        Value::String(value) => CstInputValue::String(value.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(fields) => {
            let fields = fields.iter();
            CstInputValue::Object(fields.map(|(k, v)| (k.clone(), input(v))).collect())
        }
    }
}
