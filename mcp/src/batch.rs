//! A JSON-RPC batch, which of MCP's versions 2025-03-26 alone has: an array of messages, cut apart
//! where they stand.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::code;
use crate::json::{not_json, position_within};
use crate::message::{Kind, Message, ScanError};

/// Why an array is no batch that can be acted on. None of its messages is then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error(transparent)]
    Unreadable(#[from] ScanError),
    #[error("the batch is empty: it has to hold at least one message")]
    Empty,
    #[error("the batch holds {count} messages: send no more than {most} at once")]
    TooMany { count: usize, most: usize },
    /// Counted from 1.
    #[error("member {number} of the batch: {reason}")]
    Member { number: usize, reason: ScanError },
    #[error("member {number} of the batch has the id {id}, as another request in it has")]
    RepeatedId { number: usize, id: String },
    #[error("member {number} of the batch is initialize, which has to be sent on its own")]
    Initialize { number: usize },
}

impl BatchError {
    /// The JSON-RPC error code that says this to the client.
    pub fn code(&self) -> i64 {
        match self {
            Self::Unreadable(error) => error.code(),
            Self::Empty
            | Self::TooMany { .. }
            | Self::Member { .. }
            | Self::RepeatedId { .. }
            | Self::Initialize { .. } => code::INVALID_REQUEST,
        }
    }
}

/// Reads a client's batch of up to `most` messages, each as the bytes that came.
///
/// A batch is taken as a whole or not at all: a response needs the id of a request, so that MCP has
/// no way to say of one member that it is none.
pub fn scan(text: &Bytes, most: usize) -> Result<Vec<Message>, BatchError> {
    let places = cut(text, most)?;
    let mut messages = Vec::with_capacity(places.len());
    let mut ids = HashSet::with_capacity(places.len());
    for (number, place) in (1..).zip(places) {
        let message = Message::scan(text.slice(place))
            .map_err(|reason| BatchError::Member { number, reason })?;
        if message.method() == Some("initialize") {
            return Err(BatchError::Initialize { number });
        }
        if message.kind() == Kind::Request
            && let Some(id) = message.id()
            && !ids.insert(plain(id))
        {
            let id = id.to_owned();
            return Err(BatchError::RepeatedId { number, id });
        }
        messages.push(message);
    }
    Ok(messages)
}

/// Where the members of a JSON array stand, of which there may be up to `most` and not none.
pub fn cut(text: &[u8], most: usize) -> Result<Vec<Range<usize>>, BatchError> {
    let text = std::str::from_utf8(text).map_err(|error| ScanError::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let members = Members { most }.deserialize(&mut reader);
    let (members, count) = members
        .and_then(|members| reader.end().map(|()| members))
        .map_err(not_json)?;
    if count == 0 {
        return Err(BatchError::Empty);
    }
    if count > most {
        return Err(BatchError::TooMany { count, most });
    }
    let place = |member: &RawValue| position_within(text, 0, member.get());
    Ok(members.into_iter().map(place).collect())
}

/// An id in one spelling, so that `"a"` and `"\u0061"` are the same.
fn plain(id: &str) -> String {
    serde_json::from_str::<String>(id).map_or_else(
        |_| id.to_owned(),
        |text| serde_json::Value::from(text).to_string(),
    )
}

/// Reads an array: its first members, and how many it has. More are counted and not kept, since
/// the smallest of them take many times their own size.
struct Members {
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Members {
    type Value = (Vec<&'de RawValue>, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while members.len() < self.most {
            match array.next_element()? {
                Some(member) => members.push(member),
                None => {
                    let count = members.len();
                    return Ok((members, count));
                }
            }
        }
        let mut count = members.len();
        while array.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((members, count))
    }
}

#[cfg(test)]
mod tests;
