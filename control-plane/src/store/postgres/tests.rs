//! The suite on a real PostgreSQL, and what only several processes on one store can do.

use std::error::Error as _;
use std::sync::{Arc, LazyLock};

use gateway_tests::postgres::{Durability, GUARDED, Postgres};

use super::*;
use crate::store::WriteAction;
use crate::store::suite::store_suite;

mod replicas;

/// One server for all tests; each has a database of its own.
static SERVER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(Durability::None).unwrap());

pub(crate) fn new_database() -> String {
    SERVER.url(&SERVER.database().unwrap())
}

pub(crate) async fn open_url(url: &str) -> Result<PostgresStore, OpenError> {
    PostgresStore::open(&url.parse().unwrap()).await
}

async fn open() -> ((), Arc<dyn Store>) {
    let store = open_url(&new_database()).await.unwrap();
    ((), Arc::new(store))
}

store_suite!(open);

/// Two control planes on one database.
async fn open_two() -> (PostgresStore, PostgresStore) {
    let url = new_database();
    let (one, two) = tokio::join!(open_url(&url), open_url(&url));
    (one.unwrap(), two.unwrap())
}

fn change(tenant: &str, expected: u64) -> NewRevision {
    NewRevision {
        tenant: tenant.parse().unwrap(),
        expected: Some(Revision(expected)).filter(|revision| revision.0 > 0),
        created_at: jiff::Timestamp::UNIX_EPOCH,
        author: "ada".to_owned(),
        reason: String::new(),
        summary: String::new(),
        action: WriteAction::Apply,
        submitted: String::new(),
        resolved: bytes::Bytes::from_static(b"x"),
        rolled: crate::store::Rolled::AtOnce(crate::rollout::Stage::Superseded),
        request: None,
    }
}

#[tokio::test]
async fn stores_that_are_opened_at_once_are_the_same() {
    let (one, two) = open_two().await;
    assert_eq!(one.id(), two.id());
    one.write(change("acme", 0)).await.unwrap();
    two.write(change("acme", 1)).await.unwrap();
    let heads = one.heads_since(0).await.unwrap();
    assert_eq!(heads, two.heads_since(0).await.unwrap());
    assert_eq!(heads.sequence, 2);
    let other = open_url(&new_database()).await.unwrap();
    assert_ne!(other.id(), one.id());
}

#[tokio::test]
async fn each_hears_of_what_the_other_changes() {
    let (one, two) = open_two().await;
    let mut listener = one.listener().unwrap();
    let first = listener.next().await;
    assert_eq!(first, News::Unknown, "begins with: look for yourself");
    two.write(change("acme", 0)).await.unwrap();
    // What is not committed is not told.
    two.write(change("acme", 9)).await.unwrap_err();
    one.write(change("acme", 1)).await.unwrap();
    assert_eq!(listener.next().await, News::Changed(1));
    assert_eq!(listener.next().await, News::Changed(2));
}

#[tokio::test]
async fn sequences_become_visible_in_their_order() {
    let (one, two) = open_two().await;
    let mut blocking = one.pool.begin_with(BEGIN_WRITING).await.unwrap();
    let new = change("acme", 0);
    queries::write(&mut blocking, new).await.unwrap();
    let mut later = Box::pin(two.write(change("zoo", 0)));
    // The one that has the first number is not committed, so the second waits.
    let waited = tokio::time::timeout(Duration::from_millis(200), &mut later).await;
    waited.unwrap_err();
    assert_eq!(two.heads_since(0).await.unwrap().sequence, 0);
    blocking.commit().await.unwrap();
    later.await.unwrap();
    let heads = two.heads_since(0).await.unwrap().heads;
    let order: Vec<_> = heads.iter().map(|head| head.tenant.as_str()).collect();
    assert_eq!(order, ["acme", "zoo"]);
}

#[tokio::test]
async fn statements_and_idle_transactions_have_limits() {
    let url = new_database() + "?options=-c%20statement_timeout%3D700s";
    let store = open_url(&url).await.unwrap();
    // What the program asks for comes after what the URL says.
    let limits: Vec<String> = sqlx::query_scalar(
        "SELECT setting || unit FROM pg_settings WHERE name IN
         ('statement_timeout', 'idle_in_transaction_session_timeout') ORDER BY name",
    )
    .fetch_all(&store.pool)
    .await
    .unwrap();
    assert_eq!(limits, ["10000ms", "20000ms"]);
}

#[tokio::test]
async fn a_connection_that_was_abandoned_is_not_used_again() {
    let store = open_url(&new_database()).await.unwrap();
    let (abandoned, kept) = (store.lease().await.unwrap(), store.lease().await.unwrap());
    let outcome = limited(async { Ok::<_, StoreError>(()) }).await;
    kept.end(outcome, late("nothing")).unwrap();
    drop(abandoned);
    store.close().await;
    assert_eq!(store.pool.size(), 0);
}

#[tokio::test]
async fn lost_connections_are_replaced() {
    let url = new_database();
    let store = open_url(&url).await.unwrap();
    let mut listener = store.listener().unwrap();
    listener.next().await;
    store.write(change("acme", 0)).await.unwrap();
    assert_eq!(listener.next().await, News::Changed(1));
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let (_, database) = url.rsplit_once('/').unwrap();
    SERVER.sql_in(database, terminate).unwrap();
    let lost = listener.next().await;
    assert_eq!(lost, News::Unknown, "something may have been missed");
    store.write(change("acme", 1)).await.unwrap();
    assert_eq!(listener.next().await, News::Changed(2));
}

#[tokio::test]
async fn revisions_and_the_audit_trail_cannot_be_rewritten() {
    let store = open_url(&new_database()).await.unwrap();
    store.write(change("acme", 0)).await.unwrap();
    for statement in [
        "UPDATE revisions SET author = 'eve'",
        "DELETE FROM revisions",
        "TRUNCATE revisions CASCADE",
        "UPDATE audit SET author = 'eve'",
        "DELETE FROM audit",
        "TRUNCATE audit",
    ] {
        let outcome = sqlx::query(statement).execute(&store.pool).await;
        let error = outcome.expect_err(statement).to_string();
        assert!(error.contains("immutable"), "{statement}: {error}");
    }
}

#[tokio::test]
async fn names_are_in_the_order_of_their_bytes_whatever_the_databases_language() {
    let store = open_url(&new_database()).await.unwrap();
    let collations: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_name::text, collation_name::text FROM information_schema.columns
         WHERE column_name = 'tenant' ORDER BY table_name",
    )
    .fetch_all(&store.pool)
    .await
    .unwrap();
    let tables = ["documents", "hosts", "revisions", "rollouts", "tokens"];
    let all = tables.map(|table| (table.to_owned(), "C".to_owned()));
    assert_eq!(collations, all);
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_versions() {
    let url = new_database();
    let store = open_url(&url).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'later', TRUE, '', 0)",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    let error = open_url(&url).await.unwrap_err();
    let OpenError::NewerSchema { found, known, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!((found, known), (99, 6));
}

#[tokio::test]
async fn what_keeps_it_from_the_database_is_said_without_the_password() {
    SERVER
        .sql("CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0")
        .unwrap();
    let guarded = |password: &str| {
        let url = SERVER.url_as(&format!("{GUARDED}:{password}"), "postgres");
        url + "?application_name=test"
    };
    for (url, expected) in [
        (SERVER.url("nothing"), "the database nothing at /tmp/"),
        (
            SERVER.url("nothing"),
            "does not exist: make it with createdb",
        ),
        (SERVER.url("latin"), "is encoded in LATIN1"),
        (
            guarded("zq-secret-wrong"),
            "cannot be used by guarded: check the user, the password",
        ),
        (guarded("zq-secret-database"), "cannot be used by guarded"),
        (
            "postgres://ada:zq-secret-pw@127.0.0.1:1/x".to_owned(),
            "the database x at 127.0.0.1:1 cannot be reached",
        ),
    ] {
        let error = open_url(&url).await.unwrap_err();
        let said = format!("{error} {:?}", error.source());
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("zq-secret"), "{said}");
    }
}
