//! Finds the fields of a JSON object as byte ranges, so that everything else can stay as it is.

mod search;
mod walk;

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::message::ScanError;
use walk::{Stop, Walk};

pub use search::{IS_ERROR, KeySearch};

/// How many objects and arrays may stand inside each other.
pub const MAX_DEPTH: usize = 128;

/// The fields of one JSON object: decoded keys and where the values stand.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    object: Range<usize>,
    entries: Vec<(Cow<'a, str>, Range<usize>)>,
}

/// Two keys of one object that some reader would take for the same field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the field \"{key}\" appears more than once")]
pub struct DuplicateKey {
    pub key: String,
}

impl<'a> Fields<'a> {
    /// Reads the object that stands in `range` of `source`, white space around it allowed.
    ///
    /// The whole range is checked to be JSON in UTF-8; values are not looked into further.
    pub fn scan(source: &'a [u8], range: Range<usize>) -> Result<Fields<'a>, ScanError> {
        let start = range.start;
        let text = std::str::from_utf8(source.get(range).unwrap_or_default()).map_err(|error| {
            ScanError::NotUtf8 {
                offset: start.saturating_add(error.valid_up_to()),
            }
        })?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err(not_an_object(text));
        }
        let mut fields = Fields {
            object: 0..0,
            entries: Vec::with_capacity(4),
        };
        match fields.fill(text, start) {
            Ok(()) => Ok(fields),
            Err(Stop::TooDeep) => Err(ScanError::TooDeep { max: MAX_DEPTH }),
            Err(Stop::Malformed) => Err(malformed(text)),
        }
    }

    /// Reads the fields of the object that is all of `text`, which stands at `start` of the source.
    fn fill(&mut self, text: &'a str, start: usize) -> Result<(), Stop> {
        let mut walk = Walk::new(text.as_bytes());
        walk.skip_space();
        let begin = walk.place();
        let mut is_last = walk.take(b'{') && {
            walk.skip_space();
            walk.take(b'}')
        };
        while !is_last {
            let key = walk.key()?;
            let key = text.get(key).and_then(|key| decode_str(key.as_bytes()));
            let value = walk.value(1)?;
            let value = start.saturating_add(value.start)..start.saturating_add(value.end);
            self.entries.push((key.ok_or(Stop::Malformed)?, value));
            walk.skip_space();
            is_last = walk.take(b'}');
            if !is_last && !walk.take(b',') {
                return Err(Stop::Malformed);
            }
        }
        self.object = start.saturating_add(begin)..start.saturating_add(walk.place());
        walk.skip_space();
        match walk.is_at_end() {
            true => Ok(()),
            false => Err(Stop::Malformed),
        }
    }

    /// Where the object stands, braces included.
    pub fn object(&self) -> Range<usize> {
        self.object.clone()
    }

    /// Where the value of `key` stands; that of the first one if there are several.
    pub fn get(&self, key: &str) -> Option<Range<usize>> {
        self.iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// Where the value of `key` stands, for a field on whose value something is decided.
    ///
    /// Refuses a second key that differs at most in case: readers differ in which of the two they
    /// take, and some ignore case, so the receiver might act on another value than the one seen
    /// here.
    pub fn unique(&self, key: &str) -> Result<Option<Range<usize>>, DuplicateKey> {
        let alike = self
            .iter()
            .filter(|(name, _)| eq_ignoring_case(name, key))
            .count();
        if alike > 1 {
            return Err(DuplicateKey {
                key: key.to_owned(),
            });
        }
        Ok(self.get(key))
    }

    /// Where the values of several keys stand, each as by [`Fields::unique`].
    pub fn unique_of<const N: usize>(
        &self,
        keys: [&str; N],
    ) -> Result<[Option<Range<usize>>; N], DuplicateKey> {
        let mut found = [const { None }; N];
        let mut is_there = [false; N];
        for (name, place) in self.iter() {
            let alike = keys.iter().position(|key| eq_ignoring_case(name, key));
            let Some(((key, found), is_there)) = alike.and_then(|index| {
                let found = found.get_mut(index)?;
                Some(((keys.get(index)?, found), is_there.get_mut(index)?))
            }) else {
                continue;
            };
            if std::mem::replace(is_there, true) {
                let key = (*key).to_owned();
                return Err(DuplicateKey { key });
            }
            if name == *key {
                *found = Some(place);
            }
        }
        Ok(found)
    }

    /// Keys and the places of their values, in the order of the text.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, Range<usize>)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_ref(), value.clone()))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Where the elements of the array at `range` stand; `None` if something else stands there.
pub fn elements(source: &[u8], range: Range<usize>) -> Option<Vec<Range<usize>>> {
    let start = range.start;
    let text = std::str::from_utf8(source.get(range)?).ok()?;
    let mut walk = Walk::new(text.as_bytes());
    walk.skip_space();
    if !walk.take(b'[') {
        return None;
    }
    let mut elements = Vec::new();
    walk.skip_space();
    let mut is_last = walk.take(b']');
    while !is_last {
        let value = walk.value(1).ok()?;
        elements.push(start.saturating_add(value.start)..start.saturating_add(value.end));
        walk.skip_space();
        is_last = walk.take(b']');
        if !is_last && !walk.take(b',') {
            return None;
        }
    }
    walk.skip_space();
    walk.is_at_end().then_some(elements)
}

/// A JSON string's place, and what it says if that differs from how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    range: Range<usize>,
    decoded: Option<Box<str>>,
}

impl Text {
    /// Reads the string that stands in `range`, a value of valid JSON; `None` if something else
    /// stands there.
    pub fn read(source: &[u8], range: Range<usize>) -> Option<Text> {
        let raw = source.get(range.clone())?;
        if raw.first() == Some(&b'"') && memchr(b'\\', raw).is_none() {
            let decoded = None;
            return Some(Text { range, decoded });
        }
        let decoded = match decode_str(raw)? {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text.into_boxed_str()),
        };
        Some(Text { range, decoded })
    }

    /// Where the string stands, quotes included.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// What the string says; `source` is the text that it was read from.
    pub fn as_str<'a>(&'a self, source: &'a [u8]) -> &'a str {
        match &self.decoded {
            Some(text) => text,
            None => str_at(
                source,
                &(self.range.start + 1..self.range.end.saturating_sub(1)),
            ),
        }
    }

    pub(crate) fn moved(self, range: Range<usize>) -> Text {
        Text { range, ..self }
    }
}

/// Decodes a JSON string with its quotes; `None` if it is not one.
pub fn decode_str(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw
        .strip_prefix(b"\"")
        .and_then(|raw| raw.strip_suffix(b"\""))?;
    // Most say what they say.
    if inner
        .iter()
        .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
    {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice::<Str<'_>>(raw)
        .ok()
        .map(|text| text.0)
}

/// Writes `text` as a JSON string with its quotes.
pub fn encode_str(text: &str) -> String {
    Value::from(text).to_string()
}

/// Whether the JSON value at `range` is an object; it must be valid JSON.
pub(crate) fn is_object(source: &[u8], range: &Range<usize>) -> bool {
    source.get(range.start) == Some(&b'{')
}

/// Whether the JSON value at `range` is `null`; it must be valid JSON.
pub(crate) fn is_null(source: &[u8], range: &Range<usize>) -> bool {
    source.get(range.start) == Some(&b'n')
}

/// Whether the JSON value at `range` can be a message's id; it must be valid JSON.
pub(crate) fn is_id(source: &[u8], range: &Range<usize>) -> bool {
    matches!(source.get(range.start), Some(b'"' | b'-' | b'0'..=b'9'))
}

/// The text at `range`, empty if it is out of bounds or cuts a character.
pub(crate) fn str_at<'a>(source: &'a [u8], range: &Range<usize>) -> &'a str {
    let bytes = source.get(range.clone()).unwrap_or_default();
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Refuses JSON nested deeper than [`MAX_DEPTH`]; `text` must be valid JSON.
pub(crate) fn check_depth(text: &[u8]) -> Result<(), ScanError> {
    if nests_deeper(text, MAX_DEPTH) {
        return Err(ScanError::TooDeep { max: MAX_DEPTH });
    }
    Ok(())
}

/// Whether objects and arrays nest deeper than `most`; `text` must be valid JSON.
pub(crate) fn nests_deeper(text: &[u8], most: usize) -> bool {
    let opening = text
        .iter()
        .filter(|byte| matches!(byte, b'{' | b'['))
        .count();
    if opening <= most {
        return false;
    }
    let mut depth = 0usize;
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = after_string(after),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > most {
            return true;
        }
    }
    false
}

/// What follows the string whose opening quote stood just before `rest`.
fn after_string(mut rest: &[u8]) -> &[u8] {
    loop {
        let Some(at) = memchr2(b'"', b'\\', rest) else {
            return &[];
        };
        if rest.get(at) == Some(&b'"') {
            return rest.get(at + 1..).unwrap_or_default();
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
}

fn not_an_object(text: &str) -> ScanError {
    match serde_json::from_str::<&RawValue>(text) {
        Err(error) => not_json(error),
        Ok(value) if value.get().starts_with('[') => ScanError::Batch,
        Ok(_) => ScanError::not_message("it is not an object"),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err asks for"
)]
pub(crate) fn not_json(error: serde_json::Error) -> ScanError {
    ScanError::NotJson {
        reason: error.to_string(),
    }
}

/// Where `part`, a slice of `text`, stands in a source in which `text` begins at `start`.
pub(crate) fn position_within(text: &str, start: usize, part: &str) -> Range<usize> {
    let offset = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    let begin = start.saturating_add(offset);
    begin..begin.saturating_add(part.len())
}

/// Why a text is no JSON.
fn malformed(text: &str) -> ScanError {
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(error) => not_json(error),
        Ok(_) => ScanError::NotJson {
            reason: "a key of it is no text".to_owned(),
        },
    }
}

fn eq_ignoring_case(a: &str, b: &str) -> bool {
    if a.eq_ignore_ascii_case(b) {
        return true;
    }
    // Most keys are ASCII, of which nothing more need be known.
    !(a.is_ascii() && b.is_ascii()) && folded(a).eq(folded(b))
}

/// Lower case first: `K` (Kelvin) has no upper case, and `ſ` no lower case, of its own.
fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars()
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
}

#[derive(Deserialize)]
struct Str<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;
