//! Who is let in: by the token that comes with every call.

use std::sync::Arc;

use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::token::{TokenHash, Tokens};

/// Who is served on a connection.
#[derive(Debug, Clone)]
pub(crate) enum Admission {
    /// This process itself: nobody else has the other end of its pipe.
    OwnProcess,
    /// Whoever presents a token.
    Tokens(Arc<Tokens>),
}

impl Admission {
    /// Refuses who may not be a replica.
    pub(super) fn admit_replica(&self, metadata: &MetadataMap) -> Result<(), Status> {
        match self {
            Self::OwnProcess => Ok(()),
            Self::Tokens(tokens) => present(metadata, &tokens.join, "join token"),
        }
    }
}

/// An administrator who was let in, as the history names who made a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Administrator(pub(super) String);

/// The name of the token that the control plane was started with.
const FIRST: &str = "admin";

/// Refuses who is no administrator.
pub(super) fn admit_administrator(
    tokens: &Tokens,
    metadata: &MetadataMap,
) -> Result<Administrator, Status> {
    present(metadata, &tokens.administrator, "administrator token")?;
    Ok(Administrator(FIRST.to_owned()))
}

/// Refuses a call that does not present a token. What it did present is not repeated.
fn present(metadata: &MetadataMap, expected: &TokenHash, what: &str) -> Result<(), Status> {
    let Some(header) = metadata.get("authorization") else {
        return Err(Status::unauthenticated(format!(
            "the {what} is missing: send `authorization: Bearer TOKEN`"
        )));
    };
    let token = bearer(header.as_encoded_bytes());
    match token {
        Some(token) if expected.is_of(token) => Ok(()),
        _ => Err(Status::unauthenticated(format!("the {what} is not valid"))),
    }
}

/// What stands behind `Bearer`, whose case does not count.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

#[cfg(test)]
mod tests {
    use gateway_core::SecretString;
    use tonic::Code;

    use super::*;

    const JOIN: &str = "join-token-of-the-test";
    const ADMIN: &str = "admin-token-of-the-test";

    fn both() -> Tokens {
        let hash = |text| TokenHash::of(&SecretString::from(text)).unwrap();
        Tokens {
            administrator: hash(ADMIN),
            join: hash(JOIN),
        }
    }

    fn tokens() -> Admission {
        Admission::Tokens(Arc::new(both()))
    }

    fn metadata(authorization: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", authorization.parse().unwrap());
        metadata
    }

    #[test]
    fn a_replica_is_let_in_by_the_join_token_only() {
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let presented = metadata(&format!("{scheme} {JOIN}"));
            tokens().admit_replica(&presented).unwrap();
        }
        for presented in [
            MetadataMap::new(),
            metadata(JOIN),
            metadata("Bearer"),
            metadata("Bearer "),
            metadata(&format!("Bearer {ADMIN}")),
            metadata(&format!("Basic {JOIN}")),
            metadata(&format!("Bearer {JOIN}x")),
        ] {
            let status = tokens().admit_replica(&presented).unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{presented:?}");
            assert!(!status.message().contains(JOIN) && !status.message().contains(ADMIN));
        }
        Admission::OwnProcess
            .admit_replica(&MetadataMap::new())
            .unwrap();
    }

    #[test]
    fn an_administrator_is_let_in_by_the_administrator_token_only() {
        let presented = metadata(&format!("Bearer {ADMIN}"));
        let administrator = admit_administrator(&both(), &presented).unwrap();
        assert_eq!(administrator.0, "admin");
        for presented in [MetadataMap::new(), metadata(&format!("Bearer {JOIN}"))] {
            let status = admit_administrator(&both(), &presented).unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{presented:?}");
        }
    }
}
