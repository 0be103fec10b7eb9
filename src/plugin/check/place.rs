//! Where the plugin is that is checked, and the way to it.

#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use clap::Args;
use gateway_core::config::{SecretRef, Setting};
use gateway_core::{Deadline, ExposeSecret as _, TenantId};
use gateway_mcp::client::{
    ChildCommand, ClientError, ClientHello, Connector, HttpEndpoint, LastWords, NetworkPolicy,
    Peer, TlsMaterial,
};
use gateway_mcp::version::{Era, Version};
use gateway_plugins::{Dial, SecretResolver};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::exit::Failure;

/// Where MCP servers answer, unless it is said otherwise.
const PATH: &str = "/mcp";

/// The longest answer that is read.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// How long a server may stay silent before it is taken for a legacy one.
const SILENCE: Duration = Duration::from_secs(10);

/// How long commands may take to end.
const ENDING: Duration = Duration::from_secs(6);

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct PlaceArgs {
    /// Where the plugin's server answers; without a path, at /mcp.
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// The unix socket on which the plugin's server answers HTTP, at /mcp.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// The program of a server that is started and spoken to over its standard input; comes last, with the
    /// program's arguments behind it.
    #[arg(long, value_name = "PROGRAM")]
    command: Option<String>,

    /// The program's arguments, best behind `--`.
    #[arg(
        value_name = "ARGUMENT",
        conflicts_with_all = ["url", "socket"],
        allow_hyphen_values = true,
        trailing_var_arg = true
    )]
    arguments: Vec<String>,

    /// The environment variable that holds the bearer token which the server wants.
    #[arg(long, value_name = "NAME", conflicts_with = "command")]
    bearer_from_env: Option<String>,

    /// The file that holds the bearer token which the server wants.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["command", "bearer_from_env"])]
    bearer_from_file: Option<PathBuf>,

    /// The authorities of which one must have signed the certificate of an https server, as PEM. Left out: those of
    /// the system.
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    ca: Option<PathBuf>,

    /// The certificate that is shown to a server that asks for one, as PEM.
    #[arg(
        long,
        value_name = "FILE",
        requires = "key",
        conflicts_with = "command"
    )]
    cert: Option<PathBuf>,

    /// The key of that certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// The way to one server.
#[derive(Clone)]
pub(super) struct Place {
    /// The address, or the program.
    pub(super) name: String,
    way: Way,
    tasks: TaskTracker,
    last_words: LastWords,
}

#[derive(Clone)]
enum Way {
    Http(Arc<HttpEndpoint>),
    Command(Box<ChildCommand>),
}

/// The same within one era.
struct WithinEra {
    place: Place,
    era: Option<Era>,
}

impl PlaceArgs {
    /// Touches no network and starts nothing.
    pub(super) fn place(&self) -> Result<Place, Failure> {
        let (tasks, last_words) = (TaskTracker::new(), LastWords::default());
        let (name, way) = match (&self.url, &self.socket, &self.command) {
            (Some(url), ..) => self.http(&with_path(url))?,
            #[cfg(unix)]
            (_, Some(socket), _) => {
                self.http(&format!("unix://{}", absolute(socket)?.display()))?
            }
            (.., Some(program)) => {
                let mut command = ChildCommand::new(program, program);
                command.args = self.arguments.clone();
                command.probe_timeout = SILENCE;
                command.tasks = tasks.clone();
                command.last_words = Some(last_words.clone());
                let words = [program].into_iter().chain(&self.arguments);
                let name = words.map(String::as_str).collect::<Vec<_>>().join(" ");
                (name, Way::Command(Box::new(command)))
            }
            _ => return Err(Failure::invalid("say --url, --socket or --command")),
        };
        Ok(Place {
            name,
            way,
            tasks,
            last_words,
        })
    }

    fn http(&self, url: &str) -> Result<(String, Way), Failure> {
        let connector = self.connector()?;
        let endpoint = HttpEndpoint::new(url, &connector, self.headers()?, MAX_BYTES);
        let endpoint = endpoint.map_err(|error| Failure::invalid(error.to_string()))?;
        Ok((endpoint.name().to_string(), Way::Http(Arc::new(endpoint))))
    }

    fn connector(&self) -> Result<Connector, Failure> {
        let connector = Connector::new(NetworkPolicy::desktop()).context("TLS cannot be set up")?;
        let read = |flag: &str, file: &Option<PathBuf>| {
            let Some(file) = file else { return Ok(None) };
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::invalid(format!("{flag} {}: {error}", file.display())));
            text.map(Some)
        };
        let (ca, cert, key) = (
            read("--ca", &self.ca)?,
            read("--cert", &self.cert)?,
            read("--key", &self.key)?,
        );
        if ca.is_none() && cert.is_none() {
            return Ok(connector);
        }
        let material = TlsMaterial {
            ca: ca.as_deref(),
            cert: cert.as_deref(),
            key: key.as_deref(),
        };
        let connector = connector.with_tls(material);
        connector.map_err(|error| Failure::invalid(format!("--{} {error}", error.field())))
    }

    fn headers(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        let (flag, secret) = match (&self.bearer_from_env, &self.bearer_from_file) {
            (Some(name), _) => ("--bearer-from-env", SecretRef::FromEnv(name.clone())),
            (_, Some(file)) => ("--bearer-from-file", SecretRef::FromFile(file.clone())),
            _ => return Ok(headers),
        };
        let token = resolve(flag, &Setting::Secret(secret))?;
        let value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
        let mut value =
            value.map_err(|_| Failure::invalid(format!("{flag}: it cannot stand in a header")))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(headers)
    }
}

/// The value that a setting stands for; `field` is where the setting is.
pub(super) fn resolve(
    field: &str,
    setting: &Setting,
) -> Result<gateway_core::SecretString, Failure> {
    let resolved = SecretResolver::desktop().resolve(&TenantId::default(), field, setting);
    resolved.map_err(|why| Failure::invalid(format!("{}: {}", why.path, why.reason)))
}

fn with_path(url: &str) -> String {
    let below = url.split_once("://").map_or(url, |(_, below)| below);
    match below.split_once('/') {
        None => format!("{url}{PATH}"),
        Some((_, "")) => format!("{}{PATH}", url.trim_end_matches('/')),
        Some(_) => url.to_owned(),
    }
}

#[cfg(unix)]
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let path = std::path::absolute(path);
    Ok(path.context("the current folder is not known")?)
}

impl Place {
    /// The way to it; without `era`, the era is found out.
    pub(super) fn dial(&self, era: Option<Era>) -> Arc<dyn Dial> {
        Arc::new(WithinEra {
            place: self.clone(),
            era,
        })
    }

    /// Why it is of no use, and what a person can do to see more.
    pub(super) fn unusable(&self, error: ClientError) -> String {
        let look = self.way_to_look(&error);
        let why = match error {
            ClientError::ServerExited { status, .. } => {
                let status = status.map(|status| format!(" ({status})"));
                format!("the command ended{}", status.unwrap_or_default())
            }
            error => format!("{:#}", anyhow::Error::new(error)),
        };
        format!("{why}\n{look}")
    }

    fn way_to_look(&self, error: &ClientError) -> String {
        let said = self.last_words.lines();
        match &self.way {
            _ if error.is_about_credentials() => {
                "it wants a bearer token: give --bearer-from-env NAME or --bearer-from-file FILE"
                    .to_owned()
            }
            Way::Http(_) => format!("see whether it runs, and what it answers: {}", self.curl()),
            Way::Command(_) if said.is_empty() => format!("see what it does: {}", self.name),
            Way::Command(_) => {
                let lines = said.iter().map(|line| format!("\n  | {line}"));
                format!("it wrote to standard error:{}", lines.collect::<String>())
            }
        }
    }

    fn curl(&self) -> String {
        match self.name.strip_prefix("unix://") {
            Some(socket) => format!("curl -i --unix-socket {socket} http://localhost{PATH}"),
            None => format!("curl -i {}", self.name),
        }
    }

    /// Waits until the commands that were started are gone.
    pub(super) async fn leave(&self) {
        self.tasks.close();
        // Whoever is not gone by then is killed when this process ends.
        timeout(ENDING, self.tasks.wait()).await.ok();
        self.tasks.reopen();
    }
}

#[async_trait]
impl Dial for WithinEra {
    async fn dial(&self, deadline: Deadline) -> Result<Peer, ClientError> {
        let hello = ClientHello {
            name: "mcp-gateway".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: "{}".to_owned(),
            legacy_version: Version::LATEST_LEGACY,
        };
        match &self.place.way {
            Way::Http(endpoint) => {
                Peer::connect_http(Arc::clone(endpoint), hello, self.era, deadline).await
            }
            Way::Command(command) => {
                Peer::spawn((**command).clone(), hello, self.era, deadline).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_is_that_of_mcp() {
        for (given, due) in [
            ("http://a:1", "http://a:1/mcp"),
            ("http://a:1/", "http://a:1/mcp"),
            ("http://a:1/b", "http://a:1/b"),
        ] {
            assert_eq!(with_path(given), due);
        }
    }
}
