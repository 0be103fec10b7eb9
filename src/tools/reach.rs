//! The gateway that a command speaks to: the one that runs, or one of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_data_plane::Limits;
use serde_json::Value;
use tokio::time::Instant;

use super::session::Session;
use super::{Place, ViewArgs};
use crate::config_file::ConfigFile;
use crate::control_client;
use crate::data_dir::DataDir;
use crate::desktop::briefly;
use crate::exit::{Failure, note};
use crate::output::near;

/// How long another process may keep the data directory without being reachable: while it starts
/// or ends, or for a command like this one.
const HELD: Duration = Duration::from_secs(30);

/// How long servers may take to start.
const STARTING: Duration = Duration::from_secs(60);

/// How often to look again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A gateway that is there for the command.
pub(super) struct Reached {
    socket: PathBuf,
}

/// What there is to speak to.
enum Found {
    Running(PathBuf),
    Nothing(DataDir),
}

/// Does the work with the gateway that runs on the data directory; where none does, with one that
/// runs for as long as the work takes. `timeout` is how long a request may take there.
pub(super) async fn with_gateway<T>(
    place: Place,
    timeout: Option<Duration>,
    work: impl AsyncFnOnce(Reached) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match find(&place.data_dir).await? {
        Found::Running(socket) => work(Reached { socket }).await,
        Found::Nothing(data_dir) => {
            let usual = Limits::default();
            let limits = Limits {
                request_timeout: usual.request_timeout.max(timeout.unwrap_or_default()),
                // There is nothing to show before the servers are there.
                list_patience: STARTING,
                ..usual
            };
            let file = ConfigFile::new(place.config);
            let working = async |socket| work(Reached { socket }).await;
            briefly(&file, data_dir, limits, working).await
        }
    }
}

async fn find(data_dir: &Path) -> Result<Found, Failure> {
    // The socket's path is part of an address, which has to be whole.
    let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let socket = control_client::path(&data_dir);
    let until = Instant::now() + HELD;
    let mut has_said = false;
    loop {
        if control_client::is_served(&socket).await? {
            return Ok(Found::Running(socket));
        }
        match DataDir::open(&data_dir) {
            Ok(data_dir) => return Ok(Found::Nothing(data_dir)),
            Err(error) if Instant::now() >= until => return Err(error.into()),
            Err(error) if !data_dir.is_dir() => return Err(error.into()),
            Err(_) => {}
        }
        if !has_said && until.duration_since(Instant::now()) < HELD - Duration::from_secs(1) {
            note("waiting for another process that uses the data directory");
            has_said = true;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

impl Reached {
    /// Opens the endpoint that the flags name, once its servers have started, as far as they do.
    pub(super) async fn open(
        &self,
        view: &ViewArgs,
        timeout: Option<Duration>,
    ) -> Result<Session, Failure> {
        let config = self.ask("/config").await?;
        let tenant = config.pointer("/tenants/0").unwrap_or(&Value::Null);
        let shown = servers_of(tenant, view)?;
        self.wait_for(&shown).await?;
        let path = match tenant["tenant"].as_str() {
            None | Some("default") => view.path(),
            Some(tenant) => format!("/t/{tenant}{}", view.path()),
        };
        Session::open(&self.socket, &path, timeout).await
    }

    async fn ask(&self, target: &str) -> Result<Value, Failure> {
        let answer = control_client::get(&self.socket, target).await?;
        answer.ok_or_else(|| Failure::Failed(anyhow::anyhow!("the gateway has ended meanwhile")))
    }

    /// Waits while one of these servers is starting, and says which of them are not there.
    async fn wait_for(&self, shown: &[String]) -> Result<(), Failure> {
        let until = Instant::now() + STARTING;
        loop {
            let answer = self.ask("/servers").await?;
            let rows = answer.get("servers").and_then(Value::as_array);
            let rows = rows.map_or(&[][..], Vec::as_slice);
            let rows = rows.iter().filter(|row| {
                let name = row["server"].as_str().unwrap_or_default();
                shown.iter().any(|server| server == name)
            });
            let is_starting = rows.clone().any(|row| row["state"] == "starting");
            if !is_starting || Instant::now() >= until {
                rows.for_each(say_outage);
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// The servers that the endpoint shows, by the tenant's configuration.
fn servers_of(tenant: &Value, view: &ViewArgs) -> Result<Vec<String>, Failure> {
    let names = |part: &str| -> Vec<String> {
        let part = tenant.pointer(part).and_then(Value::as_object);
        part.map_or_else(Vec::new, |part| part.keys().cloned().collect())
    };
    let servers = names("/config/servers");
    if let Some(server) = &view.server {
        known("server", server.as_str(), &servers)?;
        return Ok(vec![server.to_string()]);
    }
    let Some(profile) = &view.profile else {
        return Ok(servers);
    };
    known("profile", profile.as_str(), &names("/config/profiles"))?;
    let shown = tenant.pointer(&format!("/config/profiles/{profile}/servers"));
    let shown = shown.and_then(Value::as_array).into_iter().flatten();
    Ok(shown.filter_map(Value::as_str).map(str::to_owned).collect())
}

fn known(kind: &str, name: &str, names: &[String]) -> Result<(), Failure> {
    if names.iter().any(|known| known == name) {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "the gateway has no {kind} `{name}`{}",
        near(name, names.iter().map(String::as_str))
    )))
}

fn say_outage(server: &Value) {
    let name = server["server"].as_str().unwrap_or_default();
    match server["state"].as_str() {
        Some("down") => {
            let reason = server["reason"].as_str().unwrap_or_default();
            note(&format!(
                "server `{name}` is not available, its tools are missing: {reason}"
            ));
        }
        Some("starting") => {
            note(&format!(
                "server `{name}` is still starting, its tools are missing"
            ));
        }
        _ => {}
    }
}
