//! The state: which store the documents are of, how many bytes of them count, and when a control plane
//! last said so. One line of JSON that people can read, and one with what authenticates it.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::key::{CacheKey, CacheKeys};
use crate::config::follow::Position;

pub(super) const FILE: &str = "state";

/// Goes up with every change that an earlier version would misread, in either file.
const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// Under which key this and the documents are authenticated.
    pub(super) key: Vec<u8>,
    pub(super) store: String,
    pub(super) sequence: u64,
    /// When a control plane last said that this is what there is.
    pub(super) confirmed: Timestamp,
    /// Which file the documents are in.
    pub(super) generation: u64,
    /// How many bytes of it count. What is behind them was being written when the process ended.
    pub(super) length: u64,
    /// What authenticates them.
    pub(super) documents_tag: Vec<u8>,
    pub(super) host_names: KeptHosts,
}

/// The host names that stand for tenants, and whose they are.
pub(crate) type KeptHosts = Arc<BTreeMap<String, String>>;

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    format: u32,
    key: String,
    store: String,
    sequence: u64,
    confirmed: Timestamp,
    generation: u64,
    length: u64,
    documents: String,
    host_names: BTreeMap<String, String>,
}

/// What can be said of a line that is not authenticated yet.
#[derive(Deserialize)]
struct Head {
    format: u32,
    key: String,
}

/// Why a state is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoState {
    #[error("is no state of a cache, or is cut short")]
    Form,
    #[error("is of format {0}, and this version reads format {FORMAT}")]
    Format(u32),
    #[error("is authenticated with a key that is not in the session key file")]
    Key,
    #[error("was changed by somebody else")]
    Changed,
}

impl State {
    pub(super) fn position(&self) -> Position {
        Position {
            store: self.store.as_str().into(),
            sequence: self.sequence,
        }
    }

    /// `None` when it cannot be written as JSON, which does not come about.
    pub(super) fn write(&self, key: &CacheKey) -> Option<Vec<u8>> {
        let line = Line {
            format: FORMAT,
            key: STANDARD.encode(&self.key),
            store: self.store.clone(),
            sequence: self.sequence,
            confirmed: self.confirmed,
            generation: self.generation,
            length: self.length,
            documents: STANDARD.encode(&self.documents_tag),
            host_names: BTreeMap::clone(&self.host_names),
        };
        let mut text = serde_json::to_vec(&line).ok()?;
        let tag: hmac::Tag = key.sign_state(&text);
        text.push(b'\n');
        text.extend_from_slice(STANDARD.encode(tag.as_ref()).as_bytes());
        text.push(b'\n');
        Some(text)
    }

    pub(super) fn read(text: &[u8], keys: &CacheKeys) -> Result<Self, NoState> {
        let text = text.strip_suffix(b"\n").ok_or(NoState::Form)?;
        let split = text.iter().position(|byte| *byte == b'\n');
        let (line, tag) = text.split_at(split.ok_or(NoState::Form)?);
        let tag = tag.strip_prefix(b"\n").unwrap_or(tag);
        let tag = STANDARD.decode(tag).map_err(|_| NoState::Form)?;
        // By these alone is known how the rest is to be read. Neither is believed yet.
        let head: Head = serde_json::from_slice(line).map_err(|_| NoState::Form)?;
        if head.format != FORMAT {
            return Err(NoState::Format(head.format));
        }
        let key = STANDARD.decode(head.key).map_err(|_| NoState::Form)?;
        let key = keys.by_id(&key).ok_or(NoState::Key)?;
        if !key.verify_state(line, &tag) {
            return Err(NoState::Changed);
        }
        let line: Line = serde_json::from_slice(line).map_err(|_| NoState::Form)?;
        Ok(Self {
            key: key.id().to_vec(),
            store: line.store,
            sequence: line.sequence,
            confirmed: line.confirmed,
            generation: line.generation,
            length: line.length,
            documents_tag: STANDARD.decode(line.documents).map_err(|_| NoState::Form)?,
            host_names: Arc::new(line.host_names),
        })
    }
}
