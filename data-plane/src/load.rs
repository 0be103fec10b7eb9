//! How much is under way, of all tenants and of one: what goes beyond a limit is refused at once,
//! so that whoever is within it never waits for others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Failure, Reason};
use crate::limits::Limits;

/// Space for requests, streams and the messages in memory, counted.
#[derive(Debug)]
pub(crate) struct Load {
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    whose: &'static str,
}

/// A request's or stream's place, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _all: OwnedSemaphorePermit,
    _tenant: OwnedSemaphorePermit,
}

/// What a message takes of the memory for messages, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Memory {
    all: OwnedSemaphorePermit,
    tenant: OwnedSemaphorePermit,
}

impl Memory {
    pub(crate) fn bytes(&self) -> usize {
        self.all.num_permits()
    }

    pub(crate) fn merge(&mut self, further: Self) {
        self.all.merge(further.all);
        self.tenant.merge(further.tenant);
    }
}

impl Load {
    /// Of all tenants together.
    pub(crate) fn of_all(limits: &Limits) -> Self {
        let bytes = limits.max_buffered_bytes;
        Self::new(
            limits.max_requests,
            limits.max_streams,
            bytes,
            "the gateway",
        )
    }

    /// Of one tenant.
    pub(crate) fn of_tenant(limits: &Limits) -> Self {
        let (requests, streams) = (limits.max_tenant_requests, limits.max_tenant_streams);
        let bytes = limits.max_tenant_buffered_bytes;
        Self::new(requests, streams, bytes, "this tenant")
    }

    fn new(requests: usize, streams: usize, bytes: usize, whose: &'static str) -> Self {
        let space = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self {
            requests: space(requests),
            streams: space(streams),
            bytes: space(bytes),
            whose,
        }
    }

    /// A place for a request of a tenant.
    pub(crate) fn request(&self, tenant: &Self) -> Result<Slot, Failure> {
        let most = "has as many requests under way as it may";
        Ok(Slot {
            _tenant: tenant.enter(&tenant.requests, most)?,
            _all: self.enter(&self.requests, most)?,
        })
    }

    /// A place for a stream that only listens.
    pub(crate) fn stream(&self, tenant: &Self) -> Result<Slot, Failure> {
        let most = "has as many streams open as it may";
        Ok(Slot {
            _tenant: tenant.enter(&tenant.streams, most)?,
            _all: self.enter(&self.streams, most)?,
        })
    }

    /// Memory for a message of a tenant; `None` where there is none left.
    pub(crate) fn memory(&self, tenant: &Self, bytes: u32) -> Option<Memory> {
        let of = |load: &Self| Arc::clone(&load.bytes).try_acquire_many_owned(bytes).ok();
        Some(Memory {
            tenant: of(tenant)?,
            all: of(self)?,
        })
    }

    fn enter(&self, space: &Arc<Semaphore>, most: &str) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(space).try_acquire_owned().map_err(|_| {
            let message = format!("{} {most}: try again later", self.whose);
            Failure::new(Reason::Overloaded, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_has_all_its_places_takes_none_of_the_others() {
        let limits = Limits {
            max_requests: 3,
            max_tenant_requests: 2,
            max_streams: 1,
            max_tenant_streams: 1,
            ..Limits::default()
        };
        let (all, one, other) = (
            Load::of_all(&limits),
            Load::of_tenant(&limits),
            Load::of_tenant(&limits),
        );
        let held = [all.request(&one).unwrap(), all.request(&one).unwrap()];
        let refusal = all.request(&one).unwrap_err();
        assert_eq!(refusal.reason(), Reason::Overloaded);
        assert!(refusal.to_string().contains("this tenant"), "{refusal}");
        let last = all.request(&other).unwrap();
        let refusal = all.request(&other).unwrap_err().to_string();
        assert!(refusal.contains("the gateway has"), "{refusal}");
        let stream = all.stream(&one).unwrap();
        assert!(all.stream(&other).is_err(), "streams are counted apart");
        drop((held, stream));
        drop(all.request(&one).unwrap());
        drop(all.stream(&other).unwrap());
        drop(last);
    }

    #[test]
    fn the_messages_of_a_tenant_leave_memory_for_those_of_others() {
        let limits = Limits {
            max_buffered_bytes: 4,
            max_tenant_buffered_bytes: 3,
            ..Limits::default()
        };
        let (all, one, other) = (
            Load::of_all(&limits),
            Load::of_tenant(&limits),
            Load::of_tenant(&limits),
        );
        let mut held = all.memory(&one, 2).unwrap();
        held.merge(all.memory(&one, 1).unwrap());
        assert_eq!(held.bytes(), 3);
        assert!(all.memory(&one, 1).is_none());
        let last = all.memory(&other, 1).unwrap();
        assert!(all.memory(&other, 1).is_none());
        drop(held);
        assert!(all.memory(&one, 3).is_some());
        drop(last);
    }
}
