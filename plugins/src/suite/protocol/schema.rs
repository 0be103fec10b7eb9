//! JSON Schema as far as a plugin's tools need it: whether a value fits.
//!
//! Keywords that are not known here are passed over, as the specification of JSON Schema says.
//! References lead within the schema; what lies elsewhere is never fetched.

use serde_json::Value;

/// Choices and references within each other are followed only so far.
const DEPTH: usize = 32;

/// Says where `value` does not fit and why, without repeating anything of it.
pub(super) fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    Check { root: schema }.at("", schema, value, 0)
}

struct Check<'a> {
    root: &'a Value,
}

impl Check<'_> {
    fn at(&self, path: &str, schema: &Value, value: &Value, depth: usize) -> Result<(), String> {
        let place = || match path {
            "" => "it".to_owned(),
            path => format!("`{path}`"),
        };
        if depth > DEPTH {
            return Err(format!("{} is described too deeply", place()));
        }
        if schema == &Value::Bool(false) {
            return Err(format!("{} is not allowed", place()));
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = reference.strip_prefix('#');
            let Some(target) = target.and_then(|pointer| self.root.pointer(pointer)) else {
                return Err(format!(
                    "{} leads to {reference:?}, which is not there",
                    place()
                ));
            };
            self.at(path, target, value, depth + 1)?;
        }
        if let Some(types) = schema.get("type")
            && !one_or_many(types).any(|kind| is_of(kind, value))
        {
            let due: Vec<_> = one_or_many(types).collect();
            return Err(format!(
                "{} has to be of type {}",
                place(),
                due.join(" or ")
            ));
        }
        if let Some(Value::Array(choices)) = schema.get("enum")
            && !choices.contains(value)
        {
            return Err(format!("{} is none of the permitted values", place()));
        }
        if schema.get("const").is_some_and(|due| due != value) {
            return Err(format!("{} is not the permitted value", place()));
        }
        self.choices(path, schema, value, depth)?;
        match value {
            Value::Object(_) => self.object(path, schema, value, depth),
            Value::Array(items) => {
                let Some(schema) = schema.get("items") else {
                    return Ok(());
                };
                let mut items = items.iter().enumerate();
                items.try_for_each(|(index, item)| {
                    self.at(&format!("{path}[{index}]"), schema, item, depth + 1)
                })
            }
            Value::String(text) => {
                let length = text.chars().count() as u64;
                let limit = |name: &str| schema.get(name).and_then(Value::as_u64);
                let is_short = limit("minLength").is_some_and(|least| length < least);
                let is_long = limit("maxLength").is_some_and(|most| length > most);
                match is_short || is_long {
                    true => Err(format!("{} has not the permitted length", place())),
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn choices(
        &self,
        path: &str,
        schema: &Value,
        value: &Value,
        depth: usize,
    ) -> Result<(), String> {
        let list = |name: &str| schema.get(name).and_then(Value::as_array);
        for part in list("allOf").into_iter().flatten() {
            self.at(path, part, value, depth + 1)?;
        }
        for name in ["anyOf", "oneOf"] {
            let Some(choices) = list(name) else { continue };
            let mut last = Ok(());
            for choice in choices {
                last = self.at(path, choice, value, depth + 1);
                if last.is_ok() {
                    break;
                }
            }
            last?;
        }
        Ok(())
    }

    fn object(
        &self,
        path: &str,
        schema: &Value,
        value: &Value,
        depth: usize,
    ) -> Result<(), String> {
        let within = |name: &str| match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if value.get(name).is_none() {
                return Err(format!("`{}` is missing", within(name)));
            }
        }
        let others = schema.get("additionalProperties");
        for (name, member) in value.as_object().into_iter().flatten() {
            let known = schema.get("properties").and_then(|known| known.get(name));
            if let Some(schema) = known.or(others) {
                self.at(&within(name), schema, member, depth + 1)?;
            }
        }
        Ok(())
    }
}

fn one_or_many(types: &Value) -> impl Iterator<Item = &str> {
    let one = types.as_str();
    let many = types.as_array().into_iter().flatten();
    one.into_iter().chain(many.filter_map(Value::as_str))
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn problem(schema: &Value, value: &Value) -> String {
        fits(schema, value).unwrap_err()
    }

    #[test]
    fn what_fits_fits() {
        let schema = json!({
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": { "$ref": "#/$defs/name" },
                "tags": { "type": "array", "items": { "enum": ["a", "b"] } },
                "until": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
                "count": { "type": ["integer", "null"], "unknown keyword": 7 },
            },
            "$defs": { "name": { "type": "string", "minLength": 1 } },
        });
        for value in [
            json!({ "name": "x" }),
            json!({ "name": "x", "tags": ["a", "b", "a"], "until": null, "count": 2.0, "more": {} }),
        ] {
            assert_eq!(fits(&schema, &value), Ok(()), "{value}");
        }
        insta::assert_snapshot!(problem(&schema, &json!({})), @"`name` is missing");
        insta::assert_snapshot!(problem(&schema, &json!({ "name": "" })), @"`name` has not the permitted length");
        insta::assert_snapshot!(problem(&schema, &json!({ "name": "x", "tags": ["c"] })), @"`tags[0]` is none of the permitted values");
        insta::assert_snapshot!(problem(&schema, &json!({ "name": "x", "until": 7 })), @"`until` has to be of type null");
        insta::assert_snapshot!(problem(&schema, &json!({ "name": "x", "count": 0.5 })), @"`count` has to be of type integer or null");
        insta::assert_snapshot!(problem(&schema, &json!([])), @"it has to be of type object");
    }

    #[test]
    fn nothing_beside_what_is_named_fits_a_closed_schema() {
        let schema = json!({ "properties": { "a": true }, "additionalProperties": false });
        assert_eq!(fits(&schema, &json!({ "a": 7 })), Ok(()));
        insta::assert_snapshot!(problem(&schema, &json!({ "b": 7 })), @"`b` is not allowed");
    }

    #[test]
    fn schemas_that_lead_in_circles_or_elsewhere_end() {
        let circle = json!({ "$ref": "#" });
        insta::assert_snapshot!(problem(&circle, &json!({})), @"it is described too deeply");
        let elsewhere = json!({ "$ref": "https://schemas.example/x" });
        insta::assert_snapshot!(problem(&elsewhere, &json!({})), @r#"it leads to "https://schemas.example/x", which is not there"#);
    }
}
