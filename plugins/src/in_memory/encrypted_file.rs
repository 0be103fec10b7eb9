//! Credential storage `encrypted-file`: sealed values in one file, under a key in another.

mod seal;
mod vault;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::config::{Settings, Violation};
use gateway_core::plugin::CredentialStorage;
use gateway_core::{
    CallContext, CredentialEntry, CredentialKey, ErrorKind, PluginError, SecretString, UserId,
};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::pace::Pace;
use crate::settings;
use seal::KeySource;
use vault::{Vault, VaultError};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileSettings {
    path: Option<PathBuf>,
    key_file: Option<PathBuf>,
    key_in_keychain: bool,
}

/// Keeps credentials in a file that is replaced as a whole with every change. Several processes
/// may use the same file.
pub(crate) struct EncryptedFile {
    vault: Arc<Vault>,
    /// Calls of this process take turns here, where waiting holds no thread.
    turns: Arc<Semaphore>,
    /// How long the system takes to say whether the file has changed.
    pace: Pace,
}

impl EncryptedFile {
    /// Says what is wrong with settings. No file is touched.
    pub(crate) fn validate(settings: &Settings) -> Vec<Violation> {
        let read = match settings::read::<FileSettings>(settings) {
            Ok(read) => read,
            Err(violations) => return violations,
        };
        if read.key_in_keychain && read.key_file.is_some() {
            let reason = "says another place for the key than `key_file`: keep one of the two";
            return vec![Violation::new("key_in_keychain", reason)];
        }
        let paths = [("path", read.path), ("key_file", read.key_file)];
        let empty = |path: &PathBuf| path.file_name().is_none();
        let wrong = paths
            .iter()
            .filter(|(_, path)| path.as_ref().is_some_and(empty));
        wrong
            .map(|(field, _)| Violation::new(*field, "names no file"))
            .collect()
    }

    /// Files without a folder of their own are in `data_dir`. Nothing is read or made yet.
    pub(crate) fn new(settings: &Settings, data_dir: &Path) -> Result<Self, Vec<Violation>> {
        let read: FileSettings = settings::read(settings)?;
        let path = data_dir.join(read.path.unwrap_or_else(|| "credentials".into()));
        let key = data_dir.join(read.key_file.unwrap_or_else(|| "credentials.key".into()));
        if path == key {
            let reason = "is the file of the credentials itself: name another";
            return Err(vec![Violation::new("key_file", reason)]);
        }
        let source = match read.key_in_keychain {
            true => KeySource::Keychain(format!("key of {}", path.display())),
            false => KeySource::File(key),
        };
        Ok(Self {
            vault: Arc::new(Vault::new(path, source)),
            turns: Arc::new(Semaphore::new(1)),
            pace: Pace::default(),
        })
    }

    /// Works on the file in a thread where that may block. Work that was begun is done, whether
    /// or not its caller still waits.
    async fn work<T: Send + 'static>(
        &self,
        context: &CallContext,
        work: impl FnOnce(&Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, PluginError> {
        let late = || {
            let message = "the credential storage did not answer in time";
            PluginError::new(ErrorKind::DeadlineExceeded, message)
        };
        if context.deadline.has_passed() {
            return Err(late());
        }
        let (vault, turns) = (Arc::clone(&self.vault), Arc::clone(&self.turns));
        let done = async {
            let turn = turns.acquire_owned().await;
            let work = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                work(&vault)
            });
            work.await
        };
        let deadline = Instant::from_std(context.deadline.instant());
        match timeout_at(deadline, done).await {
            Ok(Ok(outcome)) => outcome.map_err(PluginError::from),
            Ok(Err(ended)) => {
                let message = "the credential storage failed";
                Err(PluginError::with_cause(ErrorKind::Internal, message, ended))
            }
            Err(_) => Err(late()),
        }
    }
}

impl From<VaultError> for PluginError {
    /// Where the files are is for the log, not for clients.
    fn from(error: VaultError) -> Self {
        let (kind, message) = match &error {
            VaultError::TooLong => (ErrorKind::InvalidArgument, "the credential is too long"),
            VaultError::Full => (
                ErrorKind::ResourceExhausted,
                "the credential storage is full",
            ),
            VaultError::Locked(_) => (
                ErrorKind::DeadlineExceeded,
                "the credential storage is in use",
            ),
            _ => (
                ErrorKind::Unavailable,
                "the credential storage cannot be used",
            ),
        };
        PluginError::with_cause(kind, message, error)
    }
}

#[async_trait]
impl CredentialStorage for EncryptedFile {
    async fn store(
        &self,
        context: &CallContext,
        key: &CredentialKey,
        value: SecretString,
    ) -> Result<(), PluginError> {
        let (tenant, key, deadline) = (context.tenant.clone(), key.clone(), context.deadline);
        self.work(context, move |vault| {
            vault.store(&tenant, &key, &value, deadline)
        })
        .await
    }

    async fn retrieve(
        &self,
        context: &CallContext,
        key: &CredentialKey,
    ) -> Result<Option<SecretString>, PluginError> {
        if self.pace.allows() {
            let began = Instant::now();
            let known = self.vault.retrieve_known(&context.tenant, key);
            self.pace.note(began.elapsed());
            if let Some(known) = known {
                return known.map_err(PluginError::from);
            }
        }
        let (tenant, key) = (context.tenant.clone(), key.clone());
        self.work(context, move |vault| vault.retrieve(&tenant, &key))
            .await
    }

    async fn delete(&self, context: &CallContext, key: &CredentialKey) -> Result<(), PluginError> {
        let (tenant, key, deadline) = (context.tenant.clone(), key.clone(), context.deadline);
        self.work(context, move |vault| vault.delete(&tenant, &key, deadline))
            .await
    }

    async fn list(
        &self,
        context: &CallContext,
        user: &UserId,
    ) -> Result<Vec<CredentialEntry>, PluginError> {
        let (tenant, user) = (context.tenant.clone(), user.clone());
        let listed = self.work(context, move |vault| vault.list(&tenant, &user));
        let entries = listed
            .await?
            .into_iter()
            .map(|(key, created_at)| CredentialEntry {
                server: key.server,
                credential_type: key.credential_type,
                created_at,
                expires_at: None,
            });
        Ok(entries.collect())
    }
}

#[cfg(test)]
mod killed;
#[cfg(test)]
mod tests;
