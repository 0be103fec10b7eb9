//! An implementation's own settings: a JSON object that only the implementation understands.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// Numbers beyond this are not exact in every language that reads them (RFC 8259 section 6).
const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_991.0;

/// A JSON object in canonical form: whole numbers are integers, and no number is outside the
/// range that every JSON reader keeps exactly. So settings survive any trip unchanged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct Settings(Map<String, Value>);

/// Settings with a number that cannot be kept exactly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the number {0} in `settings` is too large to be kept exactly: write it in quotes")]
pub struct InvalidSettings(String);

impl Settings {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The settings as a JSON object.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Reads the settings as an implementation's own type, whose `deny_unknown_fields` makes a
    /// misspelt setting an error.
    ///
    /// # Errors
    /// Says which field is wrong.
    pub fn read<T: for<'de> Deserialize<'de>>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(Value::Object(self.0.clone()))
    }
}

impl TryFrom<Map<String, Value>> for Settings {
    type Error = InvalidSettings;

    fn try_from(map: Map<String, Value>) -> Result<Self, InvalidSettings> {
        match canonical(Value::Object(map))? {
            Value::Object(map) => Ok(Self(map)),
            _ => Ok(Self::default()),
        }
    }
}

impl From<Settings> for Map<String, Value> {
    fn from(settings: Settings) -> Self {
        settings.0
    }
}

fn canonical(value: Value) -> Result<Value, InvalidSettings> {
    match value {
        Value::Number(number) => canonical_number(number).map(Value::Number),
        Value::Array(items) => items
            .into_iter()
            .map(canonical)
            .collect::<Result<_, _>>()
            .map(Value::Array),
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(key, value)| Ok((key, canonical(value)?)));
            fields.collect::<Result<_, _>>().map(Value::Object)
        }
        other => Ok(other),
    }
}

fn canonical_number(number: Number) -> Result<Number, InvalidSettings> {
    let value = number
        .as_f64()
        .filter(|v| v.is_finite() && v.abs() <= MAX_EXACT_INTEGER);
    let Some(value) = value else {
        return Err(InvalidSettings(number.to_string()));
    };
    if value.fract() == 0.0 {
        // In range by the check above, so the conversion is exact.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked against MAX_EXACT_INTEGER"
        )]
        return Ok(Number::from(value as i64));
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_numbers_are_integers_however_they_are_spelt() {
        let settings: Settings =
            serde_json::from_value(json!({"a": 5.0, "b": [-3.0, 2.5]})).unwrap();
        assert_eq!(
            serde_json::to_value(&settings).unwrap(),
            json!({"a": 5, "b": [-3, 2.5]})
        );
    }

    #[test]
    fn a_number_that_would_lose_digits_is_refused() {
        let error = serde_json::from_value::<Settings>(json!({"a": 9_007_199_254_740_993_u64}));
        assert!(error.unwrap_err().to_string().contains("9007199254740993"));
    }
}
