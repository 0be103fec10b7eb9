//! One JSON-RPC message as the bytes that came, and where its parts stand in them.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use crate::json::{
    DuplicateKey, Fields, MAX_DEPTH, Text, encode_str, is_id, is_null, is_object, nests_deeper,
    str_at,
};
use crate::splice::{OverlappingEdits, Shift, Splice, is_empty_from};

pub use error::{RpcError, ScanError};

mod error;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Request,
    Notification,
    Response,
}

/// A JSON-RPC 2.0 message: valid JSON, and nothing in it changed but by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Bytes,
    parts: Parts,
}

/// Where the parts of a message stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) object: Range<usize>,
    pub(crate) kind: Kind,
    pub(crate) id: Option<Range<usize>>,
    pub(crate) method: Option<Text>,
    pub(crate) params: Option<Range<usize>>,
    pub(crate) result: Option<Range<usize>>,
    pub(crate) error: Option<Range<usize>>,
}

impl Message {
    /// Reads one message; `bytes` may have white space around it.
    pub fn scan(bytes: Bytes) -> Result<Message, ScanError> {
        let fields = Fields::scan(&bytes, 0..bytes.len())?;
        let parts = Parts::read(&bytes, &fields)?;
        Ok(Message { bytes, parts })
    }

    /// Refuses the message if it nests deeper than `most`, which is of use only below
    /// [`MAX_DEPTH`].
    pub fn check_depth(&self, most: usize) -> Result<(), ScanError> {
        if most < MAX_DEPTH && nests_deeper(&self.bytes, most) {
            return Err(ScanError::TooDeep { max: most });
        }
        Ok(())
    }

    /// Puts a message together that was written part by part.
    pub(crate) fn from_parts(bytes: Bytes, parts: Parts) -> Message {
        Message { bytes, parts }
    }

    pub fn kind(&self) -> Kind {
        self.parts.kind
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Where the message itself stands, without the white space around it.
    pub fn object_range(&self) -> Range<usize> {
        self.parts.object.clone()
    }

    /// The id as it is written, quotes and all; `None` also for the `null` of a response whose
    /// sender could not read the request's id.
    pub fn id(&self) -> Option<&str> {
        self.raw(self.id_range().filter(|id| !is_null(&self.bytes, id)))
    }

    pub fn id_range(&self) -> Option<Range<usize>> {
        self.parts.id.clone()
    }

    pub fn method(&self) -> Option<&str> {
        self.parts
            .method
            .as_ref()
            .map(|method| method.as_str(&self.bytes))
    }

    /// Where the method stands, quotes included.
    pub fn method_range(&self) -> Option<Range<usize>> {
        self.parts.method.as_ref().map(Text::range)
    }

    pub fn params(&self) -> Option<&str> {
        self.raw(self.params_range())
    }

    pub fn params_range(&self) -> Option<Range<usize>> {
        self.parts.params.clone()
    }

    pub fn result(&self) -> Option<&str> {
        self.raw(self.result_range())
    }

    pub fn result_range(&self) -> Option<Range<usize>> {
        self.parts.result.clone()
    }

    pub fn error(&self) -> Option<&str> {
        self.raw(self.error_range())
    }

    pub fn error_range(&self) -> Option<Range<usize>> {
        self.parts.error.clone()
    }

    /// The response's error, if it is one and has a code.
    pub fn rpc_error(&self) -> Option<RpcError> {
        serde_json::from_str(self.error()?).ok()
    }

    /// The same message under another id, given as JSON: a string or a number.
    ///
    /// A message without an id gets one; a notification thereby becomes a request.
    #[must_use]
    pub fn with_id(&self, id: &str) -> Message {
        let (mut message, place) = match self.id_range() {
            Some(range) => self.replaced(range, id.as_bytes()),
            None => self.inserted(&self.object_range(), "id", id),
        };
        message.parts.id = Some(place);
        if message.parts.kind == Kind::Notification {
            message.parts.kind = Kind::Request;
        }
        message
    }

    /// The same message about the tool or prompt of another name.
    pub fn with_name(&self, name: &str) -> Result<Message, ScanError> {
        self.with_param("name", &encode_str(name))
    }

    /// The same message about the resource at another URI.
    pub fn with_uri(&self, uri: &str) -> Result<Message, ScanError> {
        self.with_param("uri", &encode_str(uri))
    }

    /// The same list request for the page at another cursor.
    pub fn with_cursor(&self, cursor: &str) -> Result<Message, ScanError> {
        self.with_param("cursor", &encode_str(cursor))
    }

    /// The same message with one parameter set to a JSON value, overwritten if it is there.
    pub fn with_param(&self, key: &str, value: &str) -> Result<Message, ScanError> {
        let Some(params) = self
            .params_range()
            .filter(|params| !is_null(&self.bytes, params))
        else {
            return Ok(self.with_params(&format!("{{{}:{value}}}", encode_str(key))));
        };
        require_object(&self.bytes, &params)?;
        let fields = Fields::scan(&self.bytes, params.clone())?;
        let range = fields
            .unique(key)
            .map_err(|error| ScanError::params(error.to_string()))?;
        Ok(match range {
            Some(range) => self.replaced(range, value.as_bytes()).0,
            None => self.inserted(&params, key, value).0,
        })
    }

    /// The same message with other parameters, given as a JSON object.
    #[must_use]
    pub fn with_params(&self, params: &str) -> Message {
        let (mut message, place) = match self.params_range() {
            Some(range) => self.replaced(range, params.as_bytes()),
            None => self.inserted(&self.object_range(), "params", params),
        };
        message.parts.params = Some(place);
        message
    }

    /// The message that edits of this message's bytes leave.
    ///
    /// The edits must keep the message's own members in place: they may replace the values of
    /// members and whatever lies within them, and add fields.
    pub fn edited(&self, splice: Splice) -> Result<Message, OverlappingEdits> {
        let shifts = splice.shifts()?;
        Ok(Message {
            bytes: splice.finish()?,
            parts: self.parts.shifted(&shifts),
        })
    }

    fn raw(&self, range: Option<Range<usize>>) -> Option<&str> {
        range.map(|range| str_at(&self.bytes, &range))
    }

    /// Replaces one value; says where the new one stands.
    fn replaced(&self, range: Range<usize>, value: &[u8]) -> (Message, Range<usize>) {
        let head = self.bytes.get(..range.start).unwrap_or_default();
        let tail = self.bytes.get(range.end..).unwrap_or_default();
        let bytes = Bytes::from([head, value, tail].concat());
        let place = range.start..range.start + value.len();
        let shift = Shift {
            at: range,
            length: value.len(),
        };
        (
            Message {
                bytes,
                parts: self.parts.shifted(&[shift]),
            },
            place,
        )
    }

    /// Adds a first field to an object of this message; says where its value stands.
    fn inserted(&self, object: &Range<usize>, key: &str, value: &str) -> (Message, Range<usize>) {
        let at = object.start + 1;
        let key = encode_str(key);
        let comma = if is_empty_from(&self.bytes, at) {
            ""
        } else {
            ","
        };
        let (message, _) = self.replaced(at..at, format!("{key}:{value}{comma}").as_bytes());
        let start = at + key.len() + 1;
        (message, start..start + value.len())
    }
}

impl fmt::Debug for Message {
    /// Leaves parameters and results out: they may hold secrets, and no one reads them in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("kind", &self.kind())
            .field("id", &self.id())
            .field("method", &self.method())
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl Parts {
    fn read(bytes: &[u8], fields: &Fields<'_>) -> Result<Parts, ScanError> {
        let members = fields.unique_of(["jsonrpc", "id", "method", "params", "result", "error"]);
        let [version, id, method, params, result, error] =
            members.map_err(|e: DuplicateKey| ScanError::not_message(e.to_string()))?;
        let version = version.and_then(|range| Text::read(bytes, range));
        if version.as_ref().map(|version| version.as_str(bytes)) != Some("2.0") {
            return Err(ScanError::not_message("\"jsonrpc\" has to be \"2.0\""));
        }
        let method = match method {
            Some(range) => Some(
                Text::read(bytes, range)
                    .ok_or_else(|| ScanError::not_message("\"method\" has to be a string"))?,
            ),
            None => None,
        };
        let object = fields.object();
        let parts = Parts {
            object,
            kind: Kind::Response,
            id,
            method,
            params,
            result,
            error,
        };
        if parts.method.is_some() {
            parts.into_call(bytes)
        } else {
            parts.into_response(bytes)
        }
    }

    fn into_call(self, bytes: &[u8]) -> Result<Parts, ScanError> {
        if self.result.is_some() || self.error.is_some() {
            return Err(ScanError::not_message(
                "it is a request and a response at once",
            ));
        }
        let kind = match &self.id {
            None => Kind::Notification,
            Some(id) if is_id(bytes, id) => Kind::Request,
            Some(_) => {
                return Err(ScanError::not_message(
                    "a request's \"id\" has to be a string or a number",
                ));
            }
        };
        Ok(Parts { kind, ..self })
    }

    /// Some senders write the member that does not apply as `null` instead of leaving it out.
    fn into_response(self, bytes: &[u8]) -> Result<Parts, ScanError> {
        let error = self.error.filter(|error| !is_null(bytes, error));
        let result = self
            .result
            .filter(|result| error.is_none() || !is_null(bytes, result));
        match (&result, &error) {
            (None, None) => {
                return Err(ScanError::not_message(
                    "it has no \"method\", \"result\" or \"error\"",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(ScanError::not_message(
                    "it has both a \"result\" and an \"error\"",
                ));
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        let id_fits = match &self.id {
            Some(id) => is_id(bytes, id) || (error.is_some() && is_null(bytes, id)),
            None => error.is_some(),
        };
        if !id_fits {
            return Err(ScanError::not_message(
                "a response's \"id\" has to be a string or a number",
            ));
        }
        if error.as_ref().is_some_and(|error| !is_object(bytes, error)) {
            return Err(ScanError::not_message("\"error\" has to be an object"));
        }
        Ok(Parts {
            result,
            error,
            ..self
        })
    }

    fn shifted(&self, shifts: &[Shift]) -> Parts {
        let moved = |range: &Range<usize>| Shift::apply(shifts, range);
        Parts {
            object: moved(&self.object),
            kind: self.kind,
            id: self.id.as_ref().map(moved),
            method: self.method.clone().map(|text| {
                let range = moved(&text.range());
                text.moved(range)
            }),
            params: self.params.as_ref().map(moved),
            result: self.result.as_ref().map(moved),
            error: self.error.as_ref().map(moved),
        }
    }
}

/// Refuses parameters by position, which JSON-RPC has and MCP has not.
pub(crate) fn require_object(bytes: &[u8], params: &Range<usize>) -> Result<(), ScanError> {
    if is_object(bytes, params) {
        return Ok(());
    }
    Err(ScanError::params("\"params\" has to be an object"))
}

#[cfg(test)]
mod tests;
