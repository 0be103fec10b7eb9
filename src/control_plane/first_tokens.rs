//! The first tokens of a control plane: given as variables, or made once and kept in files.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use gateway_control_plane::{TokenHash, TokenUse, Tokens, new_token};
use gateway_core::{ExposeSecret as _, SecretString};
use tracing::info;

use crate::data_dir::{self, DataDir};
use crate::exit::Failure;

/// One of the first tokens.
struct First {
    of: TokenUse,
    variable: &'static str,
    file: &'static str,
    called: &'static str,
}

const ADMINISTRATOR: First = First {
    of: TokenUse::Administration,
    variable: "MCP_GATEWAY_ADMIN_TOKEN",
    file: "admin-token",
    called: "administrator token",
};

const JOIN: First = First {
    of: TokenUse::Join,
    variable: "MCP_GATEWAY_JOIN_TOKEN",
    file: "join-token",
    called: "join token",
};

/// A file larger than this holds something else.
const MAX_BYTES: u64 = 4096;

/// Takes the tokens from the environment. What is missing there is in the data directory, which
/// then belongs to this process.
pub(super) fn read_or_make(named: Option<PathBuf>) -> Result<(Tokens, Option<DataDir>), Failure> {
    let given = (ADMINISTRATOR.given()?, JOIN.given()?);
    if let (Some(administrator), Some(join)) = given {
        let tokens = Tokens {
            administrator,
            join,
        };
        return Ok((tokens, None));
    }
    let path = named.map_or_else(data_dir::default_path, Ok)?;
    let data_dir = DataDir::open(&path)?;
    let or_kept = |first: &First, given: Option<TokenHash>| match given {
        Some(given) => Ok(given),
        None => first.kept(&data_dir),
    };
    let tokens = Tokens {
        administrator: or_kept(&ADMINISTRATOR, given.0)?,
        join: or_kept(&JOIN, given.1)?,
    };
    Ok((tokens, Some(data_dir)))
}

/// Takes both tokens from the environment: control planes that share a database let in the same
/// administrators and data planes, and none of them has a file that the others could read.
pub(super) fn read_shared() -> Result<Tokens, Failure> {
    Ok(Tokens {
        administrator: ADMINISTRATOR.required()?,
        join: JOIN.required()?,
    })
}

impl First {
    fn required(&self) -> Result<TokenHash, Failure> {
        self.given()?.ok_or_else(|| {
            Failure::invalid(format!(
                "{} is missing: with PostgreSQL the {} is the same for every control plane, and only given as a variable",
                self.variable, self.called
            ))
        })
    }

    fn given(&self) -> Result<Option<TokenHash>, Failure> {
        let Some(value) = std::env::var_os(self.variable) else {
            return Ok(None);
        };
        let text = value.into_string().unwrap_or_default();
        let hash = TokenHash::of(&SecretString::from(text));
        let hash = hash.map_err(|error| Failure::invalid(format!("{} {error}", self.variable)))?;
        Ok(Some(hash))
    }

    /// The one in the data directory, made if it is not there.
    fn kept(&self, data_dir: &DataDir) -> anyhow::Result<TokenHash> {
        let path = data_dir.file(self.file);
        let token = match read(&path) {
            Ok(token) => token,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let token = new_token(self.of)?;
                write(&path, &token)
                    .with_context(|| format!("{} cannot be written", path.display()))?;
                token
            }
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", path.display()));
            }
        };
        info!("the {} is in {}", self.called, path.display());
        TokenHash::of(&token).map_err(|error| {
            anyhow!(
                "{} {error}; or remove the file, and a token is made",
                path.display()
            )
        })
    }
}

fn read(path: &Path) -> std::io::Result<SecretString> {
    let file = File::open(path)?;
    refuse_readable(&file)?;
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(SecretString::from(text.trim_end()))
}

/// A token that others may have read is none any more.
#[cfg(unix)]
fn refuse_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if file.metadata()?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(std::io::Error::other(
        "others can read it too: chmod 600 it, or remove it, and a token is made",
    ))
}

#[cfg(not(unix))]
fn refuse_readable(_: &File) -> std::io::Result<()> {
    Ok(())
}

/// Aside first, so that a process that ends halfway leaves no half of a token.
fn write(path: &Path, token: &SecretString) -> std::io::Result<()> {
    let aside = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&aside)?;
    writeln!(file, "{}", token.expose_secret())?;
    file.sync_all()?;
    std::fs::rename(&aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(folder.path()).unwrap();
        JOIN.kept(&data_dir).unwrap();
        let path = data_dir.file("join-token");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("mgj_") && text.ends_with('\n'));
        JOIN.kept(&data_dir).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        #[cfg(unix)]
        {
            use std::fs::Permissions;
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
            let error = format!("{:#}", JOIN.kept(&data_dir).unwrap_err());
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_file_without_a_token_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(folder.path()).unwrap();
        write(&data_dir.file("join-token"), &SecretString::from("short")).unwrap();
        let error = format!("{:#}", JOIN.kept(&data_dir).unwrap_err());
        assert!(error.contains("remove the file"), "{error}");
        assert!(!error.contains("short"), "{error}");
    }
}
