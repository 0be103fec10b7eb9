//! How the servers of a file are in the gateway that runs on a data directory.

use std::path::Path;

use gateway_core::config::ServerConfig;
use gateway_core::{ServerName, TenantId};
use serde_json::Value;

use crate::exit::Failure;

/// What `/config` shows in the place of what may be a secret.
const HIDDEN: &str = "(hidden)";

/// What a running gateway says of its servers.
pub(super) enum Running {
    Nothing,
    Gateway {
        /// The answer of `/servers`.
        servers: Value,
        /// The answer of `/config`.
        config: Value,
    },
}

impl Running {
    #[cfg(unix)]
    pub(super) fn ask(data_dir: &Path) -> Result<Self, Failure> {
        use crate::control_client::{get, path};
        use anyhow::Context as _;
        let socket = path(data_dir);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the runtime cannot be started")?;
        runtime.block_on(async {
            let Some(servers) = get(&socket, "/servers").await? else {
                return Ok(Self::Nothing);
            };
            // One that ends in between runs no more.
            let config = get(&socket, "/config").await?;
            Ok(config.map_or(Self::Nothing, |config| Self::Gateway { servers, config }))
        })
    }

    #[cfg(not(unix))]
    pub(super) fn ask(_: &Path) -> Result<Self, Failure> {
        Ok(Self::Nothing)
    }

    /// Adds a server's state to what the file says of it: `-` where the gateway runs by another
    /// file, or has not taken the edit.
    pub(super) fn add_to(
        &self,
        row: &mut Value,
        tenant: &TenantId,
        name: &ServerName,
        server: &ServerConfig,
    ) {
        let Self::Gateway { servers, config } = self else {
            row["state"] = "not running".into();
            return;
        };
        let found = servers["servers"].as_array().into_iter().flatten();
        let found = found
            .filter(|found| found["tenant"] == tenant.as_str() && found["server"] == name.as_str())
            .find(|_| is_same(config, tenant, name, server));
        let Some(found) = found else {
            row["state"] = "-".into();
            return;
        };
        let at = |place: &str| found.pointer(place).cloned().unwrap_or_default();
        row["state"] = match found["state"].as_str() {
            Some("starting") => "connecting".into(),
            Some("down") => "failed".into(),
            _ => found["state"].clone(),
        };
        row["tools"] = at("/tools/count");
        row["reason"] = found["reason"].clone();
        for field in ["last_error", "sessions", "protocol_version", "revision"] {
            row[field] = found[field].clone();
        }
        row["tool_names"] = at("/tools/names");
    }
}

/// Whether the gateway has the server that the file describes, as far as it shows what it has:
/// what it hides is taken for the same.
fn is_same(config: &Value, tenant: &TenantId, name: &ServerName, server: &ServerConfig) -> bool {
    let tenants = config["tenants"].as_array().into_iter().flatten();
    let in_force = tenants
        .filter(|found| found["tenant"] == tenant.as_str())
        .find_map(|found| found.pointer("/config/servers")?.get(name.as_str()));
    let written = serde_json::to_value(server).unwrap_or_default();
    in_force.is_some_and(|shown| fits(shown, &written))
}

fn fits(shown: &Value, written: &Value) -> bool {
    match (shown, written) {
        (Value::Object(shown), Value::Object(written)) => {
            shown.len() == written.len()
                && shown.iter().all(|(key, shown)| {
                    written.get(key).is_some_and(|written| fits(shown, written))
                })
        }
        (Value::Array(shown), Value::Array(written)) => {
            let mut pairs = shown.iter().zip(written);
            shown.len() == written.len() && pairs.all(|(shown, written)| fits(shown, written))
        }
        (Value::String(shown), Value::String(written)) => {
            let ends = shown.split_once(HIDDEN).zip(shown.rsplit_once(HIDDEN));
            shown == written
                || ends.is_some_and(|((first, _), (_, last))| {
                    written.starts_with(first) && written.ends_with(last)
                })
        }
        _ => shown == written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_taken_for_the_same() {
        let fits = |shown: &str, written: &str| fits(&shown.into(), &written.into());
        assert!(fits("https://x/?(hidden)", "https://x/?a=1#b"));
        assert!(fits("a", "a") && fits("(hidden)", "a"));
        assert!(!fits("https://x/?(hidden)", "https://y/?a=1"));
        assert!(!fits("a", "b"));
    }
}
