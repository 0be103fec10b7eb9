//! Brings a PostgreSQL database to the form that this program reads, or says why it cannot.

use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};

use super::ACQUIRE_LIMIT;
use crate::store::sql::Steps;
use crate::store::{OpenError, PostgresAddress};

/// Every step of the schema, oldest first. A released step is never edited.
const STEPS: Steps = Steps(&[
    (
        1,
        "documents",
        include_str!("../../../migrations/postgres/0001_documents.sql"),
    ),
    (
        2,
        "requests",
        include_str!("../../../migrations/postgres/0002_requests.sql"),
    ),
    (
        3,
        "tokens",
        include_str!("../../../migrations/postgres/0003_tokens.sql"),
    ),
    (
        4,
        "replicas",
        include_str!("../../../migrations/postgres/0004_replicas.sql"),
    ),
    (
        5,
        "hosts",
        include_str!("../../../migrations/postgres/0005_hosts.sql"),
    ),
    (
        6,
        "rollouts",
        include_str!("../../../migrations/postgres/0006_rollouts.sql"),
    ),
]);

/// In these every text can be kept. `SQL_ASCII` keeps all bytes as they are.
const ENCODINGS: [&str; 2] = ["UTF8", "SQL_ASCII"];

/// How long a statement may take, waiting for the writers before it included.
const STATEMENT_LIMIT: Duration = Duration::from_secs(20);

/// How long a transaction may do nothing before its locks are taken from it: behind it may be a
/// process that is cut off from the network.
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// How connections are made that keep and read configuration.
pub(super) fn limited(options: PgConnectOptions) -> PgConnectOptions {
    let milliseconds = |limit: Duration| limit.as_millis().to_string();
    common(options).options([
        ("statement_timeout", milliseconds(STATEMENT_LIMIT)),
        (
            "idle_in_transaction_session_timeout",
            milliseconds(IDLE_LIMIT),
        ),
        // Its author is told that a change is kept: a loss of power must not take it back.
        ("synchronous_commit", "on".to_owned()),
    ])
}

/// Of all connections: PostgreSQL's own lists say whose they are, and it does not say what a step
/// finds done already.
fn common(options: PgConnectOptions) -> PgConnectOptions {
    let options = options.options([("client_min_messages", "warning")]);
    match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("mcp-gateway"),
    }
}

/// Checks the database, runs the steps that it has not seen, and reads the store's id.
pub(super) async fn prepare(address: &PostgresAddress) -> Result<String, OpenError> {
    let options = common(address.options());
    check(&options, address).await?;
    // A connection without the limits of others: a step, or waiting for another process that takes
    // it, may take its time. It is closed whatever comes of it, and with that releases its lock.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(options);
    let prepared = bring_up_to_date(&pool, address).await;
    pool.close().await;
    prepared
}

/// Whether the database is there and fit. A pool would go on trying, and not say why.
async fn check(options: &PgConnectOptions, address: &PostgresAddress) -> Result<(), OpenError> {
    let open_error = |error| open_error(address, error);
    let connected = tokio::time::timeout(ACQUIRE_LIMIT, options.connect()).await;
    let connected = connected.map_err(|elapsed| OpenError::Unreachable {
        place: address.to_string(),
        source: elapsed.into(),
    })?;
    let mut connection = connected.map_err(open_error)?;
    let encoding: String = sqlx::query_scalar("SHOW server_encoding")
        .fetch_one(&mut connection)
        .await
        .map_err(open_error)?;
    connection.close().await.map_err(open_error)?;
    if ENCODINGS.contains(&encoding.as_str()) {
        return Ok(());
    }
    Err(OpenError::Encoding {
        place: address.to_string(),
        encoding,
    })
}

async fn bring_up_to_date(pool: &PgPool, address: &PostgresAddress) -> Result<String, OpenError> {
    let open_error = |error| open_error(address, error);
    // Several processes that start at once take turns: the migrator holds an advisory lock.
    let migrated = STEPS.migrator().run(pool).await;
    migrated.map_err(|error| STEPS.open_error(address.to_string(), error, open_error))?;
    sqlx::query_scalar("SELECT id FROM store")
        .fetch_one(pool)
        .await
        .map_err(open_error)
}

/// Sorts the errors by what their reader can do about them.
fn open_error(address: &PostgresAddress, error: sqlx::Error) -> OpenError {
    let place = address.to_string();
    let code = error.as_database_error().and_then(|error| error.code());
    match (&error, code.as_deref().unwrap_or_default()) {
        // Data that is invalid is a certificate.
        (sqlx::Error::Io(io), _) if io.kind() != ErrorKind::InvalidData => OpenError::Unreachable {
            place,
            source: cause(error),
        },
        // invalid_catalog_name
        (_, "3D000") => OpenError::Missing {
            place,
            source: cause(error),
        },
        // invalid_authorization_specification, invalid_password, insufficient_privilege
        (_, "28000" | "28P01" | "42501") => OpenError::Denied {
            place,
            user: address.options().get_username().to_owned(),
            source: cause(error),
        },
        _ => OpenError::Failed {
            place,
            source: cause(error),
        },
    }
}

/// What happened, without the words around it: they have it in them, too.
fn cause(error: sqlx::Error) -> Box<dyn Error + Send + Sync> {
    match error {
        sqlx::Error::Database(error) => error.message().into(),
        sqlx::Error::Io(error) => error.into(),
        sqlx::Error::Tls(error) => error,
        other => other.into(),
    }
}
