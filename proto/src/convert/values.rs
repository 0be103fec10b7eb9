//! Conversions of single values: time spans, settings, presence and enumerations.

use std::time::Duration;

use gateway_core::config::{Settings, TimeSpan};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as PbValue};
use serde_json::{Map, Number, Value};

use super::InvalidField;

/// The value of a field that must be there.
pub(super) fn required<T>(value: Option<T>, path: &str) -> Result<T, InvalidField> {
    value.ok_or_else(|| InvalidField::new(path, "is missing"))
}

/// The enumeration's value behind the number on the wire.
pub(super) fn known<E: TryFrom<i32>>(number: i32, path: &str) -> Result<E, InvalidField> {
    E::try_from(number)
        .map_err(|_| InvalidField::new(path, format!("{number} is a value of no known meaning")))
}

/// A name or another text with a form of its own.
pub(super) fn parsed<T>(text: String, path: &str) -> Result<T, InvalidField>
where
    T: TryFrom<String, Error: std::fmt::Display>,
{
    T::try_from(text).map_err(|error| InvalidField::new(path, error.to_string()))
}

pub(super) fn port(number: u32, path: &str) -> Result<u16, InvalidField> {
    u16::try_from(number)
        .map_err(|_| InvalidField::new(path, format!("{number} is no port: the last is 65535")))
}

pub(super) fn to_duration(span: TimeSpan) -> prost_types::Duration {
    let duration = span.as_duration();
    prost_types::Duration {
        // A time span never has more seconds than fit.
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

pub(super) fn from_duration(
    duration: Option<prost_types::Duration>,
    path: &str,
) -> Result<Option<TimeSpan>, InvalidField> {
    let Some(prost_types::Duration { seconds, nanos }) = duration else {
        return Ok(None);
    };
    let span = match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => {
            TimeSpan::try_from(Duration::new(seconds, nanos)).ok()
        }
        _ => None,
    };
    match span {
        Some(span) => Ok(Some(span)),
        None => Err(InvalidField::new(path, "is no positive length of time")),
    }
}

/// Settings as the wire has them; none are left out.
pub(super) fn to_struct(settings: &Settings) -> Option<Struct> {
    Some(settings.as_map())
        .filter(|map| !map.is_empty())
        .map(object_to_struct)
}

pub(super) fn from_struct(settings: Option<Struct>) -> Result<Settings, InvalidField> {
    let map = struct_to_object(settings.unwrap_or_default())?;
    Settings::try_from(map).map_err(|error| InvalidField::new("", error.to_string()))
}

fn object_to_struct(map: &Map<String, Value>) -> Struct {
    let fields = map.iter().map(|(key, value)| (key.clone(), to_pb(value)));
    Struct {
        fields: fields.collect(),
    }
}

fn to_pb(value: &Value) -> PbValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        // Settings hold no number that is not exactly a double; the reader would refuse a NaN.
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue {
            values: items.iter().map(to_pb).collect(),
        }),
        Value::Object(map) => Kind::StructValue(object_to_struct(map)),
    };
    PbValue { kind: Some(kind) }
}

fn struct_to_object(message: Struct) -> Result<Map<String, Value>, InvalidField> {
    let mut map = Map::new();
    for (key, value) in message.fields {
        let value = from_pb(value).map_err(|error| error.within(&key))?;
        map.insert(key, value);
    }
    Ok(map)
}

fn from_pb(value: PbValue) -> Result<Value, InvalidField> {
    Ok(match required(value.kind, "")? {
        Kind::NullValue(_) => Value::Null,
        Kind::BoolValue(flag) => Value::Bool(flag),
        Kind::NumberValue(number) => match Number::from_f64(number) {
            Some(number) => Value::Number(number),
            None => return Err(InvalidField::new("", format!("{number} is no number"))),
        },
        Kind::StringValue(text) => Value::String(text),
        Kind::ListValue(list) => {
            let mut items = Vec::with_capacity(list.values.len());
            for (index, item) in list.values.into_iter().enumerate() {
                items.push(from_pb(item).map_err(|error| error.within(&format!("[{index}]")))?);
            }
            Value::Array(items)
        }
        Kind::StructValue(message) => Value::Object(struct_to_object(message)?),
    })
}
