//! The root keys under which session ids are sealed, and the file that holds them.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_core::TenantId;
use moka::sync::Cache;

pub(crate) const ID_LEN: usize = 4;
const KEY_LEN: usize = 32;

/// Of how many tenants derived keys are kept.
const MAX_DERIVED: u64 = 10_000;

/// What keys are derived for; each has its own, so that nothing made for one passes for another.
const SESSIONS: &[u8] = b"mcp-gateway session";
const REPLICAS: &[u8] = b"mcp-gateway replicas";
/// The id of a root key, and what was derived of it.
type DerivedKey = ([u8; ID_LEN], [u8; KEY_LEN]);

/// One root key.
#[derive(Clone)]
pub(super) struct RootKey {
    id: [u8; ID_LEN],
    secret: [u8; KEY_LEN],
    /// By which replicas know each other; `None` when it cannot be derived.
    between_replicas: Option<hmac::Key>,
    /// What was derived of late: every request of a session needs its tenant's.
    derived: Cache<TenantId, Arc<RandomizedNonceKey>>,
}

/// The root keys: the first seals, all open.
#[derive(Clone)]
pub struct SessionKeys {
    first: RootKey,
    older: Vec<RootKey>,
}

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("the session key file {} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The file holds something else.
    #[error("line {line} of the session key file {} is no key: a line is ID:KEY, 4 and 32 bytes in base64", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// Others can read the file.
    #[error("the session key file {} can be read by others: chmod 600 it", path.display())]
    Readable {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no random bytes.
    #[error("the system's source of randomness failed")]
    Randomness,
}

impl RootKey {
    fn random() -> Result<Self, KeyError> {
        let (mut id, mut secret) = ([0; ID_LEN], [0; KEY_LEN]);
        rand::fill(&mut id).map_err(|_| KeyError::Randomness)?;
        rand::fill(&mut secret).map_err(|_| KeyError::Randomness)?;
        Ok(Self::new(id, secret))
    }

    fn new(id: [u8; ID_LEN], secret: [u8; KEY_LEN]) -> Self {
        let between_replicas = derive(&secret, REPLICAS, &[]);
        Self {
            id,
            secret,
            between_replicas: between_replicas.map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key)),
            derived: Cache::new(MAX_DERIVED),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let (id, secret) = line.split_once(':')?;
        let id = STANDARD.decode(id).ok()?.try_into().ok()?;
        let secret = STANDARD.decode(secret).ok()?.try_into().ok()?;
        Some(Self::new(id, secret))
    }

    pub(super) fn id(&self) -> [u8; ID_LEN] {
        self.id
    }

    /// What seals and opens the ids of a tenant's sessions.
    pub(super) fn for_tenant(&self, tenant: &TenantId) -> Option<Arc<RandomizedNonceKey>> {
        if let Some(key) = self.derived.get(tenant) {
            return Some(key);
        }
        // A key of the tenant's own, so that no tenant's id opens as another's.
        let key = derive(&self.secret, SESSIONS, tenant.as_str().as_bytes())?;
        let key = Arc::new(RandomizedNonceKey::new(&AES_256_GCM, &key).ok()?);
        self.derived.insert(tenant.clone(), Arc::clone(&key));
        Some(key)
    }

    /// What replicas sign by what they send each other.
    pub(super) fn between_replicas(&self) -> Option<&hmac::Key> {
        self.between_replicas.as_ref()
    }
}

/// A key of its own for each purpose and name (HKDF, RFC 5869).
fn derive(secret: &[u8], purpose: &[u8], name: &[u8]) -> Option<[u8; KEY_LEN]> {
    struct Length;
    impl KeyType for Length {
        fn len(&self) -> usize {
            KEY_LEN
        }
    }
    let root = Salt::new(HKDF_SHA256, purpose).extract(secret);
    let mut key = [0; KEY_LEN];
    root.expand(&[name], Length).ok()?.fill(&mut key).ok()?;
    Some(key)
}

impl SessionKeys {
    /// A key that nobody else has and that ends with the process.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> Result<Self, KeyError> {
        Ok(Self {
            first: RootKey::random()?,
            older: Vec::new(),
        })
    }

    /// Reads the keys of a file; makes the file, readable by its owner only, where there is none.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let failed = |cause| KeyError::File {
            path: path.to_owned(),
            cause,
        };
        match Self::load(path) {
            Err(KeyError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                let keys = Self::random()?;
                keys.write_new(path).map_err(failed)?;
                Ok(keys)
            }
            loaded => loaded,
        }
    }

    /// Reads the keys of a file that is there.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(path).map_err(|cause| KeyError::File {
            path: path.to_owned(),
            cause,
        })?;
        check_mode(path)?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (index, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            let bad = || KeyError::Content {
                path: path.to_owned(),
                line: index + 1,
            };
            keys.push(RootKey::parse(line.trim()).ok_or_else(bad)?);
        }
        let mut keys = keys.into_iter();
        let none = || KeyError::Content {
            path: path.to_owned(),
            line: 1,
        };
        Ok(Self {
            first: keys.next().ok_or_else(none)?,
            older: keys.collect(),
        })
    }

    fn write_new(&self, path: &Path) -> io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        writeln!(
            file,
            "{}:{}",
            STANDARD.encode(self.first.id),
            STANDARD.encode(self.first.secret)
        )?;
        file.sync_all()
    }

    /// The same with the first of others behind them.
    #[cfg(test)]
    pub(crate) fn and_older(mut self, others: &Self) -> Self {
        self.older.push(others.first.clone());
        self
    }

    /// Of each root key, in their order, its id and a key for another purpose than sessions.
    pub(crate) fn derive_all(&self, purpose: &[u8]) -> Option<Vec<DerivedKey>> {
        let all = std::iter::once(&self.first).chain(&self.older);
        all.map(|key| Some((key.id, derive(&key.secret, purpose, b"")?)))
            .collect()
    }

    pub(super) fn current(&self) -> &RootKey {
        &self.first
    }

    pub(super) fn by_id(&self, id: [u8; ID_LEN]) -> Option<&RootKey> {
        std::iter::once(&self.first)
            .chain(&self.older)
            .find(|key| key.id == id)
    }
}

#[cfg(unix)]
fn check_mode(path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |cause| KeyError::File {
        path: path.to_owned(),
        cause,
    };
    let mode = std::fs::metadata(path)
        .map_err(failed)?
        .permissions()
        .mode();
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(KeyError::Readable {
            path: path.to_owned(),
        })
    }
}

#[cfg(not(unix))]
fn check_mode(_: &Path) -> Result<(), KeyError> {
    Ok(())
}

impl std::fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionKeys")
            .field("keys", &(1 + self.older.len()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("session.key");
        let made = SessionKeys::load_or_create(&path).unwrap();
        let read = SessionKeys::load_or_create(&path).unwrap();
        assert_eq!(made.first.secret, read.first.secret);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("session.key");
        SessionKeys::load_or_create(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            SessionKeys::load_or_create(&path),
            Err(KeyError::Readable { .. })
        ));
    }

    #[test]
    fn a_bad_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("session.key");
        SessionKeys::load_or_create(&path).unwrap();
        let good = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{good}nonsense\n")).unwrap();
        let error = SessionKeys::load_or_create(&path).unwrap_err();
        assert!(
            matches!(error, KeyError::Content { line: 2, .. }),
            "{error}"
        );
    }
}
