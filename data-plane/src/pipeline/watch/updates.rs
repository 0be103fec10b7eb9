//! What a client is told of resources, until it has read it.

use std::collections::VecDeque;

use bytes::Bytes;
use gateway_mcp::json::Fields;
use gateway_mcp::message::Message;
use gateway_mcp::meta::SUBSCRIPTION_ID;
use gateway_mcp::params::Params;
use gateway_mcp::splice::Splice;
use tokio::sync::Notify;

/// More resources than change between two reads of a client that reads at all.
const MOST: usize = 1_000;

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
type Mutex<T> = std::sync::Mutex<T>;

/// Notifications that wait for one subscription of a client.
#[derive(Debug)]
pub(crate) struct Updates {
    /// The subscription's id, raw.
    id: Box<str>,
    waiting: Mutex<VecDeque<Bytes>>,
    arrived: Notify,
}

impl Updates {
    pub(crate) fn of_subscription(id: &str) -> Self {
        Self {
            id: id.into(),
            waiting: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    /// Adds a notification. One that says what another says already is told together with it.
    pub(super) fn push(&self, notification: &Message) {
        let told = tagged(notification, Some(&self.id)).into_bytes();
        if let Ok(mut waiting) = self.waiting.lock()
            && !waiting.contains(&told)
        {
            if waiting.len() >= MOST {
                waiting.pop_front();
            }
            waiting.push_back(told);
        }
        self.arrived.notify_one();
    }

    /// The next one. Loses nothing when dropped before it is done.
    pub(crate) async fn next(&self) -> Bytes {
        loop {
            let next = self.waiting.lock().ok().and_then(|mut w| w.pop_front());
            match next {
                Some(next) => return next,
                None => self.arrived.notified().await,
            }
        }
    }
}

/// A notification under the id of a client's subscription, or under none.
pub(super) fn tagged(notification: &Message, id: Option<&str>) -> Message {
    let edited = match Params::of(notification).ok().and_then(|p| p.meta_range()) {
        Some(meta) => {
            let mut splice = Splice::new(notification.bytes());
            if let Ok(fields) = Fields::scan(notification.bytes(), meta.clone()) {
                splice.remove_fields(&fields, |key| key == SUBSCRIPTION_ID);
            }
            if let Some(id) = id {
                splice.insert_field(&meta, SUBSCRIPTION_ID, id);
            }
            notification.edited(splice).ok()
        }
        None => id.and_then(|id| {
            let meta = format!(r#"{{"{SUBSCRIPTION_ID}":{id}}}"#);
            notification.with_param("_meta", &meta).ok()
        }),
    };
    edited.unwrap_or_else(|| notification.clone())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn update(params: &str) -> Message {
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{params}}}"#
        );
        Message::scan(text.into()).unwrap()
    }

    #[test]
    fn a_notification_names_the_clients_own_subscription() {
        let key = SUBSCRIPTION_ID;
        let plain = update(r#"{"uri":"a:b","title":"x"}"#);
        let named = tagged(&plain, Some("\"l\""));
        let expected = format!(r#"{{"_meta":{{"{key}":"l"}},"uri":"a:b","title":"x"}}"#);
        assert_eq!(named.params(), Some(expected.as_str()));
        assert_eq!(tagged(&plain, None), plain);
        let of_server = update(&format!(r#"{{"_meta":{{"{key}":0,"v":1}},"uri":"a:b"}}"#));
        let named = tagged(&of_server, Some("7"));
        assert!(named.params().unwrap().contains(&format!(r#""{key}":7"#)));
        let plain = tagged(&of_server, None);
        assert!(!plain.params().unwrap().contains(key), "{plain:?}");
        assert!(plain.params().unwrap().contains(r#""v":1"#));
    }

    #[tokio::test]
    async fn what_is_said_twice_before_it_is_read_is_told_once() {
        let updates = Updates::of_subscription("1");
        for uri in ["a:1", "a:2", "a:1"] {
            updates.push(&update(&format!(r#"{{"uri":"{uri}"}}"#)));
        }
        for uri in ["a:1", "a:2"] {
            let told = updates.next().await;
            assert!(std::str::from_utf8(&told).unwrap().contains(uri));
        }
        assert!(updates.next().now_or_never().is_none());
        for number in 0..2 * MOST {
            updates.push(&update(&format!(r#"{{"uri":"a:{number}"}}"#)));
        }
        assert_eq!(updates.waiting.lock().unwrap().len(), MOST);
    }
}
