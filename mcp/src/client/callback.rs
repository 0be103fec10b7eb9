//! What a legacy server may ask of its client, and what the gateway answers in the client's place.

use crate::json::{Fields, is_object};
use crate::message::Message;
use crate::{author, code};

/// What the client for whom a session is kept can be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Callbacks {
    sampling: bool,
    elicitation: bool,
    roots: bool,
    tasks: bool,
}

impl Callbacks {
    /// Reads them from the capabilities that are declared to the server, a JSON object.
    pub(super) fn of(capabilities: &str) -> Self {
        let source = capabilities.as_bytes();
        let Ok(fields) = Fields::scan(source, 0..source.len()) else {
            return Self::default();
        };
        let declares = |key| {
            fields
                .get(key)
                .is_some_and(|value| is_object(source, &value))
        };
        Self {
            sampling: declares("sampling"),
            elicitation: declares("elicitation"),
            roots: declares("roots"),
            tasks: declares("tasks"),
        }
    }

    /// The answer to a server's request that is not for the client: to `ping` that somebody is
    /// here, else that the capability it needs was never declared. `None`: the client answers.
    pub(super) fn answer(self, request: &Message) -> Option<Message> {
        let method = request.method().unwrap_or_default();
        if method == "ping" {
            return Some(author::result(request.id()?, "{}"));
        }
        let is_declared = match method {
            "sampling/createMessage" => self.sampling,
            "elicitation/create" => self.elicitation,
            "roots/list" => self.roots,
            _ => self.tasks && method.starts_with("tasks/"),
        };
        if is_declared {
            return None;
        }
        let text = format!(
            "{method}: the client behind this gateway cannot be asked, and nothing else was declared"
        );
        Some(author::error(
            request.id(),
            code::METHOD_NOT_FOUND,
            &text,
            None,
        ))
    }
}

/// Whether a request is one that only a client, or its user, can answer.
pub(super) fn is_question(request: &Message) -> bool {
    matches!(
        request.method(),
        Some("sampling/createMessage" | "elicitation/create" | "roots/list")
    )
}

/// The answer to a request that the client cannot be brought.
pub(super) fn unheard(request: &Message) -> Message {
    let text = "the client takes no requests now";
    author::error(request.id(), code::INTERNAL_ERROR, text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(capabilities: &str, method: &str) -> Option<Message> {
        let request = format!(r#"{{"jsonrpc":"2.0","id":"a","method":"{method}"}}"#);
        Callbacks::of(capabilities).answer(&Message::scan(request.into()).unwrap())
    }

    #[test]
    fn answers_ping_and_refuses_the_rest_under_the_servers_id() {
        let everything = r#"{"sampling":{},"elicitation":{"url":{}},"roots":{},"tasks":{}}"#;
        for capabilities in ["{}", everything] {
            let pong = answer(capabilities, "ping").unwrap();
            assert_eq!((pong.id(), pong.result()), (Some("\"a\""), Some("{}")));
            let refusal = answer(capabilities, "no/such").unwrap();
            assert_eq!(refusal.id(), Some("\"a\""));
            assert_eq!(refusal.rpc_error().unwrap().code, code::METHOD_NOT_FOUND);
        }
    }

    #[test]
    fn leaves_to_the_client_what_was_declared_for_it() {
        for (capability, method) in [
            ("sampling", "sampling/createMessage"),
            ("elicitation", "elicitation/create"),
            ("roots", "roots/list"),
            ("tasks", "tasks/get"),
        ] {
            let declared = format!(r#"{{"{capability}":{{}}}}"#);
            assert!(answer(&declared, method).is_none(), "{method}");
            let others = r#"{"sampling":{},"elicitation":{},"roots":{},"tasks":{}}"#
                .replace(&format!(r#""{capability}":{{}}"#), r#""experimental":{}"#);
            for capabilities in ["{}", "no JSON", others.as_str()] {
                assert!(answer(capabilities, method).is_some(), "{method}");
            }
        }
    }
}
