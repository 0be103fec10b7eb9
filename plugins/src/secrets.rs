//! Finds the secrets that a configuration refers to, within the bounds of the process's role.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use gateway_core::config::{SecretRef, Setting, Violation};
use gateway_core::{SecretString, TenantId};

/// The beginning of every variable that a tenant can refer to in a data plane.
const PREFIX: &str = "MCP_GATEWAY_SECRET";

/// No secret is larger; a reference to a larger file is a mistake.
const MAX_BYTES: u64 = 64 * 1024;

/// Turns references into values.
///
/// On the desktop the configuration is its user's own, so it reaches every variable and file that
/// the user reaches. In a data plane it comes from tenants, who must not read the replica's or
/// each other's secrets: there `from_env: NAME` is the variable `MCP_GATEWAY_SECRET__TENANT__NAME`
/// (the tenant in upper case, hyphens as underscores), and `from_file: NAME` is the file
/// `TENANT/NAME` in the secret directory. A link there may not lead out of the tenant's
/// directory; inside it links are what Kubernetes mounts secrets with.
#[derive(Debug, Clone)]
pub struct SecretResolver {
    reach: Reach,
    variable: fn(&str) -> Option<OsString>,
}

#[derive(Debug, Clone)]
enum Reach {
    /// What the process reaches.
    Everything,
    /// What belongs to the tenant. Without a directory there are no files.
    OwnOnly { directory: Option<PathBuf> },
}

impl SecretResolver {
    /// A resolver that reaches every variable and file.
    pub fn desktop() -> Self {
        Self {
            reach: Reach::Everything,
            variable: |name| env::var_os(name),
        }
    }

    /// A resolver that keeps each tenant to its own variables, and to its own part of
    /// `directory` where one is given.
    pub fn data_plane(directory: Option<PathBuf>) -> Self {
        Self {
            reach: Reach::OwnOnly { directory },
            variable: |name| env::var_os(name),
        }
    }

    /// The value of a setting. `path` is the setting's field, for the error. A file is read at
    /// every call, so that a changed secret is seen.
    ///
    /// # Errors
    /// Names the variable or the file and what is wrong with it, never a value.
    pub fn resolve(
        &self,
        tenant: &TenantId,
        path: &str,
        setting: &Setting,
    ) -> Result<SecretString, Violation> {
        let value = match setting {
            Setting::Literal(value) => return Ok(SecretString::from(value.as_str())),
            Setting::Secret(SecretRef::FromEnv(name)) => self.read_variable(tenant, name),
            Setting::Secret(SecretRef::FromFile(file)) => self.read_file(tenant, file),
            Setting::Secret(SecretRef::FromCredential(name)) => Err(format!(
                "the credential `{name}` cannot be read: this version reads no setting from a \
                 `credential_storage`; use `from_env` or `from_file`"
            )),
        };
        value.map_err(|reason| Violation::new(path, reason))
    }

    fn read_variable(&self, tenant: &TenantId, name: &str) -> Result<SecretString, String> {
        let variable = match &self.reach {
            Reach::Everything if name.is_empty() || name.contains(['=', '\0']) => {
                return Err(format!("`{name}` is no name of an environment variable"));
            }
            Reach::Everything => name.to_owned(),
            Reach::OwnOnly { .. } => tenant_variable(tenant, name)?,
        };
        let Some(value) = (self.variable)(&variable) else {
            return Err(format!("the environment variable `{variable}` is not set"));
        };
        match value.into_string() {
            Ok(value) if !value.is_empty() => Ok(SecretString::from(value)),
            Ok(_) => Err(format!("the environment variable `{variable}` is empty")),
            Err(_) => Err(format!(
                "the environment variable `{variable}` is not text in UTF-8"
            )),
        }
    }

    fn read_file(&self, tenant: &TenantId, file: &Path) -> Result<SecretString, String> {
        match &self.reach {
            Reach::Everything => read_secret(file, file),
            Reach::OwnOnly { directory: None } => Err(
                "secrets from files need a secret directory: start the data plane with \
                     --secret-dir, or use `from_env`"
                    .to_owned(),
            ),
            Reach::OwnOnly {
                directory: Some(directory),
            } => {
                let (named, actual) = tenant_file(directory, tenant, file)?;
                read_secret(&named, &actual)
            }
        }
    }
}

/// The variable that holds a tenant's secret. No two tenants share one: a tenant's part neither
/// begins nor ends with an underscore and a name holds no two in a row, so the last two in a row
/// are where the name begins.
fn tenant_variable(tenant: &TenantId, name: &str) -> Result<String, String> {
    let plain = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.contains("__");
    let tenant = tenant.as_str().to_ascii_uppercase().replace('-', "_");
    if plain {
        Ok(format!("{PREFIX}__{tenant}__{name}"))
    } else {
        Err(format!(
            "`{name}` is no name of a secret: write NAME for the variable \
             `{PREFIX}__{tenant}__NAME`, with letters, digits and single underscores"
        ))
    }
}

/// The file that holds a tenant's secret: as it is named, and as it is when links are followed.
fn tenant_file(
    directory: &Path,
    tenant: &TenantId,
    name: &Path,
) -> Result<(PathBuf, PathBuf), String> {
    let own = directory.join(tenant.as_str());
    let mut components = name.components();
    let plain = match (components.next(), components.next()) {
        // Names that begin with a dot are the mount's own.
        (Some(Component::Normal(only)), None) => {
            only == name.as_os_str() && !only.as_encoded_bytes().starts_with(b".")
        }
        _ => false,
    };
    if !plain {
        return Err(format!(
            "`{}` is no name of a secret: write the name of a file in {}",
            name.display(),
            own.display()
        ));
    }
    let named = own.join(name);
    let followed = |path: &Path| {
        path.canonicalize()
            .map_err(|error| cannot_read(&named, &error))
    };
    // The tenant's directory must not itself be a link, or it could be another tenant's.
    let expected = followed(directory)?.join(tenant.as_str());
    let actual = followed(&named)?;
    if actual.starts_with(&expected) {
        Ok((named, actual))
    } else {
        Err(format!(
            "the file {} is a link that leads out of {}",
            named.display(),
            own.display()
        ))
    }
}

/// Reads `actual`; messages speak of `named`.
fn read_secret(named: &Path, actual: &Path) -> Result<SecretString, String> {
    let failed = |error: std::io::Error| cannot_read(named, &error);
    // Asked before opening: opening a pipe would wait for its writer.
    if !actual.metadata().map_err(failed)?.is_file() {
        return Err(format!("{} is not a regular file", named.display()));
    }
    let mut bytes = Vec::new();
    let file = File::open(actual).map_err(failed)?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!(
            "the file {} is too large for a secret",
            named.display()
        ));
    }
    let Ok(mut text) = String::from_utf8(bytes) else {
        return Err(format!("the file {} is not text in UTF-8", named.display()));
    };
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(format!("the file {} is empty", named.display()));
    }
    Ok(SecretString::from(text))
}

fn cannot_read(file: &Path, error: &std::io::Error) -> String {
    format!("the file {} cannot be read: {error}", file.display())
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
