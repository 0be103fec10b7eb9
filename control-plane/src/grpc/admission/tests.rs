//! Who is let in by what.

use gateway_core::SecretString;
use jiff::ToSpan as _;
use tempfile::TempDir;

use super::*;
use crate::store::{self, Database, NewToken, Revocation};

const JOIN: &str = "join-token-of-the-test";
const ADMIN: &str = "admin-token-of-the-test";

async fn authority() -> (TempDir, Arc<Authority>) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::Sqlite(dir.path().join("gateway.db"));
    let store = store::open(&database).await;
    let authority = Authority {
        store: store.unwrap(),
        first: Arc::new(Tokens {
            administrator: hash(ADMIN),
            join: hash(JOIN),
        }),
        certificate_roles: vec![
            "dns:ops.example=administrator".parse().unwrap(),
            "uri:spiffe://x/edge=join".parse().unwrap(),
        ],
    };
    (dir, Arc::new(authority))
}

fn hash(text: &str) -> TokenHash {
    TokenHash::of(&SecretString::from(text)).unwrap()
}

fn presented(authorization: &str) -> Presented {
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", authorization.parse().unwrap());
    Presented {
        metadata,
        peer: None,
        flaws: Flaws::default(),
    }
}

fn nothing() -> Presented {
    Presented {
        metadata: MetadataMap::new(),
        peer: None,
        flaws: Flaws::default(),
    }
}

fn certificate(subject: Subject) -> Presented {
    Presented {
        peer: Some(Peer {
            address: None,
            subjects: [subject].into(),
        }),
        ..nothing()
    }
}

async fn keep(authority: &Authority, name: &str, role: Role, expires_at: Option<Timestamp>) {
    let token = NewToken {
        name: name.parse().unwrap(),
        role,
        hash: hash(&format!("{name}-token-of-the-test")),
        created_at: Timestamp::now(),
        author: String::new(),
        reason: String::new(),
        expires_at,
    };
    authority.store.create_token(token).await.unwrap();
}

#[tokio::test]
async fn a_replica_is_let_in_by_a_join_token_only() {
    let (_dir, authority) = authority().await;
    keep(&authority, "edge", Role::Join(Scope::all()), None).await;
    let network = Admission::Network(authority);
    for text in [
        &format!("Bearer {JOIN}"),
        &format!("bearer {JOIN}"),
        &format!("BEARER {JOIN}"),
        "Bearer edge-token-of-the-test",
    ] {
        assert!(network.admit_replica(&presented(text)).await.is_ok());
    }
    let edge = Subject::Uri("spiffe://x/edge".to_owned());
    assert!(network.admit_replica(&certificate(edge)).await.is_ok());
    for what in [
        nothing(),
        presented(JOIN),
        presented("Bearer"),
        presented("Bearer "),
        presented(&format!("Bearer {ADMIN}")),
        presented(&format!("Basic {JOIN}")),
        presented(&format!("Bearer {JOIN}x")),
        certificate(Subject::Dns("ops.example".to_owned())),
        certificate(Subject::Dns("spiffe://x/edge".to_owned())),
    ] {
        let status = network.admit_replica(&what).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{what:?}");
        assert!(!status.message().contains(JOIN) && !status.message().contains(ADMIN));
    }
    let own = Admission::OwnProcess.admit_replica(&nothing()).await;
    assert!(own.unwrap().1.is_none());
}

#[tokio::test]
async fn an_administrator_is_known_by_the_name_of_the_token() {
    let (_dir, authority) = authority().await;
    let acme: gateway_core::TenantId = "acme".parse().unwrap();
    keep(&authority, "ops", Role::Administrator, None).await;
    keep(&authority, "ci", Role::TenantViewer(acme), None).await;
    let dns = |name: &str| certificate(Subject::Dns(name.to_owned()));
    let mut both = presented(&format!("Bearer {ADMIN}"));
    both.peer = dns("nobody.example").peer;
    for (what, name) in [
        (presented(&format!("Bearer {ADMIN}")), "admin"),
        (presented("Bearer ops-token-of-the-test"), "ops"),
        (presented("Bearer ci-token-of-the-test"), "acme/ci"),
        (dns("ops.example"), "dns:ops.example"),
        (both, "admin"),
    ] {
        let caller = authority.admit_administrator(&what).await.unwrap();
        assert_eq!(caller.name, name);
    }
    let mut both = presented("Bearer another-token-of-the-test");
    both.peer = dns("ops.example").peer;
    for (what, name) in [
        (nothing(), ""),
        (presented(&format!("Bearer {JOIN}")), "join"),
        (dns("OPS.example"), ""),
        (dns("x.ops.example"), ""),
        // The token decides.
        (both, ""),
    ] {
        let stranger = authority.admit_administrator(&what).await.unwrap_err();
        assert_eq!(stranger.status.code(), Code::Unauthenticated, "{what:?}");
        assert_eq!(stranger.name, name);
    }
}

#[tokio::test]
async fn a_token_that_has_ended_is_refused_at_once_and_its_holder_expelled() {
    let (_dir, authority) = authority().await;
    let soon = Timestamp::now() + 1.hour();
    let before = Timestamp::now() - 1.second();
    keep(&authority, "edge", Role::Join(Scope::all()), Some(soon)).await;
    keep(
        &authority,
        "old-edge",
        Role::Join(Scope::all()),
        Some(before),
    )
    .await;
    let network = Admission::Network(Arc::clone(&authority));
    let old = presented("Bearer old-edge-token-of-the-test");
    let status = network.admit_replica(&old).await.unwrap_err();
    assert_eq!(status.message(), "the join token has expired");

    let edge = presented("Bearer edge-token-of-the-test");
    let caller = network.admit_replica(&edge).await.unwrap().1.unwrap().1;
    assert!(authority.expel(&caller).await.is_none());
    let revocation = Revocation {
        id: caller.kept.as_ref().unwrap().id(),
        revoked_at: Timestamp::now(),
        author: String::new(),
        reason: String::new(),
    };
    authority.store.revoke_token(revocation).await.unwrap();
    let expelled = authority.expel(&caller).await.unwrap();
    let refused = network.admit_replica(&edge).await.unwrap_err();
    for status in [expelled, refused] {
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(status.message(), "the join token was revoked");
    }
    let first = presented(&format!("Bearer {JOIN}"));
    let caller = network.admit_replica(&first).await.unwrap().1.unwrap().1;
    // Even where nothing can be looked up.
    authority.store.close().await;
    assert!(authority.expel(&caller).await.is_none());
}
