//! The body of a request, within what it may take in size, time and memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gateway_core::Deadline;
use gateway_core::TenantId;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::{timeout, timeout_at};

use crate::Gateway;
use crate::error::{Failure, Reason};
use crate::load::{Load, Memory};

/// How long the rest of a body is let pass that is too large.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// A body of this size needs no space of its own; space is counted in steps of it.
const SMALL_BYTES: usize = 64 * 1024;

/// A body, and the space that it takes in memory.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(super) space: Space,
}

/// What a message takes of the memory for messages, given back when the last one who holds it lets
/// go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Space(
    #[expect(dead_code, reason = "held for as long as the message is")] Option<Arc<Memory>>,
);

/// Reads a body whole, for a tenant, which may not be there.
pub(super) async fn read_body(
    gateway: &Gateway,
    tenant: Option<&TenantId>,
    mut body: Incoming,
    deadline: Deadline,
) -> Result<Body, Failure> {
    let limit = gateway.limits.max_body_bytes;
    if body.size_hint().lower() > limit as u64 {
        return Err(refuse_size(body, limit).await);
    }
    let until = deadline.within(gateway.limits.body_timeout).instant();
    let snapshot = tenant.and_then(|tenant| gateway.tenants.get(tenant));
    let own = snapshot
        .as_ref()
        .map_or(&gateway.load_of_nobody, |found| &found.load);
    let reading = Reading::new((&gateway.load, own), limit).read(&mut body);
    match timeout_at(until.into(), reading).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(Unread::TooLarge)) => Err(refuse_size(body, limit).await),
        Ok(Err(Unread::NoSpace)) => Err(Failure::new(
            Reason::Overloaded,
            "the messages that are under way take all the memory that they may: try again later",
        )),
        Ok(Err(Unread::Lost(error))) => {
            Err(Failure::new(Reason::Malformed, "the body ended early").caused_by(error))
        }
        Err(_) => Err(Failure::new(
            Reason::Malformed,
            "the body did not arrive in time",
        )),
    }
}

/// Why a body was not read.
enum Unread {
    TooLarge,
    NoSpace,
    Lost(hyper::Error),
}

struct Reading<'a> {
    /// Of all tenants, and of the message's.
    load: (&'a Load, &'a Load),
    limit: usize,
    space: Option<Memory>,
}

impl<'a> Reading<'a> {
    fn new(load: (&'a Load, &'a Load), limit: usize) -> Self {
        Self {
            load,
            limit,
            space: None,
        }
    }

    async fn read(mut self, body: &mut Incoming) -> Result<Body, Unread> {
        // Most bodies come in one piece, which is then the message as it is.
        let Some(first) = self.next(body).await? else {
            return Ok(self.done(Bytes::new()));
        };
        self.make_space(first.len())?;
        if body.is_end_stream() {
            return Ok(self.done(first));
        }
        let expected = usize::try_from(body.size_hint().lower()).unwrap_or(self.limit);
        let expected = first.len().saturating_add(expected);
        self.make_space(expected)?;
        let mut all = BytesMut::with_capacity(expected);
        all.extend_from_slice(&first);
        while let Some(piece) = self.next(body).await? {
            self.make_space(all.len().saturating_add(piece.len()))?;
            all.extend_from_slice(&piece);
        }
        Ok(self.done(all.freeze()))
    }

    /// The next piece; what stands behind the body is passed over.
    async fn next(&self, body: &mut Incoming) -> Result<Option<Bytes>, Unread> {
        while let Some(frame) = body.frame().await {
            if let Ok(piece) = frame.map_err(Unread::Lost)?.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// Makes sure of the space for so many bytes in all.
    fn make_space(&mut self, bytes: usize) -> Result<(), Unread> {
        if bytes > self.limit {
            return Err(Unread::TooLarge);
        }
        let held = self.space.as_ref().map_or(0, Memory::bytes);
        if bytes <= SMALL_BYTES || bytes <= held {
            return Ok(());
        }
        let wanted = bytes.next_multiple_of(SMALL_BYTES).saturating_sub(held);
        let wanted = u32::try_from(wanted).map_err(|_| Unread::NoSpace)?;
        let (all, own) = self.load;
        let further = all.memory(own, wanted).ok_or(Unread::NoSpace)?;
        match &mut self.space {
            Some(space) => space.merge(further),
            None => self.space = Some(further),
        }
        Ok(())
    }

    fn done(self, bytes: Bytes) -> Body {
        Body {
            bytes,
            space: Space(self.space.map(Arc::new)),
        }
    }
}

/// Refuses a body, of which it lets some more pass: many clients read the answer only when they
/// have sent everything.
async fn refuse_size(mut body: Incoming, limit: usize) -> Failure {
    let passing = async {
        let mut left = limit;
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(size) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whether it came to its end or not, the refusal is the same.
    drop(timeout(DISCARD_TIMEOUT, passing).await);
    let message = format!("the message is larger than {limit} bytes");
    Failure::new(Reason::TooLarge, message)
}
