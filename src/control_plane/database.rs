//! The URL of a database.

use std::path::PathBuf;

use gateway_control_plane::Database;

/// Reads the URL. What is wrong is said without repeating it where it may have a password.
pub(super) fn read(url: &str) -> Result<Database, String> {
    match url.split_once("://") {
        Some(("sqlite", file)) => sqlite(file),
        Some(("postgres" | "postgresql", _)) => {
            let address = url.parse().map(Database::Postgres);
            address.map_err(|error| format!("{:#}", anyhow::Error::from(error)))
        }
        _ => Err("a database is sqlite://FILE or postgres://USER@HOST:PORT/DATABASE".to_owned()),
    }
}

fn sqlite(file: &str) -> Result<Database, String> {
    // What SQLite would take for options, or keep in memory, is no place to keep anything.
    if file.is_empty() || file.contains(['?', '#']) || file.starts_with(':') {
        return Err(format!("`{file}` is no file: write sqlite://FILE"));
    }
    Ok(Database::Sqlite(PathBuf::from(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_file_or_in_postgresql() {
        for (url, place) in [
            ("sqlite://gateway.db", "gateway.db"),
            ("sqlite:///var/lib/gateway.db", "/var/lib/gateway.db"),
            ("postgres://ada:pw@db/gateway", "gateway at db:5432"),
            ("postgresql://ada@db:5433/gateway", "gateway at db:5433"),
        ] {
            assert_eq!(read(url).unwrap().to_string(), place);
        }
        for (url, reason) in [
            ("gateway.db", "sqlite://FILE"),
            ("ada:zq-secret-pw@db/gateway", "postgres://USER@"),
            ("mysql://ada:zq-secret-pw@db/gateway", "postgres://USER@"),
            ("sqlite://", "no file"),
            ("sqlite://:memory:", "no file"),
            ("sqlite://a.db?mode=ro", "no file"),
            ("postgres://ada:zq-secret-pw@db:port/a", "invalid port"),
        ] {
            let error = read(url).unwrap_err();
            assert!(error.contains(reason), "{url}: {error}");
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }
}
