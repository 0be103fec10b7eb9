//! Credential storage `keychain`: the keychain of the user's own session.
//!
//! On Linux that is the Secret Service, which GNOME Keyring and KWallet speak.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::plugin::CredentialStorage;
use gateway_core::{
    CallContext, CredentialEntry, CredentialKey, Deadline, ErrorKind, ExposeSecret, PluginError,
    SecretString, TenantId, UserId,
};
use jiff::Timestamp;
use keyring::Entry;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::files;

/// Under what the keychain shows everything that is kept here.
const SERVICE: &str = "mcp-gateway";

/// A keychain finds what is named; what there is of a user stands in an entry of its own.
const INDEX: &str = "index";

/// How many credentials one user may have: the index is read and written as a whole.
const MAX_OF_USER: usize = 1_000;

/// How often the lock is tried that another process holds.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// How many calls may wait for the keychain at once; each holds a thread.
const MAX_CALLS: usize = 16;

/// Why the keychain did not do as asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeychainError {
    #[error("the keychain did not answer as asked: is its service running, and unlocked?")]
    Service(#[from] keyring::Error),
    #[error("{} cannot be used", .0.display())]
    Lock(PathBuf, #[source] io::Error),
    #[error("another process kept {} locked", .0.display())]
    Locked(PathBuf),
    #[error("what the keychain says of the user's credentials cannot be read")]
    Index(#[source] serde_json::Error),
    #[error("the user has {MAX_OF_USER} credentials already")]
    Full,
}

/// A credential in the index of its user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Listed {
    server: String,
    credential_type: String,
    created_at: Timestamp,
}

/// Keeps credentials in the keychain. A lock file makes processes take turns that change them.
pub(crate) struct Keychain {
    lock: PathBuf,
    calls: Arc<Semaphore>,
}

impl Keychain {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self {
            lock: data_dir.join("keychain.lock"),
            calls: Arc::new(Semaphore::new(MAX_CALLS)),
        }
    }

    /// Works with the keychain in a thread where that may block: a keychain may ask its user first.
    async fn work<T: Send + 'static>(
        &self,
        context: &CallContext,
        work: impl FnOnce() -> Result<T, KeychainError> + Send + 'static,
    ) -> Result<T, PluginError> {
        let late = || {
            let message = "the keychain did not answer in time: is it waiting to be unlocked?";
            PluginError::new(ErrorKind::DeadlineExceeded, message)
        };
        if context.deadline.has_passed() {
            return Err(late());
        }
        let calls = Arc::clone(&self.calls);
        let done = async {
            let call = calls.acquire_owned().await;
            let work = tokio::task::spawn_blocking(move || {
                let _call = call;
                work()
            });
            work.await
        };
        let deadline = Instant::from_std(context.deadline.instant());
        match timeout_at(deadline, done).await {
            Ok(Ok(outcome)) => outcome.map_err(PluginError::from),
            Ok(Err(ended)) => {
                let message = "the keychain failed";
                Err(PluginError::with_cause(ErrorKind::Internal, message, ended))
            }
            Err(_) => Err(late()),
        }
    }
}

impl From<KeychainError> for PluginError {
    fn from(error: KeychainError) -> Self {
        let kind = match error {
            KeychainError::Full => ErrorKind::ResourceExhausted,
            KeychainError::Locked(_) => ErrorKind::DeadlineExceeded,
            _ => ErrorKind::Unavailable,
        };
        PluginError::with_cause(kind, "the keychain cannot be used", error)
    }
}

/// The name of a value, in a form in which no two are the same.
fn name_of(tenant: &TenantId, key: &CredentialKey) -> String {
    let parts = [
        tenant.as_str(),
        key.user_id.as_str(),
        &key.server,
        &key.credential_type,
    ];
    serde_json::json!(parts).to_string()
}

fn index_of(tenant: &TenantId, user: &UserId) -> String {
    serde_json::json!([INDEX, tenant, user]).to_string()
}

pub(super) fn read(name: &str) -> Result<Option<String>, KeychainError> {
    match Entry::new(SERVICE, name)?.get_password() {
        Ok(value) => Ok(Some(value)),
        Err(keyring::Error::NoEntry) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn write(name: &str, value: &str) -> Result<(), KeychainError> {
    Ok(Entry::new(SERVICE, name)?.set_password(value)?)
}

fn remove(name: &str) -> Result<(), KeychainError> {
    match Entry::new(SERVICE, name)?.delete_credential() {
        Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn listed(tenant: &TenantId, user: &UserId) -> Result<Vec<Listed>, KeychainError> {
    match read(&index_of(tenant, user))? {
        Some(text) => serde_json::from_str(&text).map_err(KeychainError::Index),
        None => Ok(Vec::new()),
    }
}

fn write_index(
    tenant: &TenantId,
    user: &UserId,
    mut all: Vec<Listed>,
) -> Result<(), KeychainError> {
    all.sort();
    let index = index_of(tenant, user);
    match all.is_empty() {
        true => remove(&index),
        false => write(
            &index,
            &serde_json::to_string(&all).map_err(KeychainError::Index)?,
        ),
    }
}

/// The index comes first, so that whenever this is broken off nothing is stored that is not listed.
fn store(
    tenant: &TenantId,
    key: &CredentialKey,
    value: &SecretString,
) -> Result<(), KeychainError> {
    let mut all = without(listed(tenant, &key.user_id)?, key);
    if all.len() >= MAX_OF_USER {
        return Err(KeychainError::Full);
    }
    all.push(Listed {
        server: key.server.clone(),
        credential_type: key.credential_type.clone(),
        created_at: Timestamp::now(),
    });
    write_index(tenant, &key.user_id, all)?;
    write(&name_of(tenant, key), value.expose_secret())
}

fn delete(tenant: &TenantId, key: &CredentialKey) -> Result<(), KeychainError> {
    remove(&name_of(tenant, key))?;
    let all = listed(tenant, &key.user_id)?;
    let left = without(all.clone(), key);
    match left == all {
        true => Ok(()),
        false => write_index(tenant, &key.user_id, left),
    }
}

fn without(mut all: Vec<Listed>, key: &CredentialKey) -> Vec<Listed> {
    all.retain(|one| one.server != key.server || one.credential_type != key.credential_type);
    all
}

/// Waits for other processes, and other calls of this one, that change something.
fn lock(path: &Path, deadline: Deadline) -> Result<File, KeychainError> {
    let failed = |error| KeychainError::Lock(path.to_owned(), error);
    let mut options = files::private();
    let options = options.write(true).create(true).truncate(false);
    let lock = options.open(path).map_err(failed)?;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) if deadline.has_passed() => {
                return Err(KeychainError::Locked(path.to_owned()));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
        }
    }
}

#[async_trait]
impl CredentialStorage for Keychain {
    async fn store(
        &self,
        context: &CallContext,
        key: &CredentialKey,
        value: SecretString,
    ) -> Result<(), PluginError> {
        let (tenant, key, deadline) = (context.tenant.clone(), key.clone(), context.deadline);
        let path = self.lock.clone();
        let work = move || {
            let _lock = lock(&path, deadline)?;
            store(&tenant, &key, &value)
        };
        self.work(context, work).await
    }

    async fn retrieve(
        &self,
        context: &CallContext,
        key: &CredentialKey,
    ) -> Result<Option<SecretString>, PluginError> {
        let name = name_of(&context.tenant, key);
        let found = self.work(context, move || read(&name)).await?;
        Ok(found.map(SecretString::from))
    }

    async fn delete(&self, context: &CallContext, key: &CredentialKey) -> Result<(), PluginError> {
        let (tenant, key, deadline) = (context.tenant.clone(), key.clone(), context.deadline);
        let path = self.lock.clone();
        let work = move || {
            let _lock = lock(&path, deadline)?;
            delete(&tenant, &key)
        };
        self.work(context, work).await
    }

    async fn list(
        &self,
        context: &CallContext,
        user: &UserId,
    ) -> Result<Vec<CredentialEntry>, PluginError> {
        let (tenant, user) = (context.tenant.clone(), user.clone());
        let all = self.work(context, move || listed(&tenant, &user)).await?;
        let entries = all.into_iter().map(|one| CredentialEntry {
            server: one.server,
            credential_type: one.credential_type,
            created_at: Some(one.created_at),
            expires_at: None,
        });
        Ok(entries.collect())
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
