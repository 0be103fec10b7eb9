//! Who is let in: by the token that comes with every call, or by the certificate of the connection.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::config::Violation;
use jiff::Timestamp;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};

use super::admin::strict::Flaws;
use super::incoming::Peer;
use crate::store::{Store, StoreError, TokenRecord};
use crate::token::{Role, Scope, TokenHash, Tokens};

mod access;
mod certificate;
#[cfg(test)]
mod tests;

pub(super) use access::Power;
pub use certificate::{CertificateRole, InvalidCertificateRole};
pub(super) use certificate::{Subject, subjects};

/// The names of the tokens that the control plane was started with. No other token may have them.
pub(super) const FIRST_ADMINISTRATOR: &str = "admin";
pub(super) const FIRST_JOIN: &str = "join";

/// How often it is looked at whether the token of somebody who stays still holds. One that was revoked,
/// by whatever control plane, is cut off no later.
const RECHECK: Duration = Duration::from_secs(5);

/// What callers hear of.
const TOKEN: &str = "token";
const JOIN_TOKEN: &str = "join token";

/// Who is served on a connection.
#[derive(Debug, Clone)]
pub(crate) enum Admission {
    /// This process itself: nobody else has the other end of its pipe.
    OwnProcess,
    /// Whoever presents a token or a certificate.
    Network(Arc<Authority>),
}

/// Knows who may do what.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) first: Arc<Tokens>,
    pub(crate) certificate_roles: Vec<CertificateRole>,
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// As histories and the audit trail name who made a change.
    pub(super) name: String,
    pub(super) role: Role,
    /// The token in the store that it was, as it was then; `None`: another one, or a certificate.
    kept: Option<TokenRecord>,
}

/// By what somebody wants to be let in.
#[derive(Debug)]
pub(super) struct Presented {
    metadata: MetadataMap,
    peer: Option<Peer>,
    /// What is wrong with the request that it comes with.
    flaws: Flaws,
}

/// Somebody who was not let in.
#[derive(Debug)]
pub(super) struct Stranger {
    /// Empty: nobody who is known.
    pub(super) name: String,
    pub(super) status: Status,
}

impl Presented {
    /// Takes it from a request.
    pub(super) fn with<T>(request: Request<T>) -> (Self, T) {
        let (metadata, mut extensions, message) = request.into_parts();
        let presented = Self {
            metadata,
            peer: extensions.remove(),
            flaws: extensions.remove().unwrap_or_default(),
        };
        (presented, message)
    }

    /// What is wrong with the request, whoever it is from.
    pub(super) fn flaws(&self) -> &[Violation] {
        &self.flaws.0
    }

    pub(super) fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    fn subjects(&self) -> &[Subject] {
        self.peer.as_ref().map_or(&[], |peer| &peer.subjects)
    }
}

impl Admission {
    /// Refuses who may not be a replica, and says of which tenants it may be told. `None`: this
    /// process, of which nothing has to be known.
    pub(super) async fn admit_replica(
        &self,
        presented: &Presented,
    ) -> Result<(Scope, Option<(Arc<Authority>, Caller)>), Status> {
        let Self::Network(authority) = self else {
            return Ok((Scope::all(), None));
        };
        let what = JOIN_TOKEN;
        let caller = authority.identify(presented, what).await;
        let caller = caller.map_err(|stranger| stranger.status)?;
        match &caller.role {
            Role::Join(scope) => Ok((scope.clone(), Some((Arc::clone(authority), caller)))),
            _ => Err(not_valid(what)),
        }
    }
}

impl Authority {
    /// Refuses who has nothing to administer.
    pub(super) async fn admit_administrator(
        &self,
        presented: &Presented,
    ) -> Result<Caller, Stranger> {
        let what = TOKEN;
        let caller = self.identify(presented, what).await?;
        match caller.role {
            Role::Join(_) => Err(Stranger {
                name: caller.name,
                status: not_valid(what),
            }),
            _ => Ok(caller),
        }
    }

    /// Ends when who was let in for a long time must not stay, and says why.
    pub(super) async fn expelled(&self, caller: &Caller) -> Status {
        loop {
            tokio::time::sleep(RECHECK).await;
            if let Some(status) = self.expel(caller).await {
                return status;
            }
        }
    }

    /// What the store cannot say is no reason: the caller has what it was let in with, for as long as
    /// that was to last, and is looked at again.
    async fn expel(&self, caller: &Caller) -> Option<Status> {
        let kept = caller.kept.as_ref()?;
        let what = match caller.role {
            Role::Join(_) => JOIN_TOKEN,
            _ => TOKEN,
        };
        match self.store.token(&kept.id()).await {
            Ok(Some(record)) => refuse_ended(&record, what).err(),
            Ok(None) => Some(not_valid(what)),
            Err(error) => {
                tracing::warn!(%error, token = %kept.id(), "a token could not be looked at again");
                refuse_ended(kept, what).err()
            }
        }
    }

    /// Who presents something. A token decides, whatever certificate there is beside it.
    async fn identify(&self, presented: &Presented, what: &str) -> Result<Caller, Stranger> {
        let Some(header) = presented.metadata.get("authorization") else {
            return self.identify_certificate(presented.subjects(), what);
        };
        let Some(token) = bearer(header.as_encoded_bytes()) else {
            return Err(unknown(not_valid(what)));
        };
        for (expected, name, role) in [
            (
                &self.first.administrator,
                FIRST_ADMINISTRATOR,
                Role::Administrator,
            ),
            (&self.first.join, FIRST_JOIN, Role::Join(Scope::all())),
        ] {
            if expected.is_of(token) {
                return Ok(Caller {
                    name: name.to_owned(),
                    role,
                    kept: None,
                });
            }
        }
        let hash = TokenHash::of_presented(token);
        // By the hash: what could be learnt from how long that takes is of no use.
        let found = self.store.token_by_hash(&hash).await;
        let found = found.map_err(|error| unknown(unreadable(&error)))?;
        let Some(record) = found else {
            return Err(unknown(not_valid(what)));
        };
        let id = record.id();
        match refuse_ended(&record, what) {
            Ok(()) => Ok(Caller {
                name: id.to_string(),
                role: record.role.clone(),
                kept: Some(record),
            }),
            Err(status) => Err(Stranger {
                name: id.to_string(),
                status,
            }),
        }
    }

    fn identify_certificate(&self, subjects: &[Subject], what: &str) -> Result<Caller, Stranger> {
        let mut roles = self.certificate_roles.iter();
        if let Some(found) = roles.find(|role| subjects.contains(&role.subject)) {
            return Ok(Caller {
                name: found.subject.to_string(),
                role: found.role.clone(),
                kept: None,
            });
        }
        let message = match subjects.is_empty() {
            true => format!("the {what} is missing: send `authorization: Bearer TOKEN`"),
            false => format!("the client certificate has no role here, and the {what} is missing"),
        };
        Err(unknown(Status::unauthenticated(message)))
    }
}

/// Refuses a token whose time is over. Who has it learns why; it is no secret any more.
fn refuse_ended(record: &TokenRecord, what: &str) -> Result<(), Status> {
    let how = match record {
        record if record.revoked_at.is_some() => "was revoked",
        record if record.expires_at.is_some_and(|end| end <= Timestamp::now()) => "has expired",
        _ => return Ok(()),
    };
    Err(Status::unauthenticated(format!("the {what} {how}")))
}

/// What was presented is not repeated.
fn not_valid(what: &str) -> Status {
    Status::unauthenticated(format!("the {what} is not valid"))
}

fn unknown(status: Status) -> Stranger {
    Stranger {
        name: String::new(),
        status,
    }
}

fn unreadable(error: &StoreError) -> Status {
    tracing::error!(%error, "a token could not be looked up");
    Status::new(Code::Unavailable, error.to_string())
}

/// What stands behind `Bearer`, whose case does not count.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}
