//! The ids under which a request travels to a server, and the caller's own that they stand for.

use std::ops::Range;
use std::sync::LazyLock;

use crate::json::{Fields, KeySearch};
use crate::message::{Kind, Message, ScanError};
use crate::meta::{PROGRESS_TOKEN, SUBSCRIPTION_ID};
use crate::params::Params;
use crate::splice::Splice;

static TOKEN: LazyLock<KeySearch> = LazyLock::new(|| KeySearch::new(PROGRESS_TOKEN));

/// One request's id on the wire, and what its caller calls it.
///
/// Callers choose ids and progress tokens independently of each other; on a shared peer they
/// would collide. So every request gets a number of the peer's, and everything that comes back
/// gets the caller's own id and token again, byte for byte.
#[derive(Debug)]
pub(super) struct Identity {
    wire: u64,
    wire_token: Box<str>,
    id: Box<str>,
    progress_token: Option<Box<str>>,
    /// Whether everything that comes back names the request, the response included.
    is_subscription: bool,
}

impl Identity {
    /// Puts `wire` in the place of the request's id and progress token.
    pub(super) fn assign(message: &Message, wire: u64) -> Result<(Self, Message), ScanError> {
        let (Some(id), Some(id_range)) = (message.id(), message.id_range()) else {
            return Err(ScanError::NotMessage {
                reason: "it has no id to answer to".to_owned(),
            });
        };
        let wire_token = wire.to_string().into_boxed_str();
        // Few requests have a token, and to look for one thoroughly takes a while.
        let token = match TOKEN.may_be_in(message.bytes()) {
            true => field_of_meta(message, PROGRESS_TOKEN)?,
            false => None,
        };
        let progress_token = token.as_ref().map(|range| text_at(message, range));
        let outgoing = match token {
            None => message.with_id(&wire_token),
            Some(token) => {
                let mut splice = Splice::new(message.bytes());
                splice.replace(id_range, wire_token.clone().into_string());
                splice.replace(token, wire_token.clone().into_string());
                message
                    .edited(splice)
                    .map_err(|error| ScanError::NotMessage {
                        reason: error.to_string(),
                    })?
            }
        };
        Ok((
            Self {
                wire,
                wire_token,
                id: id.into(),
                progress_token,
                is_subscription: message.method() == Some("subscriptions/listen"),
            },
            outgoing,
        ))
    }

    /// Whether `response` answers this request.
    pub(super) fn is_answered_by(&self, response: &Message) -> bool {
        answers(response, self.wire)
    }

    /// Whether the caller has asked for notifications of progress.
    pub(super) fn wants_progress(&self) -> bool {
        self.progress_token.is_some()
    }

    /// Puts the caller's id and token back into what came for this request.
    pub(super) fn restore(&self, message: Message) -> Message {
        match message.kind() {
            Kind::Response if self.is_subscription => self.restore_end(&message),
            Kind::Response => message.with_id(&self.id),
            Kind::Request => message,
            Kind::Notification => self.restore_subject(&message).unwrap_or(message),
        }
    }

    fn restore_subject(&self, message: &Message) -> Option<Message> {
        let subject = Subject::of(message)?;
        // A server ends subscriptions; else it takes back a request of its own, by its own number.
        if subject.wire != self.wire || (subject.is_cancellation && !self.is_subscription) {
            return None;
        }
        let own = match &self.progress_token {
            Some(token) if subject.is_progress => token,
            None if subject.is_progress => return None,
            _ => &self.id,
        };
        let mut splice = Splice::new(message.bytes());
        splice.replace(subject.range, own.to_string());
        message.edited(splice).ok()
    }

    /// Restores the id in the response that ends a subscription, which names it once more.
    fn restore_end(&self, response: &Message) -> Message {
        let mut splice = Splice::new(response.bytes());
        let named = response.result_range().and_then(|result| {
            let fields = Fields::scan(response.bytes(), result).ok()?;
            let meta = Fields::scan(response.bytes(), fields.get("_meta")?).ok()?;
            meta.get(SUBSCRIPTION_ID)
        });
        if let Some(range) = named.filter(|range| text_at(response, range) == self.wire_token) {
            splice.replace(range, self.id.to_string());
        }
        let edited = response.edited(splice).ok();
        edited.as_ref().unwrap_or(response).with_id(&self.id)
    }
}

/// Whether `response` answers request `wire`. An error without an id does: the server could not
/// read the id, and nothing else was asked on the same exchange.
pub(super) fn answers(response: &Message, wire: u64) -> bool {
    match response.id() {
        // Only this one way of writing a number is what was sent.
        Some(id) => id.parse() == Ok(wire) && (id == "0" || !id.starts_with(['+', '0'])),
        None => response.error_range().is_some(),
    }
}

/// The request that a notification is about, and where its number stands.
pub(super) struct Subject {
    pub(super) wire: u64,
    range: Range<usize>,
    is_progress: bool,
    /// Whether the server takes back what the number stands for: a subscription, or, in a legacy
    /// session, a request of its own.
    pub(super) is_cancellation: bool,
}

impl Subject {
    /// Finds the request that a server's notification names, if it names one by number.
    pub(super) fn of(message: &Message) -> Option<Self> {
        let is_progress = message.method() == Some("notifications/progress");
        let is_cancellation = message.method() == Some("notifications/cancelled");
        let range = if is_progress {
            field_of_params(message, PROGRESS_TOKEN)
        } else if is_cancellation {
            field_of_params(message, "requestId")
        } else {
            field_of_meta(message, SUBSCRIPTION_ID)
        };
        let range = range.ok()??;
        let wire = text_at(message, &range).parse().ok()?;
        Some(Self {
            wire,
            range,
            is_progress,
            is_cancellation,
        })
    }
}

fn field_of_params(message: &Message, key: &str) -> Result<Option<Range<usize>>, ScanError> {
    let Some(params) = message.params_range() else {
        return Ok(None);
    };
    let fields = Fields::scan(message.bytes(), params)?;
    Ok(fields.get(key))
}

fn field_of_meta(message: &Message, key: &str) -> Result<Option<Range<usize>>, ScanError> {
    let Some(meta) = Params::of(message)?.meta_range() else {
        return Ok(None);
    };
    let fields = Fields::scan(message.bytes(), meta)?;
    fields
        .unique(key)
        .map_err(|error| ScanError::InvalidParams {
            reason: error.to_string(),
        })
}

fn text_at(message: &Message, range: &Range<usize>) -> Box<str> {
    let bytes = message.bytes().get(range.clone()).unwrap_or_default();
    String::from_utf8_lossy(bytes).into()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn message(text: &str) -> Message {
        Message::scan(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn text(message: &Message) -> &str {
        std::str::from_utf8(message.bytes()).unwrap()
    }

    #[test]
    fn replaces_id_and_progress_token_and_nothing_else() {
        let request = message(
            r#"{"id" : 1e2,"jsonrpc":"2.0","method":"m","params":{"x":[1, 2],"_meta":{"k":1,"progressToken":"t"}}}"#,
        );
        let (identity, outgoing) = Identity::assign(&request, 7).unwrap();
        assert_eq!(
            text(&outgoing),
            r#"{"id" : 7,"jsonrpc":"2.0","method":"m","params":{"x":[1, 2],"_meta":{"k":1,"progressToken":7}}}"#
        );
        let progress = message(
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":7}}"#,
        );
        assert_eq!(
            text(&identity.restore(progress)),
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":7}}"#
        );
    }

    #[test]
    fn restores_the_id_in_what_a_subscription_sends() {
        let listen = r#"{"jsonrpc":"2.0","id":"listen:0","method":"subscriptions/listen"}"#;
        let (identity, _) = Identity::assign(&message(listen), 3).unwrap();
        for text in [
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":ID}}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":ID}}"#,
            r#"{"jsonrpc":"2.0","id":ID,"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":ID},"x":3}}"#,
            r#"{"jsonrpc":"2.0","result":{"_meta":{"io.modelcontextprotocol/subscriptionId":ID}},"id":ID}"#,
            r#"{"jsonrpc":"2.0","id":ID,"result":{"_meta":{}}}"#,
            r#"{"jsonrpc":"2.0","id":ID,"error":{"code":1,"message":""}}"#,
        ] {
            let restored = identity.restore(message(&text.replace("ID", "3")));
            let expected = text.replace("ID", "\"listen:0\"");
            assert_eq!(restored, message(&expected), "{text}");
        }
    }

    #[test]
    fn leaves_what_a_server_takes_back_to_its_own_numbers() {
        let call = message(r#"{"jsonrpc":"2.0","id":"c","method":"tools/call"}"#);
        let (identity, _) = Identity::assign(&call, 3).unwrap();
        let cancelled = message(
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#,
        );
        assert_eq!(identity.restore(cancelled.clone()), cancelled);
    }

    #[test]
    fn leaves_what_is_about_another_request_alone() {
        let (identity, _) =
            Identity::assign(&message(r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#), 3).unwrap();
        let other = message(
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":4}}"#,
        );
        assert_eq!(identity.restore(other.clone()), other);
        assert!(!identity.is_answered_by(&message(r#"{"jsonrpc":"2.0","id":4,"result":{}}"#)));
        assert!(!identity.is_answered_by(&message(r#"{"jsonrpc":"2.0","id":"3","result":{}}"#)));
    }

    #[test]
    fn takes_an_error_without_id_for_its_answer() {
        let (identity, _) =
            Identity::assign(&message(r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#), 3).unwrap();
        for error in [
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":""}}"#,
            r#"{"jsonrpc":"2.0","error":{"code":-1,"message":""}}"#,
        ] {
            assert!(identity.is_answered_by(&message(error)));
            assert_eq!(identity.restore(message(error)).id(), Some("1"));
        }
    }

    proptest! {
        #[test]
        fn restores_the_callers_id_byte_for_byte(
            id in prop_oneof![
                "[1-9][0-9]{0,40}(\\.[0-9]{1,20})?(e[0-9]{1,3})?".boxed(),
                "[^\\\\\"\\x00-\\x1f]*".prop_map(|text| format!("\"{text}\"")).boxed(),
            ],
            wire: u64,
        ) {
            let request = message(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#));
            let (identity, outgoing) = Identity::assign(&request, wire).unwrap();
            let wire = wire.to_string();
            prop_assert_eq!(outgoing.id(), Some(wire.as_str()));
            let answer = message(&format!(r#"{{"jsonrpc":"2.0","id":{wire},"result":{{ }}}}"#));
            prop_assert!(identity.is_answered_by(&answer));
            let restored = identity.restore(answer);
            prop_assert_eq!(restored.id(), Some(id.as_str()));
        }
    }
}
