//! Encrypts the values of credentials, each bound to where it belongs.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_core::{CredentialKey, ExposeSecret, SecretString, TenantId};

use super::super::keychain;
use super::VaultError;
use crate::files;

const KEY_BYTES: usize = 32;

/// What is sealed with a value, so that none can be passed off as another's.
const PURPOSE: &str = "mcp-gateway credential 1";

/// Where the key of a storage is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeySource {
    /// In a file that only its owner can read.
    File(PathBuf),
    /// In the user's keychain, under this name.
    Keychain(String),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the key file {}", path.display()),
            Self::Keychain(name) => write!(f, "the keychain's entry {name}"),
        }
    }
}

/// The key of a storage. It does not print.
pub(super) struct SealingKey(LessSafeKey);

impl SealingKey {
    /// The key, where there is one.
    pub(super) fn load(source: &KeySource) -> Result<Option<Self>, VaultError> {
        let text = match source {
            KeySource::File(path) => read_private(path)?,
            KeySource::Keychain(name) => keychain::read(name)?,
        };
        let Some(text) = text else { return Ok(None) };
        let bytes = STANDARD.decode(text.trim()).ok();
        let key = bytes.filter(|bytes| bytes.len() == KEY_BYTES);
        let key = key.and_then(|bytes| UnboundKey::new(&AES_256_GCM_SIV, &bytes).ok());
        let key = key.ok_or_else(|| VaultError::NoKey(source.clone()))?;
        Ok(Some(Self(LessSafeKey::new(key))))
    }

    /// Makes a new key.
    pub(super) fn create(source: &KeySource) -> Result<Self, VaultError> {
        let mut bytes = [0; KEY_BYTES];
        rand::fill(&mut bytes).map_err(|_| VaultError::Randomness)?;
        let text = STANDARD.encode(bytes);
        match source {
            KeySource::File(path) => {
                files::replace(path, format!("{text}\n").as_bytes()).map_err(|cause| {
                    VaultError::File {
                        path: path.to_owned(),
                        cause,
                    }
                })?
            }
            KeySource::Keychain(name) => keychain::write(name, &text)?,
        }
        // As it will be read the next time.
        Self::load(source)?.ok_or_else(|| VaultError::NoKey(source.clone()))
    }

    pub(super) fn seal(
        &self,
        place: &Place<'_>,
        value: &SecretString,
    ) -> Result<String, VaultError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| VaultError::Randomness)?;
        let mut sealed = value.expose_secret().as_bytes().to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.bytes()),
                &mut sealed,
            )
            .map_err(|_| VaultError::Randomness)?;
        Ok(STANDARD.encode([&nonce[..], &sealed].concat()))
    }

    pub(super) fn open(
        &self,
        place: &Place<'_>,
        sealed: &str,
        file: &Path,
    ) -> Result<SecretString, VaultError> {
        let refused = || VaultError::NotOurs(PathBuf::from(file));
        let mut bytes = STANDARD.decode(sealed).map_err(|_| refused())?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN).ok_or_else(refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused())?;
        let opened = self
            .0
            .open_in_place(nonce, Aad::from(place.bytes()), sealed)
            .map_err(|_| refused())?;
        let text = std::str::from_utf8(opened).map_err(|_| refused())?;
        Ok(SecretString::from(text))
    }
}

/// What a file says that nobody but its owner can read; `None` when there is none.
fn read_private(path: &Path) -> Result<Option<String>, VaultError> {
    let failed = |cause| VaultError::File {
        path: path.to_owned(),
        cause,
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    if files::is_open_to_others(&file).map_err(failed)? {
        return Err(VaultError::Readable(path.to_owned()));
    }
    let mut text = String::new();
    file.take(1024).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

/// Where a value belongs: everything about it that is not secret.
pub(super) struct Place<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) key: &'a CredentialKey,
    pub(super) created_at: &'a str,
}

impl Place<'_> {
    /// Each part after its length, so that no two places have the same bytes.
    fn bytes(&self) -> Vec<u8> {
        let parts = [
            PURPOSE,
            self.tenant.as_str(),
            self.key.user_id.as_str(),
            &self.key.server,
            &self.key.credential_type,
            self.created_at,
        ];
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }
}
