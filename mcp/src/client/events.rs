//! What a server says without its belonging to a request.

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc, watch};

use crate::message::Message;

/// Messages that may wait to be read.
const WAITING_EVENTS: usize = 256;

/// The messages of one server that belong to no request: notifications, and the requests that the
/// client may be asked. Those that came before it was taken are in it as well.
#[derive(Debug)]
pub struct EventReceiver {
    waiting: mpsc::Receiver<Message>,
    is_heard: watch::Receiver<bool>,
}

impl EventReceiver {
    /// The next message; `None` when nothing more can come. Loses nothing when dropped before it
    /// is done.
    ///
    /// Whoever reads too slowly loses notifications; a request that finds no place is refused.
    pub async fn recv(&mut self) -> Option<Message> {
        self.waiting.recv().await
    }

    /// Whether the server is heard now, and when that changes: what it says while its standing
    /// stream is not open, nobody hears. A change may lead back to where it was.
    pub fn is_heard(&self) -> watch::Receiver<bool> {
        self.is_heard.clone()
    }

    /// One in which nothing comes.
    pub(super) fn ended() -> Self {
        let (_, receiver) = channel(false);
        receiver
    }
}

/// Where a peer keeps its receiver until somebody takes it.
#[derive(Debug)]
pub(super) struct EventSlot(Mutex<Option<EventReceiver>>);

impl EventSlot {
    /// The receiver for the first one who asks; for others one in which nothing comes.
    pub(super) fn take(&self) -> EventReceiver {
        // Whoever finds it locked is not the first.
        let taken = self.0.try_lock().ok().and_then(|mut slot| slot.take());
        taken.unwrap_or_else(EventReceiver::ended)
    }
}

/// The end by which messages come to the receiver.
#[derive(Debug, Clone)]
pub(super) struct EventSender {
    messages: mpsc::Sender<Message>,
    is_heard: watch::Sender<bool>,
}

impl EventSender {
    /// Hands a message on at once; gives it back if too many wait, or nobody listens any more.
    #[must_use]
    pub(super) fn offer(&self, message: Message) -> Option<Message> {
        let sent = self.messages.try_send(message);
        sent.err().map(TrySendError::into_inner)
    }

    /// Hands a message on as soon as there is a place; gives it back if nobody listens any more.
    #[must_use]
    pub(super) async fn send(&self, message: Message) -> Option<Message> {
        let sent = self.messages.send(message).await;
        sent.err().map(|error| error.0)
    }

    /// Completes when nobody listens any more.
    pub(super) async fn closed(&self) {
        self.messages.closed().await;
    }

    /// Says whether what the server says from now on is heard.
    pub(super) fn set_heard(&self, is_heard: bool) {
        self.is_heard.send_replace(is_heard);
    }
}

/// A channel on which the server is heard from the start, or only when that is said.
pub(super) fn channel(is_heard: bool) -> (EventSender, EventReceiver) {
    let (messages, waiting) = mpsc::channel(WAITING_EVENTS);
    let (hearing, is_heard) = watch::channel(is_heard);
    let sender = EventSender {
        messages,
        is_heard: hearing,
    };
    (sender, EventReceiver { waiting, is_heard })
}

/// A channel on which the server is heard all the time and whose receiver is not wanted yet.
pub(super) fn kept_channel() -> (EventSender, EventSlot) {
    let (sender, receiver) = channel(true);
    (sender, EventSlot(Mutex::new(Some(receiver))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_what_comes_first_for_the_first_who_asks() {
        let (sender, slot) = kept_channel();
        let note = Message::scan(r#"{"jsonrpc":"2.0","method":"n"}"#.into()).unwrap();
        assert!(sender.offer(note.clone()).is_none());
        let mut first = slot.take();
        assert!(slot.take().recv().await.is_none());
        assert_eq!(first.recv().await, Some(note.clone()));
        for _ in 0..WAITING_EVENTS {
            assert!(sender.offer(note.clone()).is_none());
        }
        assert!(sender.offer(note.clone()).is_some());
        drop(first);
        sender.closed().await;
        assert!(sender.send(note).await.is_some());
    }
}
