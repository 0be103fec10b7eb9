//! The file of an encrypted storage: one line that names its state, then one for each credential.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use gateway_core::{CredentialKey, Deadline, SecretString, TenantId, UserId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::keychain::KeychainError;
use super::seal::{KeySource, Place, SealingKey};
use crate::files::{self, Identity};

/// How the first line begins; what follows is new with every change.
const FORMAT: &str = "mcp-gateway-credentials 1 ";

/// A file with more or longer lines was not written here.
const MAX_ENTRIES: usize = 10_000;
const MAX_VALUE_BYTES: usize = 64 * 1024;

/// How often a lock is tried that another process holds.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Why a credential was not stored or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum VaultError {
    #[error("{} cannot be used", path.display())]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{} can be read by others: chmod 600 it", .0.display())]
    Readable(PathBuf),
    #[error("{0} holds no key: 32 bytes in base64")]
    NoKey(KeySource),
    #[error("the key is out of reach")]
    Keychain(#[from] KeychainError),
    #[error("{key} is missing, without which nothing in {} can be read: put it back, or move both away and store the credentials again", vault.display())]
    KeyIsGone { key: KeySource, vault: PathBuf },
    #[error("a credential in {} was sealed with another key, or changed afterwards", .0.display())]
    NotOurs(PathBuf),
    #[error("line {line} of {} is no credential", path.display())]
    Content { path: PathBuf, line: usize },
    #[error("another process kept {} locked", .0.display())]
    Locked(PathBuf),
    #[error("there are {MAX_ENTRIES} credentials already")]
    Full,
    #[error("the value is longer than {MAX_VALUE_BYTES} bytes")]
    TooLong,
    #[error("the system gave no random numbers")]
    Randomness,
}

type Entries = BTreeMap<(TenantId, CredentialKey), Sealed>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sealed {
    created_at: String,
    value: String,
}

/// A credential as a line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    tenant: TenantId,
    user: UserId,
    server: String,
    #[serde(rename = "type")]
    credential_type: String,
    created_at: String,
    sealed: String,
}

struct Contents {
    state: String,
    entries: Entries,
}

/// What was read, and of which file.
struct Seen {
    identity: Identity,
    contents: Arc<Contents>,
}

/// Reads without a lock, since the file is only ever replaced as a whole; changes it under one.
pub(super) struct Vault {
    path: PathBuf,
    source: KeySource,
    key: OnceLock<SealingKey>,
    /// What the file held when it was last looked at.
    last: ArcSwapOption<Contents>,
    seen: ArcSwapOption<Seen>,
}

impl Vault {
    pub(super) fn new(path: PathBuf, source: KeySource) -> Self {
        Self {
            path,
            source,
            key: OnceLock::new(),
            last: ArcSwapOption::empty(),
            seen: ArcSwapOption::empty(),
        }
    }

    pub(super) fn store(
        &self,
        tenant: &TenantId,
        key: &CredentialKey,
        value: &SecretString,
        deadline: Deadline,
    ) -> Result<(), VaultError> {
        if secret_len(value) > MAX_VALUE_BYTES {
            return Err(VaultError::TooLong);
        }
        self.change(deadline, |entries, sealing| {
            let place = (tenant.clone(), key.clone());
            if entries.len() >= MAX_ENTRIES && !entries.contains_key(&place) {
                return Err(VaultError::Full);
            }
            let created_at = Timestamp::now().to_string();
            let sealed = Sealed {
                value: sealing.seal(&at(tenant, key, &created_at), value)?,
                created_at,
            };
            entries.insert(place, sealed);
            Ok(())
        })
    }

    pub(super) fn retrieve(
        &self,
        tenant: &TenantId,
        key: &CredentialKey,
    ) -> Result<Option<SecretString>, VaultError> {
        let contents = self.contents()?;
        self.open(&contents, tenant, key, || self.sealing(&contents))
    }

    /// The same without reading anything; `None` if something has to be read. Asks the system only
    /// whether the file is still the one that was read.
    pub(super) fn retrieve_known(
        &self,
        tenant: &TenantId,
        key: &CredentialKey,
    ) -> Option<Result<Option<SecretString>, VaultError>> {
        let sealing = self.key.get()?;
        let seen = self.seen.load();
        let seen = seen.as_ref()?;
        let now = Identity::of(&self.path.metadata().ok()?);
        (now == seen.identity).then(|| self.open(&seen.contents, tenant, key, || Ok(sealing)))
    }

    /// Asks for the key only where there is something to open.
    fn open<'a>(
        &self,
        contents: &Contents,
        tenant: &TenantId,
        key: &CredentialKey,
        sealing: impl FnOnce() -> Result<&'a SealingKey, VaultError>,
    ) -> Result<Option<SecretString>, VaultError> {
        let Some(sealed) = contents.entries.get(&(tenant.clone(), key.clone())) else {
            return Ok(None);
        };
        let place = at(tenant, key, &sealed.created_at);
        let opened = sealing()?.open(&place, &sealed.value, &self.path);
        opened.map(Some)
    }

    pub(super) fn delete(
        &self,
        tenant: &TenantId,
        key: &CredentialKey,
        deadline: Deadline,
    ) -> Result<(), VaultError> {
        let place = (tenant.clone(), key.clone());
        if !self.contents()?.entries.contains_key(&place) {
            return Ok(());
        }
        self.change(deadline, |entries, _| {
            entries.remove(&place);
            Ok(())
        })
    }

    /// The keys of a user's credentials, in order, with the times at which they were stored.
    pub(super) fn list(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Vec<(CredentialKey, Option<Timestamp>)>, VaultError> {
        let contents = self.contents()?;
        let own = contents
            .entries
            .iter()
            .filter(|((of, key), _)| of == tenant && key.user_id == *user);
        Ok(own
            .map(|((_, key), sealed)| (key.clone(), sealed.created_at.parse().ok()))
            .collect())
    }

    fn change(
        &self,
        deadline: Deadline,
        edit: impl FnOnce(&mut Entries, &SealingKey) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let _lock = self.lock(deadline)?;
        let contents = self.contents()?;
        let sealing = self.sealing(&contents)?;
        let mut entries = contents.entries.clone();
        edit(&mut entries, sealing)?;
        let state = uuid::Uuid::new_v4().to_string();
        files::replace(&self.path, &written(&state, &entries))
            .map_err(|cause| self.failed(cause))?;
        self.last.store(Some(Arc::new(Contents { state, entries })));
        Ok(())
    }

    /// Waits for other processes, and other calls of this one, to be done.
    fn lock(&self, deadline: Deadline) -> Result<File, VaultError> {
        let path = files::beside(&self.path, ".lock");
        let failed = |cause| VaultError::File {
            path: path.clone(),
            cause,
        };
        let mut options = files::private();
        let lock = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::Error(cause)) => return Err(failed(cause)),
                Err(TryLockError::WouldBlock) if deadline.has_passed() => {
                    return Err(VaultError::Locked(path));
                }
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            }
        }
    }

    /// The key; made when there is nothing yet that another one has sealed. Under the lock when
    /// something is to be sealed.
    fn sealing(&self, contents: &Contents) -> Result<&SealingKey, VaultError> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = match SealingKey::load(&self.source)? {
            Some(key) => key,
            None if contents.entries.is_empty() => SealingKey::create(&self.source)?,
            None => {
                return Err(VaultError::KeyIsGone {
                    key: self.source.clone(),
                    vault: self.path.clone(),
                });
            }
        };
        Ok(self.key.get_or_init(|| key))
    }

    /// What the file holds now. The first line tells whether that was read before.
    fn contents(&self) -> Result<Arc<Contents>, VaultError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Arc::new(Contents {
                    state: String::new(),
                    entries: Entries::new(),
                }));
            }
            Err(error) => return Err(self.failed(error)),
        };
        // Before it is read, and of this very file, which is never written to again.
        let identity = file.metadata().map_err(|cause| self.failed(cause))?;
        let identity = Identity::of(&identity);
        let contents = self.read(file)?;
        let seen = Seen {
            identity,
            contents: Arc::clone(&contents),
        };
        self.seen.store(Some(Arc::new(seen)));
        Ok(contents)
    }

    fn read(&self, file: File) -> Result<Arc<Contents>, VaultError> {
        let mut lines = BufReader::new(file).lines();
        let first = lines
            .next()
            .transpose()
            .map_err(|cause| self.failed(cause))?;
        let state = first.as_deref().and_then(|line| line.strip_prefix(FORMAT));
        let state = state.ok_or_else(|| self.unreadable(1))?;
        let last = self.last.load_full();
        if let Some(last) = last.filter(|last| last.state == state) {
            return Ok(last);
        }
        let mut entries = Entries::new();
        for (number, line) in (2..).zip(lines) {
            let line = line.map_err(|cause| self.failed(cause))?;
            let line: Line = serde_json::from_str(&line).map_err(|_| self.unreadable(number))?;
            let key = CredentialKey {
                user_id: line.user,
                server: line.server,
                credential_type: line.credential_type,
            };
            let sealed = Sealed {
                created_at: line.created_at,
                value: line.sealed,
            };
            entries.insert((line.tenant, key), sealed);
            if entries.len() > MAX_ENTRIES {
                return Err(VaultError::Full);
            }
        }
        let contents = Arc::new(Contents {
            state: state.to_owned(),
            entries,
        });
        self.last.store(Some(Arc::clone(&contents)));
        Ok(contents)
    }

    fn failed(&self, cause: io::Error) -> VaultError {
        VaultError::File {
            path: self.path.clone(),
            cause,
        }
    }

    fn unreadable(&self, line: usize) -> VaultError {
        VaultError::Content {
            path: self.path.clone(),
            line,
        }
    }
}

fn secret_len(value: &SecretString) -> usize {
    gateway_core::ExposeSecret::expose_secret(value).len()
}

fn at<'a>(tenant: &'a TenantId, key: &'a CredentialKey, created_at: &'a str) -> Place<'a> {
    Place {
        tenant,
        key,
        created_at,
    }
}

fn written(state: &str, entries: &Entries) -> Vec<u8> {
    let mut bytes = format!("{FORMAT}{state}\n").into_bytes();
    for ((tenant, key), sealed) in entries {
        let line = Line {
            tenant: tenant.clone(),
            user: key.user_id.clone(),
            server: key.server.clone(),
            credential_type: key.credential_type.clone(),
            created_at: sealed.created_at.clone(),
            sealed: sealed.value.clone(),
        };
        // Text as keys and values: there is nothing that JSON cannot hold.
        if serde_json::to_writer(&mut bytes, &line).is_ok() {
            bytes.push(b'\n');
        }
    }
    bytes
}
