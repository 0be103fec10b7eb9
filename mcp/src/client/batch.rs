//! Reads what a server sends as one text: a message, or several at once as 2025-03-26 allows.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::batch::cut;
use crate::message::{Kind, Message, ScanError};

/// How many messages a server may send at once.
const MOST: usize = 10_000;

/// Reads the text's first message; those that follow it go to the end of `waiting`.
///
/// Responses come last, whatever their place: with them a request's exchange is over.
pub(super) fn read_messages(
    text: Bytes,
    waiting: &mut VecDeque<Message>,
) -> Result<Message, ScanError> {
    match Message::scan(text.clone()) {
        Err(ScanError::Batch) => {}
        outcome => return outcome,
    }
    let places = cut(&text, MOST).map_err(|error| ScanError::NotMessage {
        reason: error.to_string(),
    })?;
    let mut messages = Vec::with_capacity(places.len());
    for place in places {
        messages.push(Message::scan(text.slice(place))?);
    }
    messages.sort_by_key(|message| message.kind() == Kind::Response);
    let mut messages = messages.into_iter();
    let first = messages.next().ok_or(ScanError::Batch)?;
    waiting.extend(messages);
    Ok(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<Message>, ScanError> {
        let mut waiting = VecDeque::new();
        let first = read_messages(Bytes::copy_from_slice(text.as_bytes()), &mut waiting)?;
        Ok(std::iter::once(first).chain(waiting).collect())
    }

    const NOTE: &str = r#"{"jsonrpc":"2.0","method":"n"}"#;
    const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":[1]}"#;

    #[test]
    fn reads_single_messages_and_batches_with_the_response_last() {
        assert_eq!(read(NOTE).unwrap().len(), 1);
        let messages = read(&format!("[{ANSWER}, {NOTE} ,{NOTE}]")).unwrap();
        let texts: Vec<_> = messages.iter().map(Message::bytes).collect();
        assert_eq!(texts, [NOTE, NOTE, ANSWER]);
    }

    #[test]
    fn refuses_batches_of_nothing_or_of_something_else() {
        for text in ["[]", "[1]", &format!("[[{NOTE}]]"), &format!("[{NOTE}")] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn loses_no_message_of_a_batch(kinds in prop::collection::vec(any::<bool>(), 1..20)) {
            let parts: Vec<_> = kinds.iter().map(|note| if *note { NOTE } else { ANSWER }).collect();
            let messages = read(&format!("[{}]", parts.join(" , "))).unwrap();
            let mut texts: Vec<_> = messages.iter().map(|message| message.bytes().to_vec()).collect();
            let mut sent: Vec<_> = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
            texts.sort();
            sent.sort();
            prop_assert_eq!(texts, sent);
        }
    }
}
