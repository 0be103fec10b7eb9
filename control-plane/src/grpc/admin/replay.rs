//! Requests that may come again: the first is done, and every further one gets its answer (AIP-155).

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use prost::Message;
use tonic::Status;
use uuid::Uuid;

use super::refusal::{self, field};
use crate::store::{Answered, RequestRecord, Store};

/// What a request says of itself.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    id: String,
    fingerprint: Vec<u8>,
}

impl Asking {
    /// Of a call of `method` with a request that has this `request_id`, which may be empty.
    pub(super) fn of(method: &str, request: &impl Message, request_id: &str) -> Self {
        if request_id.is_empty() {
            return Self {
                id: String::new(),
                fingerprint: Vec::new(),
            };
        }
        let mut text = method.as_bytes().to_vec();
        text.push(b'/');
        // Maps are encoded in the order of their keys, so that the same request has the same bytes.
        text.extend(request.encode_to_vec());
        Self {
            id: request_id.to_owned(),
            fingerprint: digest(&SHA256, &text).as_ref().to_vec(),
        }
    }

    /// The request as it is kept; `None`: it says nothing of coming again.
    pub(super) fn record(&self, author: &str) -> Result<Option<RequestRecord>, Status> {
        if self.id.is_empty() {
            return Ok(None);
        }
        let id = Uuid::try_parse(&self.id)
            .map_err(|_| field("request_id", "is no UUID: make a new one for each change"))?;
        Ok(Some(RequestRecord {
            author: author.to_owned(),
            id: id.to_string(),
            fingerprint: self.fingerprint.clone(),
            created_at: Timestamp::now(),
        }))
    }
}

/// What the request led to when it came before; `None`: it did not.
pub(super) async fn answered(
    store: &dyn Store,
    request: Option<&RequestRecord>,
) -> Result<Option<Answered>, Status> {
    let Some(request) = request else {
        return Ok(None);
    };
    match store.answered(request).await.map_err(refusal::store)? {
        None => Ok(None),
        Some((true, answered)) => Ok(Some(answered)),
        Some((false, _)) => Err(field(
            "request_id",
            "was that of another request: make a new one for each change",
        )),
    }
}
