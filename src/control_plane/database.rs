//! The URL of a database.

use std::path::PathBuf;
use std::str::FromStr;

/// The file of an SQLite database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Database(pub(super) PathBuf);

impl FromStr for Database {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let file = match url.split_once("://") {
            Some(("sqlite", file)) => file,
            Some(("postgres" | "postgresql", _)) => {
                return Err(
                    "PostgreSQL is not there yet in this version: use sqlite://FILE".to_owned(),
                );
            }
            _ => return Err("a database is sqlite://FILE".to_owned()),
        };
        // What SQLite would take for options, or keep in memory, is no place to keep anything.
        if file.is_empty() || file.contains(['?', '#']) || file.starts_with(':') {
            return Err(format!("`{file}` is no file: write sqlite://FILE"));
        }
        Ok(Self(PathBuf::from(file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_file() {
        for (url, file) in [
            ("sqlite://gateway.db", "gateway.db"),
            ("sqlite:///var/lib/gateway.db", "/var/lib/gateway.db"),
        ] {
            assert_eq!(url.parse(), Ok(Database(file.into())));
        }
        for (url, reason) in [
            ("gateway.db", "sqlite://FILE"),
            ("sqlite://", "no file"),
            ("sqlite://:memory:", "no file"),
            ("sqlite://a.db?mode=ro", "no file"),
            ("postgres://db/gateway", "not there yet"),
        ] {
            let error = url.parse::<Database>().unwrap_err();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }
}
