//! The documents as they are kept: a heading, then one frame for each that came into force and for each
//! tenant that was removed. The last one of a tenant counts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use gateway_core::{Revision, TenantId};

use crate::snapshot::Origin;

/// What every file begins with.
pub(super) const HEADING: &[u8] = b"mcp-gateway documents 1\n";

const DOCUMENT: u8 = 1;
const REMOVED: u8 = 2;

/// The bytes before a frame that say how long it is.
const LENGTH: usize = size_of::<u32>();

/// A tenant's document as it was put in force.
#[derive(Debug, Clone)]
pub(crate) struct StoredDocument {
    pub(crate) origin: Origin,
    /// An encoded `gateway.config.v1.TenantConfig`.
    pub(crate) config: Bytes,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Documents {
    current: BTreeMap<TenantId, StoredDocument>,
    /// Where in the file they are.
    places: BTreeMap<TenantId, Range<u64>>,
}

const FILE: &str = "documents-";

pub(super) fn file_name(generation: u64) -> String {
    format!("{FILE}{generation}")
}

pub(super) fn is_file_name(name: &str) -> bool {
    let number = name.strip_prefix(FILE);
    number.is_some_and(|number| number.parse::<u64>().is_ok())
}

/// One more frame; `None`: the tenant was removed.
pub(super) fn frame(tenant: &TenantId, document: Option<&StoredDocument>) -> Vec<u8> {
    let mut frame = vec![0; LENGTH];
    match document {
        None => {
            frame.push(REMOVED);
            frame.extend_from_slice(tenant.as_str().as_bytes());
        }
        Some(document) => {
            frame.push(DOCUMENT);
            let texts = [tenant.as_str(), &document.origin.store];
            for text in texts {
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                frame.extend_from_slice(&length.to_be_bytes());
                frame.extend_from_slice(text.as_bytes());
            }
            frame.extend_from_slice(&document.origin.revision.0.to_be_bytes());
            frame.extend_from_slice(&document.config);
        }
    }
    let length = u32::try_from(frame.len().saturating_sub(LENGTH)).unwrap_or(u32::MAX);
    if let Some(place) = frame.first_chunk_mut() {
        *place = length.to_be_bytes();
    }
    frame
}

impl Documents {
    /// `None` for anything that is not a whole file.
    pub(super) fn parse(mut bytes: Bytes) -> Option<Self> {
        let whole = bytes.len();
        if !bytes.starts_with(HEADING) {
            return None;
        }
        bytes.advance(HEADING.len());
        let mut documents = Self::default();
        // A store is the same in most of them.
        let mut store: Arc<str> = "".into();
        while !bytes.is_empty() {
            let begin = whole - bytes.len();
            let mut frame = sized(&mut bytes)?;
            let place = begin as u64..(whole - bytes.len()) as u64;
            match frame.try_get_u8().ok()? {
                REMOVED => {
                    let tenant: TenantId = text(&frame)?.parse().ok()?;
                    documents.current.remove(&tenant);
                    documents.places.remove(&tenant);
                }
                DOCUMENT => {
                    let tenant: TenantId = text(&sized(&mut frame)?)?.parse().ok()?;
                    let named = sized(&mut frame)?;
                    let named = text(&named)?;
                    if *named != *store {
                        store = named.into();
                    }
                    let origin = Origin {
                        store: Arc::clone(&store),
                        revision: Revision(frame.try_get_u64().ok()?),
                    };
                    let config = frame;
                    let document = StoredDocument { origin, config };
                    documents.places.insert(tenant.clone(), place);
                    documents.current.insert(tenant, document);
                }
                _ => return None,
            }
        }
        Some(documents)
    }

    pub(super) fn current(&self) -> &BTreeMap<TenantId, StoredDocument> {
        &self.current
    }

    pub(super) fn into_places(self) -> BTreeMap<TenantId, Range<u64>> {
        self.places
    }
}

/// Takes what stands behind its length.
fn sized(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

fn text(bytes: &Bytes) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// A file that holds the documents that these bytes do, if they are a file.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn reread(bytes: &[u8]) -> Option<Vec<u8>> {
    let documents = Documents::parse(Bytes::copy_from_slice(bytes))?;
    let mut file = HEADING.to_vec();
    for (tenant, document) in documents.current() {
        file.extend(frame(tenant, Some(document)));
    }
    Some(file)
}
