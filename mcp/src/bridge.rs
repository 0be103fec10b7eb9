//! Carries messages between a client and a server of different eras, as byte edits.
//!
//! Only what the eras disagree on is touched. The rest of a message, unknown fields included, goes
//! across as it is.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::code;
use crate::json::{Fields, decode_str, elements, encode_str, is_object, str_at};
use crate::message::{Message, ScanError};
use crate::meta;
use crate::params::Params;
use crate::place::Step::{self, Each, Field};
use crate::place::find;
use crate::splice::{OverlappingEdits, Splice};
use crate::version::Version;

/// The methods whose results tell a modern client how long they may be kept.
const CACHEABLE: &[&str] = &[
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "server/discover",
];

const RESULT_TYPE: &str = "resultType";
const COMPLETE: &str = "complete";
const INPUT_REQUIRED: &str = "input_required";
const STRUCTURED_CONTENT: &str = "structuredContent";
const READ: &str = "resources/read";

/// How many of a server's texts an error repeats, and how much of each.
const MAX_LISTED: usize = 5;
const MAX_TEXT: usize = 500;

/// Why a message cannot be carried over to the other era.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbridgeable {
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Edit(#[from] OverlappingEdits),
    #[error(
        "the server answered with a result of type \"{result_type}\", which the client's protocol version does not have"
    )]
    ResultType { result_type: String },
    #[error(
        "the server asks for {asked}, but this client cannot be asked: the two speak versions of the protocol that ask in different ways"
    )]
    Question { asked: String },
    #[error(
        "the server wants the user to open {urls} first, which this client's protocol version has no error for: open it, then try again"
    )]
    UrlFirst {
        urls: String,
        /// The `data` of the server's error, raw.
        data: Option<String>,
    },
}

impl Unbridgeable {
    /// The JSON-RPC error code that says this to the client.
    pub fn code(&self) -> i64 {
        match self {
            Unbridgeable::Scan(error) => error.code(),
            Unbridgeable::Edit(_) => code::INTERNAL_ERROR,
            Unbridgeable::ResultType { .. }
            | Unbridgeable::Question { .. }
            | Unbridgeable::UrlFirst { .. } => code::NOT_BRIDGEABLE,
        }
    }

    /// That the server asks something of a client that cannot be asked, by its method.
    pub fn question(method: &str) -> Unbridgeable {
        Unbridgeable::Question {
            asked: excerpt(method),
        }
    }
}

/// Gives a legacy client's request what a modern server wants to find in `_meta`.
///
/// `client_info` and `capabilities` are the JSON objects of the client's `initialize` request, or
/// what the gateway says in its place.
pub fn request_to_modern(
    request: &Message,
    client_info: &str,
    capabilities: &str,
    version: Version,
) -> Result<Message, Unbridgeable> {
    let version = encode_str(version.as_str());
    let added = [
        (meta::PROTOCOL_VERSION, version.as_str()),
        (meta::CLIENT_INFO, client_info),
        (meta::CLIENT_CAPABILITIES, capabilities),
    ];
    let Some(range) = Params::of(request)?.meta_range() else {
        let fields = added.map(|(key, value)| format!("{}:{value}", encode_str(key)));
        return Ok(request.with_param("_meta", &format!("{{{}}}", fields.join(",")))?);
    };
    let fields = Fields::scan(request.bytes(), range.clone())?;
    let mut splice = Splice::new(request.bytes());
    splice.remove_fields(&fields, |key| added.iter().any(|(name, _)| *name == key));
    for (key, value) in added {
        splice.insert_field(&range, key, value);
    }
    Ok(request.edited(splice)?)
}

/// Takes out of a modern client's request what a legacy server has learnt in `initialize`.
pub fn request_to_legacy(request: &Message) -> Result<Message, Unbridgeable> {
    let Some(range) = Params::of(request)?.meta_range() else {
        return Ok(request.clone());
    };
    let fields = Fields::scan(request.bytes(), range)?;
    let mut splice = Splice::new(request.bytes());
    splice.remove_fields(&fields, |key| meta::PER_REQUEST.contains(&key));
    Ok(request.edited(splice)?)
}

/// Gives a legacy server's answer to `method` what a modern client wants to find in it.
///
/// Errors that modern versions have renumbered get their present code.
pub fn result_to_modern(response: &Message, method: &str) -> Result<Message, Unbridgeable> {
    let Some(range) = object_at(response, response.result_range()) else {
        return error_to_modern(response, method);
    };
    let fields = Fields::scan(response.bytes(), range.clone())?;
    let mut splice = Splice::new(response.bytes());
    let complete = result_type(response, &fields)?.is_none_or(|text| text == COMPLETE);
    let mut add = |key: &str, value: &str| {
        if fields.get(key).is_none() {
            splice.insert_field(&range, key, value);
        }
    };
    add(RESULT_TYPE, "\"complete\"");
    if complete && CACHEABLE.contains(&method) {
        add("ttlMs", "0");
        add("cacheScope", "\"private\"");
    }
    Ok(response.edited(splice)?)
}

/// Takes out of a modern server's answer to `method` what a legacy client does not have.
///
/// Errors that modern versions have renumbered get their former code.
pub fn result_to_legacy(response: &Message, method: &str) -> Result<Message, Unbridgeable> {
    let Some(range) = object_at(response, response.result_range()) else {
        return error_to_legacy(response, method);
    };
    let bytes = response.bytes();
    let fields = Fields::scan(bytes, range.clone())?;
    match result_type(response, &fields)? {
        Some(result_type) if result_type == INPUT_REQUIRED => {
            return Err(Unbridgeable::Question {
                asked: asked_by(response),
            });
        }
        Some(result_type) if result_type != COMPLETE => {
            return Err(Unbridgeable::ResultType { result_type });
        }
        Some(_) | None => {}
    }
    let structure = fields
        .get(STRUCTURED_CONTENT)
        .filter(|place| !is_object(bytes, place));
    let mut splice = Splice::new(bytes);
    splice.remove_fields(&fields, |key| {
        key == RESULT_TYPE || (structure.is_some() && key == STRUCTURED_CONTENT)
    });
    if let Some(structure) = structure {
        keep_as_text(bytes, &range, &fields, &structure, &mut splice);
    }
    Ok(response.edited(splice)?)
}

/// The definition of a tool as a legacy client can read it: without an output schema that is not
/// one of objects. Clients refuse whole lists for such a schema, and hold results against it.
pub fn tool_to_legacy(tool: &Bytes) -> Bytes {
    const OUTPUT_SCHEMA: &str = "outputSchema";
    let Ok(fields) = Fields::scan(tool, 0..tool.len()) else {
        return tool.clone();
    };
    let Some(schema) = fields.get(OUTPUT_SCHEMA) else {
        return tool.clone();
    };
    let kind = find(tool, schema, &[Field("type")]).pop();
    if kind.is_some_and(|kind| tool.get(kind) == Some(b"\"object\"")) {
        return tool.clone();
    }
    let mut splice = Splice::new(tool);
    splice.remove_fields(&fields, |key| key == OUTPUT_SCHEMA);
    splice.finish().unwrap_or_else(|_| tool.clone())
}

/// Gives a result whose structure is dropped the same as text, unless it has content anyway.
fn keep_as_text(
    bytes: &Bytes,
    result: &Range<usize>,
    fields: &Fields<'_>,
    structure: &Range<usize>,
    splice: &mut Splice,
) {
    let text = encode_str(str_at(bytes, structure));
    let content = format!(r#"[{{"type":"text","text":{text}}}]"#);
    match fields.get("content") {
        None => {
            splice.insert_field(result, "content", &content);
        }
        Some(place) if elements(bytes, place.clone()).is_some_and(|items| items.is_empty()) => {
            splice.replace(place, content);
        }
        Some(_) => {}
    }
}

fn error_to_legacy(response: &Message, method: &str) -> Result<Message, Unbridgeable> {
    match response.rpc_error().map(|error| error.code) {
        Some(code::INVALID_PARAMS) if method == READ => {
            with_code(response, code::RESOURCE_NOT_FOUND)
        }
        Some(code::MISSING_CLIENT_CAPABILITY) => Err(Unbridgeable::Question {
            asked: keys_at(
                response,
                &[Field("error"), Field("data"), Field("requiredCapabilities")],
            ),
        }),
        _ => Ok(response.clone()),
    }
}

fn error_to_modern(response: &Message, method: &str) -> Result<Message, Unbridgeable> {
    match response.rpc_error().map(|error| error.code) {
        Some(code::RESOURCE_NOT_FOUND) if method == READ => {
            with_code(response, code::INVALID_PARAMS)
        }
        Some(code::URL_ELICITATION_REQUIRED) => {
            let bytes = response.bytes();
            let whole = 0..bytes.len();
            let urls = [
                Field("error"),
                Field("data"),
                Field("elicitations"),
                Each,
                Field("url"),
            ];
            let urls = find(bytes, whole.clone(), &urls);
            let urls = urls
                .iter()
                .filter_map(|place| decode_str(bytes.get(place.clone())?));
            let data = find(bytes, whole, &[Field("error"), Field("data")]).pop();
            Err(Unbridgeable::UrlFirst {
                urls: listed(urls, "a page"),
                data: data.map(|place| str_at(bytes, &place).to_owned()),
            })
        }
        _ => Ok(response.clone()),
    }
}

fn with_code(response: &Message, code: i64) -> Result<Message, Unbridgeable> {
    let whole = 0..response.bytes().len();
    let place = find(response.bytes(), whole, &[Field("error"), Field("code")]).pop();
    let Some(place) = place else {
        return Ok(response.clone());
    };
    let mut splice = Splice::new(response.bytes());
    splice.replace(place, code.to_string());
    Ok(response.edited(splice)?)
}

/// What a result asks of the client, by the methods of its questions.
fn asked_by(response: &Message) -> String {
    let bytes = response.bytes();
    let path = [Field("result"), Field("inputRequests")];
    let requests = find(bytes, 0..bytes.len(), &path).pop();
    let fields = requests.and_then(|place| Fields::scan(bytes, place).ok());
    let methods = fields
        .iter()
        .flat_map(Fields::iter)
        .filter_map(|(_, place)| {
            let place = find(bytes, place, &[Field("method")]).pop()?;
            decode_str(bytes.get(place)?)
        });
    listed(methods, "the same request once more")
}

/// The keys of the object at `path`.
fn keys_at(message: &Message, path: &[Step]) -> String {
    let bytes = message.bytes();
    let place = find(bytes, 0..bytes.len(), path).pop();
    let fields = place.and_then(|place| Fields::scan(bytes, place).ok());
    let keys = fields.iter().flat_map(Fields::iter);
    listed(
        keys.map(|(key, _)| Cow::Borrowed(key)),
        "more than it has declared",
    )
}

/// The first few of these texts, each once and cut where it is too long; `otherwise` if none.
fn listed<'a>(texts: impl Iterator<Item = Cow<'a, str>>, otherwise: &str) -> String {
    let mut list: Vec<String> = Vec::new();
    for text in texts.map(|text| excerpt(&text)) {
        if list.len() < MAX_LISTED && !list.contains(&text) {
            list.push(text);
        }
    }
    if list.is_empty() {
        otherwise.to_owned()
    } else {
        list.join(" and ")
    }
}

/// A server's text on one line, as far as it is of use in an error.
fn excerpt(text: &str) -> String {
    let printable = text.chars().filter(|character| !character.is_control());
    printable.take(MAX_TEXT).collect()
}

/// What kind of result it is, as the server says; `None` if it does not.
fn result_type(response: &Message, fields: &Fields<'_>) -> Result<Option<String>, ScanError> {
    let range = fields
        .unique(RESULT_TYPE)
        .map_err(|error| ScanError::result(error.to_string()))?;
    let Some(range) = range else { return Ok(None) };
    let text = response.bytes().get(range).and_then(decode_str);
    let text = text.ok_or_else(|| ScanError::result("\"resultType\" has to be a string"))?;
    Ok(Some(text.into_owned()))
}

fn object_at(message: &Message, range: Option<Range<usize>>) -> Option<Range<usize>> {
    range.filter(|range| is_object(message.bytes(), range))
}

#[cfg(test)]
mod tests;
