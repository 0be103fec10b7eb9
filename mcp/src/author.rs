//! Messages that the gateway writes itself.
//!
//! What is called raw is JSON already and goes in as it is; everything else is encoded.

use std::ops::Range;

use bytes::Bytes;

use crate::json::{Text, encode_str};
use crate::message::{Kind, Message, Parts};

/// A request; `id` is raw, as are `params`, an object.
pub fn request(id: &str, method: &str, params: Option<&str>) -> Message {
    let mut writer = Writer::new();
    writer.parts.kind = Kind::Request;
    writer.parts.id = Some(writer.member("id", id));
    writer.call(method, params)
}

/// A notification; `params` are a raw object.
pub fn notification(method: &str, params: Option<&str>) -> Message {
    let mut writer = Writer::new();
    writer.parts.kind = Kind::Notification;
    writer.call(method, params)
}

/// The answer to a request; `id` and `result` are raw.
pub fn result(id: &str, result: &str) -> Message {
    let mut writer = Writer::new();
    writer.parts.id = Some(writer.member("id", id));
    writer.parts.result = Some(writer.member("result", result));
    writer.finish()
}

/// The refusal of a request; without an id where the request's could not be read. `id` and `data`
/// are raw.
pub fn error(id: Option<&str>, code: i64, message: &str, data: Option<&str>) -> Message {
    let mut writer = Writer::new();
    writer.parts.id = id.map(|id| writer.member("id", id));
    let mut error = format!(r#"{{"code":{code},"message":{}"#, encode_str(message));
    if let Some(data) = data {
        error.push_str(r#","data":"#);
        error.push_str(data);
    }
    error.push('}');
    writer.parts.error = Some(writer.member("error", &error));
    writer.finish()
}

/// A message under way, with the places of what has been written.
struct Writer {
    text: String,
    parts: Parts,
}

impl Writer {
    fn new() -> Writer {
        let parts = Parts {
            object: 0..0,
            kind: Kind::Response,
            id: None,
            method: None,
            params: None,
            result: None,
            error: None,
        };
        Writer {
            text: r#"{"jsonrpc":"2.0""#.to_owned(),
            parts,
        }
    }

    fn member(&mut self, key: &str, value: &str) -> Range<usize> {
        self.text.push_str(",\"");
        self.text.push_str(key);
        self.text.push_str("\":");
        let start = self.text.len();
        self.text.push_str(value);
        start..self.text.len()
    }

    fn call(mut self, method: &str, params: Option<&str>) -> Message {
        let place = self.member("method", &encode_str(method));
        self.parts.method = Text::read(self.text.as_bytes(), place);
        self.parts.params = params.map(|params| self.member("params", params));
        self.finish()
    }

    fn finish(mut self) -> Message {
        self.text.push('}');
        self.parts.object = 0..self.text.len();
        Message::from_parts(Bytes::from(self.text), self.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code;

    #[test]
    fn knows_the_places_of_what_it_writes() {
        let written = [
            request("\"a\\u0062\"", "tools/call", Some(r#"{"name":"x"}"#)),
            request("1", "odd \"method\"\n", None),
            notification("notifications/initialized", None),
            notification("notifications/cancelled", Some(r#"{"requestId":1}"#)),
            result("1.5e300", "{ }"),
            error(
                Some("7"),
                code::INVALID_PARAMS,
                "no \"such\" tool",
                Some("[1]"),
            ),
            error(None, code::PARSE_ERROR, "not JSON", None),
        ];
        for message in written {
            assert_eq!(Message::scan(message.bytes().clone()).unwrap(), message);
        }
    }

    #[test]
    fn writes_an_error_with_its_data() {
        let message = error(Some("7"), -32602, "no such tool", Some(r#"{"name":"x"}"#));
        assert_eq!(
            message.bytes(),
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"no such tool","data":{"name":"x"}}}"#
        );
    }
}
