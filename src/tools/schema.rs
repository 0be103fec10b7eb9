//! What a tool's input schema says of its arguments, as far as people need it.

use gateway_mcp::list::Item;
use serde_json::{Map, Value};

/// A tool's arguments.
pub(super) struct Schema {
    properties: Map<String, Value>,
    required: Vec<String>,
}

/// The schema of a tool; one that cannot be read says nothing.
pub(super) fn of(tool: &Item) -> Schema {
    let schema = tool.input_schema().map(serde_json::from_str::<Value>);
    let mut schema = schema.and_then(Result::ok).unwrap_or_default();
    let properties = match schema.get_mut("properties").map(Value::take) {
        Some(Value::Object(properties)) => properties,
        _ => Map::new(),
    };
    let required = schema.get("required").and_then(Value::as_array);
    let required = required.into_iter().flatten();
    Schema {
        properties,
        required: required
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    }
}

impl Schema {
    /// The types that an argument may have; none where the schema does not say.
    pub(super) fn types(&self, name: &str) -> Vec<&str> {
        let mut types = Vec::new();
        if let Some(property) = self.properties.get(name) {
            collect(property, &mut types, 0);
        }
        types
    }

    /// `path:str, limit?:int`: those that must be given come first, each in the schema's order.
    pub(super) fn short(&self) -> String {
        let is_required = |name: &&String| self.required.contains(*name);
        let required = self.properties.keys().filter(is_required);
        let others = self.properties.keys().filter(|name| !is_required(name));
        let shown = required.chain(others).map(|name| {
            let mark = if is_required(&name) { "" } else { "?" };
            let types = self.types(name);
            let types = types
                .iter()
                .filter(|kind| **kind != "null")
                .map(|kind| short(kind));
            let types = types.collect::<Vec<_>>().join("|");
            if types.is_empty() {
                format!("{name}{mark}")
            } else {
                format!("{name}{mark}:{types}")
            }
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

/// Choices within choices are looked into only so deep.
const DEPTH: usize = 4;

fn collect<'a>(schema: &'a Value, types: &mut Vec<&'a str>, depth: usize) {
    let field = |name: &str| schema.get(name);
    let list = |name: &str| field(name).and_then(Value::as_array).into_iter().flatten();
    let said: Vec<&'a str> = match field("type") {
        Some(Value::String(kind)) => vec![kind.as_str()],
        Some(_) => list("type").filter_map(Value::as_str).collect(),
        // A list of values speaks for itself.
        None => list("enum").map(kind_of).collect(),
    };
    for kind in said {
        if !types.contains(&kind) {
            types.push(kind);
        }
    }
    for choice in list("anyOf").chain(list("oneOf")) {
        if depth < DEPTH {
            collect(choice, types, depth + 1);
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn short(kind: &str) -> &str {
    match kind {
        "string" => "str",
        "integer" => "int",
        "number" => "num",
        "boolean" => "bool",
        "object" => "obj",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn schema(schema: &str) -> Schema {
        let tool = format!(r#"{{"name":"t","inputSchema":{schema}}}"#);
        of(&Item::read(Bytes::from(tool), "name").unwrap())
    }

    #[test]
    fn arguments_are_shown_in_short() {
        let schema = schema(
            r#"{"type":"object","required":["path"],"properties":{
                "limit":{"type":"integer"},"path":{"type":"string"},"any":{},
                "deep":{"anyOf":[{"type":"null"},{"oneOf":[{"type":"array"},{"type":"object"}]}]},
                "mode":{"enum":["a","b"]},"both":{"type":["number","null"]}}}"#,
        );
        assert_eq!(
            schema.short(),
            "path:str, limit?:int, any?, deep?:array|obj, mode?:str, both?:num"
        );
    }

    #[test]
    fn what_is_no_schema_says_nothing() {
        for odd in [
            "{}",
            r#"{"properties":7}"#,
            r#"{"properties":{"a":true},"required":{}}"#,
        ] {
            assert!(schema(odd).types("a").is_empty(), "{odd}");
        }
    }
}
