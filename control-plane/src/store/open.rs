//! Which database a store is kept in, and why it cannot be opened.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;

use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::{Store, StoreError};

/// Where a store is kept.
#[derive(Debug, Clone)]
pub enum Database {
    /// In this file, which is made if it is not there. Its directory must be.
    Sqlite(PathBuf),
    /// In a PostgreSQL database, which must be there. Several control planes may share it.
    Postgres(PostgresAddress),
}

impl From<PathBuf> for Database {
    fn from(file: PathBuf) -> Self {
        Self::Sqlite(file)
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(address) => address.fmt(f),
        }
    }
}

/// Opens the store, makes what is missing, and brings its schema up to date.
pub(crate) async fn open(database: &Database) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match database {
        Database::Sqlite(path) => Arc::new(SqliteStore::open(path).await?),
        Database::Postgres(address) => Arc::new(PostgresStore::open(address).await?),
    })
}

/// Where a PostgreSQL database is and as whom to connect. Prints without the password.
#[derive(Clone)]
pub struct PostgresAddress(Box<PgConnectOptions>);

/// The text is no address of a PostgreSQL database. It may have a password, and is not repeated.
#[derive(Debug, thiserror::Error)]
#[error(
    "a PostgreSQL database is postgres://USER@HOST:PORT/DATABASE, with %XX for what is special in a URL"
)]
pub struct InvalidAddress {
    /// What is wrong with it.
    source: sqlx::Error,
}

impl FromStr for PostgresAddress {
    type Err = InvalidAddress;

    /// What a URL leaves out is taken from the variables that PostgreSQL's own programs read, such as
    /// `PGPASSWORD`, and a missing password from the password file.
    fn from_str(url: &str) -> Result<Self, InvalidAddress> {
        let options = url
            .parse()
            .map_err(|source| InvalidAddress { source })
            .map(Box::new)?;
        Ok(Self(options))
    }
}

impl PostgresAddress {
    pub(super) fn options(&self) -> PgConnectOptions {
        (*self.0).clone()
    }
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.0;
        // PostgreSQL's own rule for what is left out.
        let database = options.get_database();
        let database = database.unwrap_or_else(|| options.get_username());
        let port = options.get_port();
        match options.get_socket() {
            Some(socket) => write!(f, "{database} at {}:{port}", socket.display()),
            None => write!(f, "{database} at {}:{port}", options.get_host()),
        }
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresAddress({self})")
    }
}

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be written or made.
    #[error(
        "the database {place} cannot be opened for writing: check that its directory exists and that this user may write there"
    )]
    NotWritable {
        /// The database.
        place: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Another process holds it.
    #[error("the database {place} is in use by another process: stop that one first")]
    InUse {
        /// The database.
        place: String,
        /// By what it is known.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file is damaged, or no database.
    #[error(
        "the database {place} is damaged or is no SQLite database ({finding}): move it away to start with an empty one, or restore it from a backup"
    )]
    Corrupt {
        /// The database.
        place: String,
        /// What was found.
        finding: String,
    },
    /// No connection comes about.
    #[error(
        "the database {place} cannot be reached: check that PostgreSQL runs there, and host and port"
    )]
    Unreachable {
        /// The database.
        place: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// PostgreSQL has no such database.
    #[error("the database {place} does not exist: make it with createdb")]
    Missing {
        /// The database.
        place: String,
        /// PostgreSQL's own error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// PostgreSQL does not let the user in, or not do what must be done.
    #[error(
        "the database {place} cannot be used by {user}: check the user, the password (in PGPASSWORD or ~/.pgpass) and the rights"
    )]
    Denied {
        /// The database.
        place: String,
        /// As whom.
        user: String,
        /// PostgreSQL's own error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It cannot keep every text.
    #[error(
        "the database {place} is encoded in {encoding}: make one with createdb --encoding UTF8 --template template0"
    )]
    Encoding {
        /// The database.
        place: String,
        /// How it is encoded.
        encoding: String,
    },
    /// A later version of the program has changed its form.
    #[error(
        "the database {place} was made by a newer version of this program (schema {found}, known up to {known}): use that version, or restore a backup from before the upgrade"
    )]
    NewerSchema {
        /// The database.
        place: String,
        /// The schema's version.
        found: i64,
        /// The last that this program knows.
        known: i64,
    },
    /// The database failed otherwise.
    #[error("the database {place} cannot be opened")]
    Failed {
        /// The database.
        place: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database opened, and what it holds could not be read.
    #[error("the configuration in the database {place} cannot be read")]
    Unreadable {
        /// The database.
        place: String,
        /// Why.
        source: StoreError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_without_its_password() {
        for (url, printed) in [
            (
                "postgres://ada:zq-secret-pw@db.example:5433/gateway",
                "gateway at db.example:5433",
            ),
            (
                "postgresql://ada@db.example/a?sslmode=require",
                "a at db.example:5432",
            ),
            ("postgres://ada:zq-secret-pw@[::1]:1", "ada at [::1]:1"),
            (
                "postgres://ada@%2Frun%2Fpg/gateway",
                "gateway at /run/pg:5432",
            ),
        ] {
            let address: PostgresAddress = url.parse().unwrap();
            assert_eq!(address.to_string(), printed);
            let debug = format!("{:?}", Database::Postgres(address));
            assert!(!debug.contains("secret"), "{debug}");
        }
    }

    #[test]
    fn what_is_no_address_is_not_repeated() {
        for url in [
            "postgres://ada:zq-secret-pw@db:port/a",
            "postgres://ada:zq-secret-pw@db/a?sslmode=maybe",
            "zq-secret-pw",
        ] {
            let error = url.parse::<PostgresAddress>().unwrap_err();
            let said = format!("{error}: {}", error.source().unwrap());
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
