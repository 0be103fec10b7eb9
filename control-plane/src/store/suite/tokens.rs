//! What every store does with tokens.

use std::sync::Arc;

use gateway_core::SecretString;
use jiff::Timestamp;

use super::tenant;
use crate::store::*;
use crate::token::{Role, Scope, TokenHash, TokenId};

fn hash(secret: &str) -> TokenHash {
    TokenHash::of(&SecretString::from(format!("{secret}-secret-of-the-suite"))).unwrap()
}

fn id(text: &str) -> TokenId {
    let (of, name) = match text.split_once('/') {
        Some((of, name)) => (Some(tenant(of)), name),
        None => (None, text),
    };
    TokenId {
        tenant: of,
        name: name.parse().unwrap(),
    }
}

/// Its name, or its tenant and name, is its secret too.
fn token(text: &str) -> NewToken {
    let TokenId { tenant, name } = id(text);
    NewToken {
        name,
        role: tenant.map_or(Role::Join(Scope::all()), Role::TenantViewer),
        hash: hash(&text.replace('/', "-in-")),
        created_at: "2026-11-26T10:00:00.5Z".parse().unwrap(),
        author: "ada".to_owned(),
        reason: "new".to_owned(),
        expires_at: None,
    }
}

fn revocation(text: &str) -> Revocation {
    Revocation {
        id: id(text),
        revoked_at: "2026-11-27T10:00:00Z".parse().unwrap(),
        author: "bob".to_owned(),
        reason: "lost".to_owned(),
    }
}

fn kept(new: &NewToken) -> TokenRecord {
    TokenRecord {
        name: new.name.clone(),
        role: new.role.clone(),
        created_at: new.created_at,
        author: new.author.clone(),
        expires_at: new.expires_at,
        revoked_at: None,
    }
}

pub(in crate::store) async fn a_token_is_found_by_name_and_by_hash(store: Arc<dyn Store>) {
    let roles = [
        ("ops", Role::Administrator),
        ("edge", Role::Join(Scope::all())),
        ("edge-west", Role::Join("acme+zoo".parse().unwrap())),
        ("acme/ops", Role::TenantAdministrator(tenant("acme"))),
        ("acme/look", Role::TenantViewer(tenant("acme"))),
    ];
    for (name, role) in roles {
        let mut new = token(name);
        new.role = role;
        new.expires_at = Some("2027-01-01T00:00:00.25Z".parse().unwrap());
        store.create_token(new.clone()).await.unwrap();
        let expected = Some(kept(&new));
        assert_eq!(store.token(&id(name)).await.unwrap(), expected);
        assert_eq!(store.token_by_hash(&new.hash).await.unwrap(), expected);
    }
    for name in ["look", "zoo/ops", "acme/edge"] {
        assert_eq!(store.token(&id(name)).await.unwrap(), None, "{name}");
    }
    assert_eq!(store.token_by_hash(&hash("never")).await.unwrap(), None);
}

pub(in crate::store) async fn a_name_is_given_once_for_each_tenant(store: Arc<dyn Store>) {
    for name in ["ci", "acme/ci", "zoo/ci"] {
        store.create_token(token(name)).await.unwrap();
    }
    store.revoke_token(revocation("acme/ci")).await.unwrap();
    for name in ["ci", "acme/ci"] {
        let mut again = token(name);
        again.hash = hash("another-secret");
        again.author = "eve".to_owned();
        let error = store.create_token(again.clone()).await.unwrap_err();
        assert!(matches!(error, CreateTokenError::Exists), "{error:?}");
        assert_eq!(store.token_by_hash(&again.hash).await.unwrap(), None);
        assert_eq!(store.token(&id(name)).await.unwrap().unwrap().author, "ada");
    }
}

pub(in crate::store) async fn only_one_of_two_tokens_of_a_name_is_made(store: Arc<dyn Store>) {
    let mut other = token("ci");
    other.hash = hash("another-secret");
    let (one, two) = tokio::join!(
        store.create_token(token("ci")),
        store.create_token(other.clone()),
    );
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
    let first = store.token_by_hash(&token("ci").hash).await.unwrap();
    let second = store.token_by_hash(&other.hash).await.unwrap();
    assert_eq!(
        (first.is_some(), second.is_some()),
        (one.is_ok(), two.is_ok())
    );
}

pub(in crate::store) async fn a_revoked_token_stays_as_it_was_revoked(store: Arc<dyn Store>) {
    store.create_token(token("ci")).await.unwrap();
    store.create_token(token("acme/ci")).await.unwrap();
    let revoked = store.revoke_token(revocation("ci")).await.unwrap().unwrap();
    let expected = TokenRecord {
        revoked_at: Some(revocation("ci").revoked_at),
        ..kept(&token("ci"))
    };
    assert_eq!(revoked.record, expected);
    assert!(revoked.changed);
    let later = Revocation {
        revoked_at: Timestamp::MAX,
        ..revocation("ci")
    };
    let again = store.revoke_token(later).await.unwrap().unwrap();
    assert_eq!((again.record, again.changed), (expected.clone(), false));
    let by_hash = store.token_by_hash(&token("ci").hash).await.unwrap();
    assert_eq!(by_hash, Some(expected));
    let other = store.token(&id("acme/ci")).await.unwrap().unwrap();
    assert_eq!(other.revoked_at, None);
    let missing = store.revoke_token(revocation("zoo/ci")).await.unwrap();
    assert_eq!(missing, None);
}

pub(in crate::store) async fn tokens_are_listed_by_name_in_pages(store: Arc<dyn Store>) {
    for name in ["zoo/a", "acme/b", "m", "a-b/x", "acme/a-b", "acme/7", "b"] {
        store.create_token(token(name)).await.unwrap();
    }
    store.revoke_token(revocation("m")).await.unwrap();
    let page = async |of: Option<&str>, after: Option<&str>| -> Vec<String> {
        let (of, after) = (of.map(tenant), after.map(id));
        let found = store.tokens(of.as_ref(), after.as_ref(), 3).await.unwrap();
        found.iter().map(|one| one.id().to_string()).collect()
    };
    assert_eq!(page(None, None).await, ["b", "m", "a-b/x"]);
    let second = page(None, Some("a-b/x")).await;
    assert_eq!(second, ["acme/7", "acme/a-b", "acme/b"]);
    assert_eq!(page(None, Some("acme/b")).await, ["zoo/a"]);
    // A page may begin behind one that is not there.
    assert_eq!(page(None, Some("acme/c")).await, ["zoo/a"]);
    let own = page(Some("acme"), None).await;
    assert_eq!(own, ["acme/7", "acme/a-b", "acme/b"]);
    assert_eq!(page(Some("acme"), Some("acme/a-b")).await, ["acme/b"]);
    assert_eq!(page(Some("acme"), Some("m")).await, own);
    assert!(page(Some("never"), None).await.is_empty());
}

pub(in crate::store) async fn tokens_do_not_count_as_changes_of_tenants(store: Arc<dyn Store>) {
    store.create_token(token("acme/ci")).await.unwrap();
    store.revoke_token(revocation("acme/ci")).await.unwrap();
    assert_eq!(store.heads_since(0).await.unwrap(), Heads::default());
    assert!(store.tenants(None, 10).await.unwrap().is_empty());
}
