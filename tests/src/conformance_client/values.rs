//! Values that fit a schema: its defaults, or the plainest there are.

use rmcp::model::JsonObject;
use serde_json::{Value, json};

/// The arguments that a tool requires.
pub(super) fn arguments(schema: &JsonObject) -> JsonObject {
    let required = schema.get("required").and_then(Value::as_array);
    let required: Vec<_> = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    properties(schema)
        .filter(|(name, _)| required.contains(&name.as_str()))
        .map(|(name, schema)| (name.clone(), value(schema)))
        .collect()
}

/// A form as a user hands it in who changes nothing.
pub(super) fn form(schema: &JsonObject) -> JsonObject {
    properties(schema)
        .map(|(name, schema)| (name.clone(), value(schema)))
        .collect()
}

fn properties(schema: &JsonObject) -> impl Iterator<Item = (&String, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten()
}

fn value(schema: &Value) -> Value {
    if let Some(default) = schema.get("default").or_else(|| schema.pointer("/enum/0")) {
        return default.clone();
    }
    match schema["type"].as_str() {
        Some("boolean") => json!(true),
        Some("integer") => json!(1),
        Some("number") => json!(1.5),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => json!("text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_come_before_what_a_type_has() {
        let schema = json!({
            "properties": {
                "name": { "type": "string", "default": "Jo" },
                "color": { "type": "string", "enum": ["red", "blue"] },
                "count": { "type": "integer" },
            },
            "required": ["count"],
        });
        let schema = schema.as_object().unwrap();
        let all = json!({ "name": "Jo", "color": "red", "count": 1 });
        assert_eq!(Value::Object(form(schema)), all);
        assert_eq!(Value::Object(arguments(schema)), json!({ "count": 1 }));
    }
}
