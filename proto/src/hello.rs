//! What a replica says first, in pieces.

use crate::push::v1::subscribe_request::Message;
use crate::push::v1::{Held, Hello, SubscribeRequest};

/// Some 20 KB. A control plane keeps a buffer for each stream that is as large as its largest message
/// was, and has many streams.
const DOCUMENTS: usize = 500;

impl Hello {
    /// The messages that say it: the hello, and behind it what it has no place for.
    #[must_use]
    pub fn into_requests(mut self) -> Vec<SubscribeRequest> {
        let rest = self.held.split_off(self.held.len().min(DOCUMENTS));
        let parts = rest.chunks(DOCUMENTS);
        self.more_held = !rest.is_empty();
        let last = parts.len();
        let parts = parts.zip(1..).map(|(documents, number)| {
            Message::Held(Held {
                documents: documents.to_vec(),
                more: number < last,
            })
        });
        let parts: Vec<_> = parts.collect();
        let messages = std::iter::once(Message::Hello(self)).chain(parts);
        let requests = messages.map(|message| SubscribeRequest {
            message: Some(message),
        });
        requests.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::v1::HeldDocument;

    fn hello(held: usize) -> Hello {
        let document = |number| HeldDocument {
            tenant: format!("tenant-{number}"),
            revision: 1,
        };
        Hello {
            held: (0..held).map(document).collect(),
            ..Hello::default()
        }
    }

    #[test]
    fn nothing_is_lost_and_the_last_part_says_that_it_is() {
        for count in [0, 1, 499, 500, 501, 1000, 1001, 2718] {
            let whole = hello(count).held;
            let mut requests = hello(count).into_requests().into_iter();
            let Some(Message::Hello(first)) = requests.next().and_then(|first| first.message)
            else {
                panic!("no hello");
            };
            let (mut said, mut more) = (first.held, first.more_held);
            for request in requests {
                assert!(more, "{count}");
                let Some(Message::Held(part)) = request.message else {
                    panic!("{request:?}");
                };
                assert!(!part.documents.is_empty() && part.documents.len() <= DOCUMENTS);
                said.extend(part.documents);
                more = part.more;
            }
            assert!(!more, "{count}");
            assert_eq!(said, whole);
        }
    }
}
