//! What fuzz targets read of a cache without a folder.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::key::CacheKeys;
use super::log;
use super::state::State;
use crate::session::SessionKeys;

/// Writes and reads states under a key of its own.
#[derive(Debug)]
pub struct KeptState(CacheKeys);

impl KeptState {
    /// `None` when the system gives no random bytes.
    pub fn new() -> Option<Self> {
        CacheKeys::of(&SessionKeys::random().ok()?).map(Self)
    }

    /// A state of a store of this name.
    pub fn write(&self, store: &str, number: u64) -> Option<Vec<u8>> {
        let state = State {
            key: self.0.first().id().to_vec(),
            store: store.to_owned(),
            sequence: number,
            confirmed: Timestamp::UNIX_EPOCH,
            generation: number,
            length: number,
            documents_tag: number.to_be_bytes().to_vec(),
            host_names: [(store.to_owned(), "acme".to_owned())]
                .into_iter()
                .collect::<BTreeMap<_, _>>()
                .into(),
        };
        state.write(self.0.first())
    }

    /// Store and sequence of a state.
    pub fn read(&self, text: &[u8]) -> Option<(String, u64)> {
        let state = State::read(text, &self.0).ok()?;
        Some((state.store, state.sequence))
    }
}

/// A file that holds the documents that these bytes do, if they are a file.
pub fn reread(bytes: &[u8]) -> Option<Vec<u8>> {
    log::reread(bytes)
}
