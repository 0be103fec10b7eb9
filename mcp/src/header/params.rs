//! The headers that repeat a tool call's arguments, as annotations of the tool's input schema ask.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use memchr::memmem;
use serde_json::value::RawValue;

use super::{HeaderMismatch, MCP_PARAM_PREFIX, encode_value, single_value};
use crate::json::{Fields, check_depth, decode_str, is_null, str_at};
use crate::message::ScanError;

const ANNOTATION: &str = "x-mcp-header";
/// The greatest integer that every reader of JSON takes for itself.
const GREATEST_INTEGER: u64 = (1 << 53) - 1;

/// Why a tool must not be offered to clients: its annotations break the specification's rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnnotation {
    #[error("its input schema cannot be read")]
    Schema(#[from] ScanError),
    #[error("an x-mcp-header stands elsewhere than on a property that is reached by `properties`")]
    Misplaced,
    #[error("the x-mcp-header of `{property}` appears more than once, or is not a string")]
    NotText { property: String },
    #[error("the x-mcp-header of `{property}`, {name:?}, cannot be part of a header's name")]
    Name { property: String, name: String },
    #[error("`{property}` has an x-mcp-header, but is neither string, integer nor boolean")]
    Type { property: String },
    #[error("the x-mcp-header {name:?} appears more than once")]
    Repeated { name: String },
}

/// Why a call's arguments cannot be repeated in headers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    #[error("the arguments cannot be read")]
    Arguments(#[from] ScanError),
    #[error("the argument `{property}` appears more than once")]
    Repeated { property: String },
    #[error(
        "the argument `{property}`, which goes into a header, is neither a string, a boolean nor an integer of at most 53 bits"
    )]
    Value { property: String },
}

/// A header that is at odds with the argument that it repeats.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{mismatch} (argument `{property}`)")]
pub struct ParamMismatch {
    pub mismatch: HeaderMismatch,
    /// The names of the properties that lead to the argument, joined by dots.
    pub property: String,
}

/// Which arguments of a tool are repeated in `Mcp-Param-` headers.
#[derive(Debug)]
pub struct ParamHeaders(Vec<Annotated>);

impl ParamHeaders {
    /// Reads the annotations of a tool's input schema, a raw JSON object.
    pub fn read(input_schema: &str) -> Result<Self, InvalidAnnotation> {
        let mut reader = Reader::default();
        if may_be_annotated(input_schema) {
            let source = input_schema.as_bytes();
            let schema = Fields::scan(source, 0..source.len())?;
            check_depth(source)?;
            reader.read_object(source, &schema, true)?;
        }
        Ok(Self(reader.found))
    }

    /// Whether the tool has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers of a call with these arguments, a raw JSON object.
    pub fn write(&self, arguments: Option<&str>) -> Result<HeaderMap, ParamError> {
        let mut headers = HeaderMap::new();
        let Some(arguments) = arguments else {
            return Ok(headers);
        };
        for annotated in &self.0 {
            let Some(value) = annotated.value_in(arguments)? else {
                continue;
            };
            let text = header_text(value).ok_or_else(|| ParamError::Value {
                property: annotated.property(),
            })?;
            headers.insert(annotated.header.clone(), encode_value(&text));
        }
        Ok(headers)
    }

    /// Puts the headers of a call with these arguments in the place of those that are there.
    pub fn replace_in(
        &self,
        headers: &mut HeaderMap,
        arguments: Option<&str>,
    ) -> Result<(), ParamError> {
        let written = self.write(arguments)?;
        for annotated in &self.0 {
            headers.remove(&annotated.header);
        }
        headers.extend(written);
        Ok(())
    }

    /// Checks the headers of a call against its arguments. Those that the tool does not ask for
    /// are not looked at.
    pub fn check(&self, arguments: Option<&str>, headers: &HeaderMap) -> Result<(), ParamMismatch> {
        for annotated in &self.0 {
            let checked = annotated.check(arguments, headers);
            checked.map_err(|mismatch| ParamMismatch {
                mismatch,
                property: annotated.property(),
            })?;
        }
        Ok(())
    }
}

/// A property whose value goes into a header.
#[derive(Debug)]
struct Annotated {
    /// The names of the properties that lead to it, its own last.
    path: Vec<String>,
    /// The annotation, as it is spelled.
    name: String,
    header: HeaderName,
}

impl Annotated {
    fn property(&self) -> String {
        self.path.join(".")
    }

    fn check(&self, arguments: Option<&str>, headers: &HeaderMap) -> Result<(), HeaderMismatch> {
        let spelled = || Cow::Owned(format!("Mcp-Param-{}", self.name));
        let found = single_value(headers, &self.header, spelled(), true)?;
        let argument = match arguments.map(|arguments| self.value_in(arguments)) {
            Some(Ok(argument)) => argument,
            Some(Err(_)) => return Err(HeaderMismatch::Ambiguous { header: spelled() }),
            None => None,
        };
        match (found, argument) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(HeaderMismatch::Missing { header: spelled() }),
            (Some(found), None) => Err(HeaderMismatch::Unmatched {
                header: spelled(),
                value: found.into_owned(),
            }),
            (Some(found), Some(argument)) if says_the_same(&found, argument) => Ok(()),
            (Some(found), Some(argument)) => Err(HeaderMismatch::Differs {
                header: spelled(),
                value: found.into_owned(),
                body: header_text(argument)
                    .unwrap_or(argument.into())
                    .into_owned(),
            }),
        }
    }

    /// What a call's arguments say under the property; `None` also for `null`.
    fn value_in<'a>(&self, arguments: &'a str) -> Result<Option<&'a str>, ParamError> {
        let mut value = arguments;
        for (depth, name) in self.path.iter().enumerate() {
            // The arguments themselves have to be an object; what is in them need not be one.
            if depth > 0 && !value.starts_with('{') {
                return Ok(None);
            }
            let source = value.as_bytes();
            let fields = Fields::scan(source, 0..source.len())?;
            let mut places = fields.iter().filter(|(key, _)| key == name);
            let Some((_, place)) = places.next().filter(|(_, place)| !is_null(source, place))
            else {
                return Ok(None);
            };
            if places.next().is_some() {
                return Err(ParamError::Repeated {
                    property: self.property(),
                });
            }
            value = str_at(source, &place);
        }
        Ok(Some(value))
    }
}

/// The value as it stands in a header before it is encoded, if it can.
fn header_text(value: &str) -> Option<Cow<'_, str>> {
    match value.as_bytes().first()? {
        b'"' => decode_str(value.as_bytes()),
        b't' | b'f' => Some(value.into()),
        b'{' | b'[' => None,
        _ => integer(value).map(|integer| integer.to_string().into()),
    }
}

/// Whether a decoded header says what the argument says; integers are compared as numbers.
fn says_the_same(found: &str, argument: &str) -> bool {
    let is_string = argument.starts_with('"');
    match integer(argument).filter(|_| !is_string) {
        Some(expected) => integer(found) == Some(expected),
        None => header_text(argument).as_deref().unwrap_or(argument) == found,
    }
}

/// The integer that a JSON number is, however it is written, if every reader takes it for the same.
fn integer(text: &str) -> Option<i64> {
    if !text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
    {
        return None;
    }
    let integer = match serde_json::from_str::<i64>(text) {
        Ok(integer) => integer,
        Err(_) => {
            let _: f64 = serde_json::from_str(text).ok()?;
            // To the nearest number that there is, which the JSON reader may miss by one.
            let number: f64 = text.parse().ok()?;
            let is_whole = number.fract() == 0.0 && number.abs() <= GREATEST_INTEGER as f64;
            is_whole.then_some(number as i64)?
        }
    };
    (integer.unsigned_abs() <= GREATEST_INTEGER).then_some(integer)
}

/// Whether the annotation can stand in the text at all, be it in another spelling.
fn may_be_annotated(text: &str) -> bool {
    let has = |part: &str| memmem::find(text.as_bytes(), part.as_bytes()).is_some();
    has(ANNOTATION) || has("\\u")
}

/// Reads the annotations of a schema.
#[derive(Debug, Default)]
struct Reader {
    /// The properties that lead to where the reader stands.
    path: Vec<String>,
    found: Vec<Annotated>,
}

impl Reader {
    /// Reads one schema. It `is_reached` if nothing but `properties` led to it.
    fn read_object(
        &mut self,
        source: &[u8],
        schema: &Fields<'_>,
        is_reached: bool,
    ) -> Result<(), InvalidAnnotation> {
        for (keyword, place) in schema.iter() {
            let value = str_at(source, &place);
            match keyword {
                ANNOTATION => self.take(source, schema, is_reached)?,
                "properties" => self.read_map(value, is_reached)?,
                "$defs" | "definitions" | "dependencies" | "dependentSchemas"
                | "patternProperties" => self.read_map(value, false)?,
                // These hold instances and names, whatever they look like.
                "const" | "default" | "dependentRequired" | "enum" | "examples" => {}
                _ => self.read_value(value, false)?,
            }
        }
        Ok(())
    }

    /// Reads the schemas that an object has under names of its own.
    fn read_map(&mut self, text: &str, is_reached: bool) -> Result<(), InvalidAnnotation> {
        if !text.starts_with('{') || !may_be_annotated(text) {
            return Ok(());
        }
        let map = Fields::scan(text.as_bytes(), 0..text.len())?;
        for (name, place) in map.iter() {
            self.path.push(name.to_owned());
            self.read_value(str_at(text.as_bytes(), &place), is_reached)?;
            self.path.pop();
        }
        Ok(())
    }

    /// Reads what stands where schemas do: a schema, a list of them, or something else.
    fn read_value(&mut self, text: &str, is_reached: bool) -> Result<(), InvalidAnnotation> {
        if !may_be_annotated(text) {
            return Ok(());
        }
        if text.starts_with('{') {
            let schema = Fields::scan(text.as_bytes(), 0..text.len())?;
            return self.read_object(text.as_bytes(), &schema, is_reached);
        }
        if text.starts_with('[') {
            let items: Vec<&RawValue> =
                serde_json::from_str(text).map_err(|error| ScanError::NotJson {
                    reason: error.to_string(),
                })?;
            for item in items {
                self.read_value(item.get(), false)?;
            }
        }
        Ok(())
    }

    /// Takes the annotation of the property at which the reader stands.
    fn take(
        &mut self,
        source: &[u8],
        schema: &Fields<'_>,
        is_reached: bool,
    ) -> Result<(), InvalidAnnotation> {
        // The root has no name in the arguments.
        if !is_reached || self.path.is_empty() {
            return Err(InvalidAnnotation::Misplaced);
        }
        let property = self.path.join(".");
        let text_of = |key| {
            let place = schema.unique(key).ok()??;
            decode_str(source.get(place)?)
        };
        let Some(name) = text_of(ANNOTATION) else {
            return Err(InvalidAnnotation::NotText { property });
        };
        let header = HeaderName::from_bytes(format!("{MCP_PARAM_PREFIX}{name}").as_bytes());
        let Some(header) = header.ok().filter(|_| !name.is_empty()) else {
            let name = name.into_owned();
            return Err(InvalidAnnotation::Name { property, name });
        };
        if !matches!(
            text_of("type").as_deref(),
            Some("string" | "integer" | "boolean")
        ) {
            return Err(InvalidAnnotation::Type { property });
        }
        let name = name.into_owned();
        if self.found.iter().any(|other| other.header == header) {
            return Err(InvalidAnnotation::Repeated { name });
        }
        self.found.push(Annotated {
            path: self.path.clone(),
            name,
            header,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
