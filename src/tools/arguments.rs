//! A call's arguments as they are typed, and the JSON that they become.

use std::io::Read as _;

use anyhow::Context as _;
use gateway_mcp::json::encode_str;
use serde_json::value::RawValue;

use super::schema::Schema;
use crate::exit::Failure;

/// The most that is read from standard input.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What was typed. Numbers stay as they are spelt.
pub(super) enum Arguments {
    /// A JSON object.
    Whole(String),
    /// Pairs, in order.
    Pairs(Vec<(String, Value)>),
}

pub(super) enum Value {
    /// What it is the schema says.
    Text(String),
    Json(String),
}

impl Arguments {
    pub(super) fn read(pairs: Vec<String>, whole: Option<String>) -> Result<Self, Failure> {
        if let Some(whole) = whole {
            return object(whole, "--arguments").map(Self::Whole);
        }
        if pairs == ["-"] {
            let mut text = String::new();
            let mut input = std::io::stdin().lock().take(MAX_BYTES);
            let read = input.read_to_string(&mut text);
            read.context("standard input cannot be read")?;
            return object(text, "standard input").map(Self::Whole);
        }
        let mut read: Vec<(String, Value)> = Vec::new();
        for typed in pairs {
            let (key, value) = pair(&typed)?;
            if read.iter().any(|(known, _)| *known == key) {
                return Err(Failure::invalid(format!(
                    "the argument `{key}` is given twice"
                )));
            }
            read.push((key, value));
        }
        Ok(Self::Pairs(read))
    }

    /// The JSON object, with texts taken for what the schema says that they are.
    pub(super) fn by_schema(self, schema: &Schema) -> Result<String, Failure> {
        let pairs = match self {
            Self::Whole(object) => return Ok(object),
            Self::Pairs(pairs) => pairs,
        };
        let mut members = Vec::new();
        for (key, value) in pairs {
            let value = match value {
                Value::Json(json) => json,
                Value::Text(text) => by_types(&key, text, &schema.types(&key))?,
            };
            members.push(format!("{}:{value}", encode_str(&key)));
        }
        Ok(format!("{{{}}}", members.join(",")))
    }
}

fn pair(typed: &str) -> Result<(String, Value), Failure> {
    let Some((key, value)) = typed
        .split_once('=')
        .filter(|(key, _)| !matches!(*key, "" | ":"))
    else {
        return Err(Failure::invalid(format!(
            "`{typed}` is no argument: write key=value, key:=JSON, or a single - to read a JSON object from standard input"
        )));
    };
    let Some(key) = key.strip_suffix(':') else {
        return Ok((key.to_owned(), Value::Text(value.to_owned())));
    };
    let json: &RawValue = serde_json::from_str(value).map_err(|error| {
        Failure::invalid(format!(
            "the argument `{key}` is not JSON: {error}; texts are written as {key}=TEXT"
        ))
    })?;
    Ok((key.to_owned(), Value::Json(json.get().to_owned())))
}

/// A text as JSON of one of these types. What may be a string is one.
fn by_types(key: &str, text: String, types: &[&str]) -> Result<String, Failure> {
    if types.is_empty() || types.contains(&"string") {
        return Ok(encode_str(&text));
    }
    let json: Option<&RawValue> = serde_json::from_str(&text).ok();
    let fits = json.filter(|json| types.iter().any(|kind| is_of(json.get(), kind)));
    match fits {
        Some(json) => Ok(json.get().to_owned()),
        None => Err(Failure::invalid(format!(
            "the argument `{key}` has the type {} in the tool's schema, and `{text}` does not",
            types.join(" or ")
        ))),
    }
}

/// Whether JSON begins as a value of this type does. The server has the last word.
fn is_of(json: &str, kind: &str) -> bool {
    let first = json.bytes().next().unwrap_or_default();
    match kind {
        "object" => first == b'{',
        "array" => first == b'[',
        "boolean" => matches!(json, "true" | "false"),
        "null" => json == "null",
        "number" | "integer" => first == b'-' || first.is_ascii_digit(),
        _ => true,
    }
}

fn object(text: String, from: &str) -> Result<String, Failure> {
    let json: Result<&RawValue, _> = serde_json::from_str(text.trim());
    match json {
        Ok(json) if json.get().starts_with('{') => Ok(json.get().to_owned()),
        Ok(_) => Err(Failure::invalid(format!("{from}: not a JSON object"))),
        Err(error) => Err(Failure::invalid(format!("{from}: not JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use gateway_mcp::list::Item;

    use super::*;

    fn written(typed: &[&str]) -> Result<String, Failure> {
        let tool = r#"{"name":"t","inputSchema":{"properties":{
            "n":{"type":"number"},"b":{"type":"boolean"},"o":{"type":"object"},
            "l":{"type":["array","null"]},"s":{"type":"string"},"e":{"type":["string","number"]}}}}"#;
        let tool = Item::read(Bytes::from_static(tool.as_bytes()), "name").unwrap();
        let pairs = typed.iter().map(|&pair| pair.to_owned()).collect();
        Arguments::read(pairs, None)?.by_schema(&super::super::schema::of(&tool))
    }

    #[test]
    fn the_schema_says_what_a_text_is() {
        let typed = [
            "n=1.50",
            "b=true",
            "o={\"a\": 1}",
            "l=null",
            "s=7",
            "e=7",
            "other=1",
            "raw:=[1e400]",
            "t=a=b",
        ];
        assert_eq!(
            written(&typed).unwrap(),
            r#"{"n":1.50,"b":true,"o":{"a": 1},"l":null,"s":"7","e":"7","other":"1","raw":[1e400],"t":"a=b"}"#
        );
        assert_eq!(written(&[]).unwrap(), "{}");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for typed in [
            &["n=many"][..],
            &["b=1"],
            &["o=[]"],
            &["x"],
            &["=1"],
            &["a=1", "a:=2"],
            &["a:=x"],
        ] {
            assert!(
                matches!(written(typed), Err(Failure::Invalid(_))),
                "{typed:?}"
            );
        }
        for whole in ["[]", "{", "7 7"] {
            let read = Arguments::read(Vec::new(), Some(whole.to_owned()));
            assert!(read.is_err(), "{whole}");
        }
    }
}
