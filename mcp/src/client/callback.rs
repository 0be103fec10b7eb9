//! What the gateway answers when a legacy server asks something of its client.

use crate::message::Message;
use crate::{author, code};

/// The response to a server's request: to `ping` that somebody is here, to everything else that
/// the capability it needs was never declared.
pub(super) fn answer(request: &Message) -> Option<Message> {
    let id = request.id()?;
    if request.method() == Some("ping") {
        return Some(author::result(id, "{}"));
    }
    let message = "the gateway declared no such capability";
    Some(author::error(
        Some(id),
        code::METHOD_NOT_FOUND,
        message,
        None,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_to(method: &str) -> Message {
        let request = format!(r#"{{"jsonrpc":"2.0","id":"a","method":"{method}"}}"#);
        answer(&Message::scan(request.into()).unwrap()).unwrap()
    }

    #[test]
    fn answers_ping_and_refuses_the_rest_under_the_servers_id() {
        let pong = answer_to("ping");
        assert_eq!((pong.id(), pong.result()), (Some("\"a\""), Some("{}")));
        let refusal = answer_to("sampling/createMessage");
        assert_eq!(refusal.id(), Some("\"a\""));
        assert_eq!(refusal.rpc_error().unwrap().code, code::METHOD_NOT_FOUND);
    }
}
