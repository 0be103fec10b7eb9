//! The parameters of a request that the gateway acts on.

use std::ops::Range;

use bytes::Bytes;

use crate::json::{Fields, Text, is_null, is_object, str_at};
use crate::message::{Message, ScanError, require_object};
use crate::meta::RequestMeta;

/// Where the known parameters of one message stand, and what they say.
///
/// The ranges are those of the message that they were read from. A parameter that is `null`
/// counts as absent: some senders write those that they do not use that way.
#[derive(Debug, Clone)]
pub struct Params {
    source: Bytes,
    name: Option<Text>,
    uri: Option<Text>,
    cursor: Option<Text>,
    task_id: Option<Text>,
    arguments: Option<Range<usize>>,
    meta: Option<Range<usize>>,
}

impl Params {
    /// Reads the parameters of `message`; a message without any has none of them.
    pub fn of(message: &Message) -> Result<Params, ScanError> {
        let source = message.bytes().clone();
        let Some(range) = message
            .params_range()
            .filter(|range| !is_null(&source, range))
        else {
            return Ok(Params {
                source,
                name: None,
                uri: None,
                cursor: None,
                task_id: None,
                arguments: None,
                meta: None,
            });
        };
        require_object(&source, &range)?;
        let fields = Fields::scan(&source, range)?;
        let found = fields.unique_of(["name", "uri", "cursor", "taskId", "arguments", "_meta"]);
        let found = found.map_err(|error| ScanError::params(error.to_string()))?;
        let [name, uri, cursor, task_id, arguments, meta] =
            found.map(|place| place.filter(|range| !is_null(&source, range)));
        Ok(Params {
            name: text(&source, name, "name")?,
            uri: text(&source, uri, "uri")?,
            cursor: text(&source, cursor, "cursor")?,
            task_id: text(&source, task_id, "taskId")?,
            arguments: object(&source, arguments, "arguments")?,
            meta: object(&source, meta, "_meta")?,
            source: source.clone(),
        })
    }

    pub fn name(&self) -> Option<&str> {
        self.name.as_ref().map(|text| text.as_str(&self.source))
    }

    pub fn name_range(&self) -> Option<Range<usize>> {
        self.name.as_ref().map(Text::range)
    }

    pub fn uri(&self) -> Option<&str> {
        self.uri.as_ref().map(|text| text.as_str(&self.source))
    }

    pub fn uri_range(&self) -> Option<Range<usize>> {
        self.uri.as_ref().map(Text::range)
    }

    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_ref().map(|text| text.as_str(&self.source))
    }

    pub fn cursor_range(&self) -> Option<Range<usize>> {
        self.cursor.as_ref().map(Text::range)
    }

    pub fn task_id(&self) -> Option<&str> {
        self.task_id.as_ref().map(|text| text.as_str(&self.source))
    }

    pub fn task_id_range(&self) -> Option<Range<usize>> {
        self.task_id.as_ref().map(Text::range)
    }

    pub fn arguments(&self) -> Option<&str> {
        self.arguments
            .as_ref()
            .map(|range| str_at(&self.source, range))
    }

    pub fn arguments_range(&self) -> Option<Range<usize>> {
        self.arguments.clone()
    }

    pub fn meta_range(&self) -> Option<Range<usize>> {
        self.meta.clone()
    }

    /// What the request's `_meta` says to the protocol; empty if there is none.
    pub fn meta(&self) -> Result<RequestMeta, ScanError> {
        match &self.meta {
            Some(range) => RequestMeta::read(&self.source, range.clone()),
            None => Ok(RequestMeta::default()),
        }
    }
}

fn text(source: &[u8], place: Option<Range<usize>>, key: &str) -> Result<Option<Text>, ScanError> {
    let Some(range) = place else {
        return Ok(None);
    };
    let text = Text::read(source, range);
    text.map(Some)
        .ok_or_else(|| ScanError::params(format!("\"{key}\" has to be a string")))
}

fn object(
    source: &[u8],
    place: Option<Range<usize>>,
    key: &str,
) -> Result<Option<Range<usize>>, ScanError> {
    if place
        .as_ref()
        .is_some_and(|range| !is_object(source, range))
    {
        return Err(ScanError::params(format!("\"{key}\" has to be an object")));
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &'static str) -> Result<Params, ScanError> {
        Params::of(&Message::scan(Bytes::from_static(text.as_bytes())).unwrap())
    }

    #[test]
    fn reads_what_a_call_names() {
        let params = params(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":
               {"name":"caf\u00e9","arguments":{"n":1e400},"_meta":{"progressToken":7},"x":0}}"#,
        )
        .unwrap();
        assert_eq!(params.name(), Some("café"));
        assert_eq!(params.arguments(), Some(r#"{"n":1e400}"#));
        assert_eq!(params.meta().unwrap().progress_token(), Some("7"));
        assert_eq!((params.uri(), params.cursor()), (None, None));
    }

    #[test]
    fn takes_null_for_absent() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":
               {"cursor":null,"arguments":null,"_meta":null,"name":null}}"#,
        ] {
            let params = params(text).unwrap();
            assert_eq!(
                (params.name(), params.cursor(), params.arguments()),
                (None, None, None)
            );
            assert_eq!(params.meta_range(), None);
        }
    }

    #[test]
    fn keeps_the_empty_cursor_apart_from_none() {
        let params =
            params(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"cursor":""}}"#).unwrap();
        assert_eq!(params.cursor(), Some(""));
    }

    #[test]
    fn names_the_parameter_of_a_wrong_type() {
        for (text, field) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}"#,
                "params",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":1}}"#,
                "name",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"uri":{}}}"#,
                "uri",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":"{}"}}"#,
                "arguments",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":[]}}"#,
                "_meta",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","name":"b"}}"#,
                "name",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","Name":"b"}}"#,
                "name",
            ),
        ] {
            let error = params(text).unwrap_err();
            assert_eq!(error.code(), crate::code::INVALID_PARAMS);
            assert!(
                error.to_string().contains(&format!("\"{field}\"")),
                "{error}"
            );
        }
    }
}
