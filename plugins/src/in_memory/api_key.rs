//! Authentication `api-key`: callers who hold one of the keys whose hashes the settings list.

mod key;

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use gateway_core::config::{Settings, Violation};
use gateway_core::plugin::{AuthProvider, Authentication};
use gateway_core::{CallContext, Credential, ExposeSecret, PluginError, Principal, UserId};
use jiff::Timestamp;
use serde::Deserialize;

use crate::settings;
use key::KeyHash;
pub use key::{NewKey, NewKeyError, new_key};

/// The type of credential that this provider reads.
const CREDENTIAL_TYPE: &str = "api_key";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeySettings {
    #[serde(default)]
    keys: Vec<KeyEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    id: String,
    hash: String,
    user_id: UserId,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    expires_at: Option<String>,
}

/// Knows keys by their ids, and whose each is. Holds hashes only.
#[derive(Debug)]
pub(crate) struct ApiKeys {
    by_id: BTreeMap<String, (KeyHash, Principal)>,
}

impl ApiKeys {
    /// Reads the keys that the settings list, or says everything that is wrong with them.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Vec<Violation>> {
        let KeySettings { keys } = settings::read(settings)?;
        let (mut by_id, mut violations) = (BTreeMap::new(), Vec::new());
        for (index, entry) in keys.into_iter().enumerate() {
            let mut refuse = |field: &str, reason: String| {
                violations.push(Violation::new(format!("keys[{index}].{field}"), reason));
            };
            if !key::is_id(&entry.id) {
                refuse("id", format!("`{}` {}", entry.id, key::ID_RULE));
            }
            if by_id.contains_key(&entry.id) {
                refuse(
                    "id",
                    format!("`{}` is the id of an earlier key already", entry.id),
                );
            }
            let expires_at = entry
                .expires_at
                .map(|text| (text.parse(), text))
                .and_then(|end| {
                    let wrong =
                        |text| format!("`{text}` is no time: write it as 2027-01-01T00:00:00Z");
                    let (parsed, text) = end;
                    parsed
                        .map_err(|_: jiff::Error| refuse("expires_at", wrong(text)))
                        .ok()
                });
            // What stands here may be the key itself by mistake, so it is not repeated.
            let Some(hash) = KeyHash::parse(&entry.hash) else {
                let rule = "must be `sha256:` and the 64 hexadecimal digits of the key's SHA-256";
                refuse("hash", rule.to_owned());
                continue;
            };
            let principal = Principal {
                roles: entry.roles,
                groups: entry.groups,
                expires_at,
                ..Principal::named(entry.user_id)
            };
            by_id.insert(entry.id, (hash, principal));
        }
        match violations.is_empty() {
            true => Ok(Self { by_id }),
            false => Err(violations),
        }
    }

    fn judge(&self, credential: &Credential, now: Timestamp) -> Authentication {
        let rejected = |reason: &str| Authentication::Rejected {
            reason: reason.to_owned(),
        };
        if credential.is_none() {
            return rejected("no API key was presented");
        }
        if credential.credential_type != CREDENTIAL_TYPE {
            return rejected("what was presented is of another type than an API key");
        }
        let text = credential.value.expose_secret();
        let Some(id) = key::id_of(text) else {
            return rejected("what was presented does not have the form of an API key");
        };
        // An unknown id takes as long as a wrong secret: it is compared with what no key has.
        let known = self.by_id.get(id);
        let nobody = KeyHash::default();
        let expected = known.map_or(&nobody, |(hash, _)| hash);
        let is_equal = verify_slices_are_equal(KeyHash::of(text).as_ref(), expected.as_ref());
        match (known, is_equal) {
            (Some((_, principal)), Ok(())) => match principal.expires_at {
                Some(end) if end <= now => rejected(&format!("the key `{id}` expired at {end}")),
                _ => Authentication::Accepted(principal.clone()),
            },
            (Some(_), Err(_)) => rejected(&format!("not the secret of the key `{id}`")),
            (None, _) => rejected("there is no API key with this id"),
        }
    }
}

#[async_trait]
impl AuthProvider for ApiKeys {
    async fn validate_credential(
        &self,
        _context: &CallContext,
        credential: &Credential,
    ) -> Result<Authentication, PluginError> {
        Ok(self.judge(credential, Timestamp::now()))
    }
}

#[cfg(test)]
mod tests;
