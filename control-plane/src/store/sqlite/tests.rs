//! The suite on SQLite, and what only a file can do.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::store::suite::store_suite;
use crate::store::{NewToken, Revocation, WriteAction};
use crate::token::{Role, TokenHash};

async fn open() -> (TempDir, Arc<dyn Store>) {
    let (dir, path) = file();
    (dir, Arc::new(SqliteStore::open(&path).await.unwrap()))
}

fn file() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.db");
    (dir, path)
}

fn change(expected: Option<Revision>) -> NewRevision {
    NewRevision {
        tenant: TenantId::default_tenant(),
        expected,
        created_at: jiff::Timestamp::UNIX_EPOCH,
        author: String::new(),
        reason: String::new(),
        summary: String::new(),
        action: WriteAction::Apply,
        submitted: String::new(),
        resolved: bytes::Bytes::from_static(b"x"),
        rolled: crate::store::Rolled::AtOnce(crate::rollout::Stage::Superseded),
        request: None,
    }
}

store_suite!(open);

#[tokio::test]
async fn a_store_that_is_opened_again_is_the_same() {
    let (_dir, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    store.write(change(None)).await.unwrap();
    let (id, heads) = (store.id().to_owned(), store.heads_since(0).await.unwrap());
    store.close().await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.id(), id);
    assert_eq!(store.heads_since(0).await.unwrap(), heads);
}

#[tokio::test]
async fn a_store_that_was_never_closed_has_everything_that_was_kept() {
    let (dir, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    store.write(change(None)).await.unwrap();
    // What a killed process leaves behind: the file and its log, never put together.
    let copy = dir.path().join("copy.db");
    for suffix in ["", "-wal"] {
        let with_suffix = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        std::fs::copy(with_suffix(&path), with_suffix(&copy)).unwrap();
    }
    let copied = SqliteStore::open(&copy).await.unwrap();
    let heads = copied.heads_since(0).await.unwrap();
    assert_eq!(heads, store.heads_since(0).await.unwrap());
    assert_eq!(heads.heads.len(), 1);
}

#[tokio::test]
async fn two_stores_have_different_ids() {
    let ((_one_dir, one), (_two_dir, two)) = (open().await, open().await);
    assert_ne!(one.id(), two.id());
}

#[tokio::test]
async fn a_change_that_fails_at_its_last_statement_leaves_nothing() {
    let (_dir, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    store.write(change(None)).await.unwrap();
    let before = store.heads_since(0).await.unwrap();
    sqlx::query(
        "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'disk full'); END",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    let error = store.write(change(Some(Revision(1)))).await.unwrap_err();
    assert!(matches!(
        error,
        WriteError::Store(StoreError::Database { .. })
    ));
    assert_eq!(store.heads_since(0).await.unwrap(), before);
    let tenant = TenantId::default_tenant();
    assert_eq!(store.revisions(&tenant, None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn every_change_has_its_row_in_the_audit_trail() {
    let (_dir, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    store.write(change(None)).await.unwrap();
    let removal = NewRemoval {
        tenant: TenantId::default_tenant(),
        expected: Revision(1),
        created_at: jiff::Timestamp::UNIX_EPOCH,
        author: "ada".to_owned(),
        reason: "left".to_owned(),
        request: None,
    };
    store.remove(removal).await.unwrap();
    let rows: Vec<(i64, String, i64)> =
        sqlx::query_as("SELECT sequence, action, revision FROM audit ORDER BY sequence")
            .fetch_all(&store.pool)
            .await
            .unwrap();
    assert_eq!(rows, [(1, "apply".into(), 1), (2, "remove".into(), 1)]);
}

#[tokio::test]
async fn the_audit_trail_of_an_earlier_schema_is_kept() {
    let (_dir, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    store.write(change(None)).await.unwrap();
    // Back to what the first version left. On one connection: another may know the later form.
    let mut connection = store.pool.acquire().await.unwrap();
    for statement in [
        "DROP TABLE audit",
        "CREATE TABLE audit (sequence INTEGER PRIMARY KEY, created_at TEXT NOT NULL,
             author TEXT NOT NULL, action TEXT NOT NULL, tenant TEXT NOT NULL,
             revision INTEGER NOT NULL, reason TEXT NOT NULL, summary TEXT NOT NULL) STRICT",
        "INSERT INTO audit VALUES (1, '2026-11-22T10:00:00Z', 'ada', 'apply', 'acme', 1, 'why', 'what')",
        "CREATE TRIGGER audit_is_not_updated BEFORE UPDATE ON audit BEGIN SELECT 1; END",
        "CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT 1; END",
        "DROP TABLE rollouts",
        "DROP TABLE hosts",
        "DROP TABLE hosts_changed",
        "DROP TABLE tokens",
        "DROP TABLE requests",
        "DELETE FROM _sqlx_migrations WHERE version > 1",
    ] {
        sqlx::query(statement)
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    drop(connection);
    store.close().await;
    let store = SqliteStore::open(&path).await.unwrap();
    let rows: Vec<(i64, String, String, String)> =
        sqlx::query_as("SELECT sequence, author, target, outcome FROM audit")
            .fetch_all(&store.pool)
            .await
            .unwrap();
    assert_eq!(rows, [(1, "ada".into(), "acme".into(), "Ok".into())]);
}

#[tokio::test]
async fn a_call_is_recorded_without_a_change() {
    let (_dir, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let call = CallRecord {
        created_at: jiff::Timestamp::UNIX_EPOCH,
        author: "admin".to_owned(),
        action: "GetTenant".to_owned(),
        target: "tenants/acme".to_owned(),
        reason: String::new(),
        outcome: "NotFound".to_owned(),
        summary: "there is no tenant".to_owned(),
    };
    store.record(call).await.unwrap();
    assert_eq!(store.heads_since(0).await.unwrap().sequence, 0);
    let rows: Vec<(Option<i64>, String, String)> =
        sqlx::query_as("SELECT sequence, target, outcome FROM audit")
            .fetch_all(&store.pool)
            .await
            .unwrap();
    assert_eq!(rows, [(None, "tenants/acme".into(), "NotFound".into())]);
}

#[tokio::test]
async fn revisions_and_the_audit_trail_cannot_be_rewritten() {
    let (_dir, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    store.write(change(None)).await.unwrap();
    for statement in [
        "UPDATE revisions SET author = 'eve'",
        "DELETE FROM revisions",
        "UPDATE audit SET author = 'eve'",
        "DELETE FROM audit",
    ] {
        let outcome = sqlx::query(statement).execute(&store.pool).await;
        let error = outcome.expect_err(statement).to_string();
        assert!(error.contains("immutable"), "{statement}: {error}");
    }
}

#[tokio::test]
async fn a_database_belongs_to_one_process() {
    let (dir, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("in use by another process"), "{said}");
    #[cfg(unix)]
    {
        let link = dir.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let error = SqliteStore::open(&link).await.unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    }
    // What was refused has done no harm.
    store.write(change(None)).await.unwrap();
    store.close().await;
    SqliteStore::open(&path).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    store.write(change(None)).await.unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_not_writable() {
    let (dir, _) = file();
    let path = dir.path().join("missing/gateway.db");
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    assert!(error.to_string().contains("missing/gateway.db"));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_corrupt_and_left_as_it_is() {
    let (_dir, path) = file();
    let text = "this is a shopping list\n".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_damaged_database_is_corrupt() {
    let (_dir, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let mut expected = None;
    for _ in 0..50 {
        expected = Some(store.write(change(expected)).await.unwrap());
    }
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    // Everything behind the first page, which holds the schema.
    for byte in bytes.iter_mut().skip(4096) {
        *byte = 0x5a;
    }
    std::fs::write(&path, bytes).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_versions() {
    let (_dir, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'later', 1, x'00', 0)",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    store.close().await;
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::NewerSchema {
                found: 99,
                known: 7,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_token_that_is_made_or_revoked_is_recorded_with_it() {
    let (_dir, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let role = Role::TenantViewer("acme".parse().unwrap());
    let secret = gateway_core::SecretString::from("a-secret-of-the-test");
    let new = NewToken {
        name: "ci".parse().unwrap(),
        role: role.clone(),
        hash: TokenHash::of(&secret).unwrap(),
        created_at: jiff::Timestamp::UNIX_EPOCH,
        author: "ada".to_owned(),
        reason: "new".to_owned(),
        expires_at: Some("2027-01-01T00:00:00Z".parse().unwrap()),
    };
    let revocation = Revocation {
        id: new.id(),
        revoked_at: jiff::Timestamp::UNIX_EPOCH,
        author: "bob".to_owned(),
        reason: "lost".to_owned(),
    };
    store.create_token(new.clone()).await.unwrap();
    store.create_token(new).await.unwrap_err();
    for _ in 0..2 {
        store.revoke_token(revocation.clone()).await.unwrap();
    }
    let rows: Vec<(String, String, String, String, String)> =
        sqlx::query_as("SELECT author, action, target, reason, summary FROM audit ORDER BY id")
            .fetch_all(&store.pool)
            .await
            .unwrap();
    let made = format!("made a token of role {role} until 2027-01-01T00:00:00Z");
    let row = |author: &str, action: &str, reason: &str, summary: &str| {
        let target = "tenants/acme/tokens/ci";
        let columns = [author, action, target, reason, summary].map(str::to_owned);
        let [author, action, target, reason, summary] = columns;
        (author, action, target, reason, summary)
    };
    let expected = [
        row("ada", "CreateToken", "new", &made),
        row("bob", "RevokeToken", "lost", "revoked the token"),
    ];
    assert_eq!(rows, expected);
}
