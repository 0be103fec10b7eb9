//! Questions of servers (sampling, elicitation, roots) that wait for the client's answer.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use gateway_mcp::client::Peer;
use gateway_mcp::message::Message;
use jiff::Timestamp;

use crate::session::ReplicaTag;

/// How many questions may be open in one session.
const MAX_OPEN: usize = 256;

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
type Mutex<T> = std::sync::Mutex<T>;

/// The open questions of one session. Servers choose their ids independently of each other, so
/// every question gets one of the gateway's on its way to the client.
#[derive(Debug)]
pub(crate) struct Questions {
    /// Where they are, if there are several replicas.
    replica: Option<ReplicaTag>,
    open: Mutex<Open>,
}

const PREFIX: &str = "gateway-";

/// The replica that asked what is answered under this raw id. `None` for an id that does not say.
pub(crate) fn replica_of_question(id: &str) -> Option<ReplicaTag> {
    let own = id.strip_prefix('"')?.strip_suffix('"')?;
    let (_, replica) = own.strip_prefix(PREFIX)?.split_once('-')?;
    ReplicaTag::parse(replica)
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    by_id: HashMap<String, Question>,
}

/// A question, and who asks.
#[derive(Debug)]
struct Question {
    /// A server that is gone waits for nothing.
    peer: Weak<Peer>,
    /// The server's own id, raw.
    id: String,
}

impl Questions {
    pub(super) fn new(replica: Option<ReplicaTag>) -> Self {
        // A replica that is back under its name meets no answers to what it asked before.
        let last = Timestamp::now().as_millisecond().unsigned_abs();
        let open = Open {
            last,
            ..Open::default()
        };
        Self {
            replica,
            open: Mutex::new(open),
        }
    }

    /// The question under an id of the gateway's; `None` when too many are open.
    pub(crate) fn ask(&self, peer: &Arc<Peer>, question: &Message) -> Option<Message> {
        let own = question.id()?.to_owned();
        let mut open = self.open.lock().ok()?;
        if open.by_id.len() >= MAX_OPEN {
            open.by_id
                .retain(|_, question| question.peer.strong_count() > 0);
        }
        if open.by_id.len() >= MAX_OPEN {
            return None;
        }
        open.last = open.last.saturating_add(1);
        let number = open.last;
        let id = match self.replica {
            // Each replica counts for itself, and the client may answer at any.
            Some(replica) => format!("\"{PREFIX}{number}-{replica}\""),
            None => format!("\"{PREFIX}{number}\""),
        };
        let asked = Question {
            peer: Arc::downgrade(peer),
            id: own,
        };
        open.by_id.insert(id.clone(), asked);
        Some(question.with_id(&id))
    }

    /// Takes back a question that a server asked under its own id; the id under which the client
    /// knows it. `None` when it is answered already.
    pub(crate) fn take_back(&self, peer: &Arc<Peer>, own: &str) -> Option<String> {
        let mut open = self.open.lock().ok()?;
        let is_it = |question: &Question| {
            question.id == own && Weak::ptr_eq(&question.peer, &Arc::downgrade(peer))
        };
        let found = open.by_id.iter().find(|(_, question)| is_it(question));
        let id = found.map(|(id, _)| id.clone())?;
        open.by_id.remove(&id);
        Some(id)
    }

    /// Who asked what the client answers, and the answer under the server's own id. `None` when
    /// nobody asked, the question is answered already, or the server is gone.
    pub(crate) fn answer(&self, answer: &Message) -> Option<(Arc<Peer>, Message)> {
        let mut open = self.open.lock().ok()?;
        let question = open.by_id.remove(answer.id()?)?;
        Some((question.peer.upgrade()?, answer.with_id(&question.id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_who_asked() {
        let tag = ReplicaTag::of("west-1");
        let of = |id: &str| replica_of_question(id);
        assert_eq!(of(&format!("\"gateway-7-{tag}\"")), Some(tag));
        for id in [
            "\"gateway-7\"",
            "7",
            "\"gateway-7-x\"",
            "\"other-7-0\"",
            "\"",
        ] {
            assert_eq!(of(id), None, "{id}");
        }
    }
}
