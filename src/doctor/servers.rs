//! Every server, tried: started or contacted by itself, and ended again.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::IsTerminal as _;

use futures_util::StreamExt as _;
use gateway_core::ServerName;
use gateway_core::config::{CredentialsMode, ServerConfig, ServerSpec};
use gateway_data_plane::NotUsable;
use gateway_mcp::client::{ClientError, ConnectError, ServerHello};
use serde_json::Value;

use super::credentials::{Given, Purse, causes};
use super::finding::quoted_text;
use super::{Finding, Readable};
use crate::exit::note;

/// How many are tried at once.
const AT_ONCE: usize = 8;

/// Programs that fetch what they run when they run it for the first time.
const FETCHING: [&str; 8] = [
    "npx", "uvx", "docker", "bunx", "pnpm", "deno", "pipx", "podman",
];

/// A server that is tried.
#[derive(Clone, Copy)]
struct Tried<'a> {
    readable: Readable<'a>,
    purse: &'a Purse<'a>,
    name: &'a ServerName,
    server: &'a ServerConfig,
}

/// Tries every server but those that are known not to start. A credential storage that is out of
/// order has been told of already.
pub(super) async fn look(
    readable: Readable<'_>,
    unstartable: &BTreeSet<ServerName>,
    storage_in_order: bool,
) -> Vec<Finding> {
    let Some(purse) = Purse::of(readable, storage_in_order) else {
        return Vec::new();
    };
    let purse = &purse;
    let servers = readable.document.config.servers.iter();
    let trials: Vec<_> = servers
        .filter(|(name, _)| !unstartable.contains(*name))
        .map(|(name, server)| Tried {
            readable,
            purse,
            name,
            server,
        })
        .map(Tried::run)
        .collect();
    if !trials.is_empty() && std::io::stderr().is_terminal() {
        let patience = readable.patient.timeout;
        note(&format!(
            "trying the servers, for {patience:?} each at the most …"
        ));
    }
    let findings: Vec<Option<Finding>> = futures_util::stream::iter(trials)
        .buffered(AT_ONCE)
        .collect()
        .await;
    findings.into_iter().flatten().collect()
}

impl Tried<'_> {
    /// `None`: what is wrong has been said of the configuration.
    async fn run(self) -> Option<Finding> {
        let name = self.name;
        let credential = match self.purse.give(name, self.server).await {
            Given::Nothing => None,
            Given::Credential(headers) => Some(headers),
            Given::Lacking(finding) => return Some(finding),
        };
        let is_without = credential.is_none() && self.server.credentials != CredentialsMode::None;
        let is_command = matches!(self.server.spec, ServerSpec::Command { .. });
        if is_without && is_command && self.server.credentials == CredentialsMode::Required {
            let what =
                format!("server `{name}` was not started: it wants a credential of its user");
            return Some(Finding::note(what).at(self.place()));
        }
        let patient = self.readable.patient;
        let trial = patient.permits.try_server(
            &self.readable.document.config.tenant,
            (name, self.server),
            (&self.purse.user, credential),
            patient.timeout,
        );
        match Box::pin(trial).await {
            Ok(hello) => {
                let what = format!("server `{name}` answers: {}", introduction(&hello));
                Some(Finding::ok(what).at(self.place()))
            }
            Err(NotUsable::Invalid(_)) => None,
            Err(NotUsable::Credential(reason)) => {
                let what = format!("server `{name}` was not tried: {reason}");
                Some(
                    Finding::trouble(what, self.readable.edit("plugins.auth_proxy"))
                        .at(self.place()),
                )
            }
            Err(NotUsable::Failed { error, .. }) if is_without && error.is_about_credentials() => {
                let what = format!("server `{name}` answers, and wants a credential of its user");
                Some(Finding::ok(what).at(self.place()))
            }
            Err(NotUsable::Failed { error, last_words }) => {
                let mend = known(&last_words).unwrap_or_else(|| self.mend(&error));
                let finding = Finding::trouble(self.wrong(&error), mend);
                Some(finding.at(self.place()).saying(last_words))
            }
        }
    }

    /// The field that says where the server is.
    fn field(self) -> String {
        let part = match self.server.spec {
            ServerSpec::Command { .. } => "command",
            _ => "endpoint",
        };
        format!("servers.{}.{part}", self.name)
    }

    fn place(self) -> String {
        self.readable.place(&self.field())
    }

    /// What is wrong with it, in a sentence.
    fn wrong(self, error: &ClientError) -> String {
        let name = self.name;
        let patience = self.readable.patient.timeout;
        match error {
            ClientError::Unreachable { .. } => match refusal(error) {
                Some(refusal) => {
                    let advice = match refusal {
                        ConnectError::Refused { .. } => "give it another address",
                        _ => "start it, or correct its address",
                    };
                    format!("server `{name}`: {}: {advice}", causes(refusal))
                }
                None if self.is_over_tls() => {
                    let reason = innermost(error);
                    let advice = match reason.contains("corrupt message") {
                        true => ": it speaks no TLS there, so write http: and not https:",
                        false => "",
                    };
                    format!("server `{name}`: TLS fails: {reason}{advice}")
                }
                None => format!("server `{name}`: {}", causes(error)),
            },
            ClientError::ServerExited { status, .. } => {
                let status = status.map(|status| format!(" ({status})"));
                let status = status.unwrap_or_default();
                format!("server `{name}` ended before it answered{status}")
            }
            ClientError::DeadlineExceeded { .. } => {
                format!("server `{name}` did not answer `initialize` within {patience:?}")
            }
            ClientError::Status { .. } if error.is_about_credentials() => {
                let which = match self.is_given_one() {
                    true => "another credential than it got",
                    false => "a credential",
                };
                format!("server `{name}` wants {which}: {}", causes(error))
            }
            ClientError::Status { .. } | ClientError::Unreadable { .. } => {
                format!("server `{name}` answers no MCP: {}", causes(error))
            }
            other => format!("server `{name}`: {}", causes(other)),
        }
    }

    fn is_given_one(self) -> bool {
        let has_own = matches!(&self.server.spec, ServerSpec::Remote { auth: Some(_), .. });
        has_own || self.server.credentials != CredentialsMode::None
    }

    fn is_over_tls(self) -> bool {
        matches!(&self.server.spec, ServerSpec::Remote { endpoint, .. } if endpoint.starts_with("https:"))
    }

    /// The command that mends it, or with which it is mended.
    fn mend(self, error: &ClientError) -> String {
        let edit = || self.readable.edit(&self.field());
        match error {
            ClientError::Unreachable { .. } if self.is_over_tls() && refusal(error).is_none() => {
                match innermost(error).contains("UnknownIssuer") {
                    true => "SSL_CERT_FILE=AUTHORITIES.pem mcp-gateway desktop".to_owned(),
                    false => edit(),
                }
            }
            ClientError::Status { .. } if error.is_about_credentials() => self.give_credential(),
            ClientError::DeadlineExceeded { .. } if self.may_be_fetching() => {
                let flags = self.readable.patient.flags();
                format!("mcp-gateway doctor --timeout 5m{flags}")
            }
            _ => edit(),
        }
    }

    fn give_credential(self) -> String {
        let (name, flag) = (self.name, &self.readable.patient.config_flag);
        let ServerSpec::Remote {
            endpoint,
            auth: None,
            headers,
            tls: None,
        } = &self.server.spec
        else {
            return self.readable.edit(&format!("servers.{name}.auth"));
        };
        if self.server.credentials != CredentialsMode::None {
            return self.purse.set(name);
        }
        // The command replaces what it does not know of.
        if !headers.is_empty() || self.server.timeout.is_some() {
            return self.readable.edit(&self.field());
        }
        let url = quoted_text(endpoint);
        format!("mcp-gateway server add {name} --url {url} --bearer-env VARIABLE --replace{flag}")
    }

    fn may_be_fetching(self) -> bool {
        matches!(&self.server.spec, ServerSpec::Command { command, .. }
            if FETCHING.iter().any(|program| std::path::Path::new(command).ends_with(program)))
    }
}

/// What helps against what a server said last, where that is well known.
fn known(last_words: &[String]) -> Option<String> {
    const NO_DOCKER: &str = "Cannot connect to the Docker daemon";
    let start = match std::env::consts::OS {
        "linux" => "sudo systemctl start docker",
        "macos" => "open -a Docker",
        _ => "docker desktop start",
    };
    let has = |text| last_words.iter().any(|line| line.contains(text));
    has(NO_DOCKER).then(|| start.to_owned())
}

/// Why no connection came about, where that is why.
fn refusal(error: &ClientError) -> Option<&ConnectError> {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref() {
            return Some(refusal);
        }
        cause = error.source();
    }
    None
}

/// What everything else comes from.
fn innermost(error: &ClientError) -> String {
    let mut last: &dyn Error = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// What a server says of itself, on one line.
fn introduction(hello: &ServerHello) -> String {
    let info: Value = hello
        .server_info
        .as_ref()
        .and_then(|info| serde_json::from_str(info.get()).ok())
        .unwrap_or_default();
    let said = |field: &str| {
        let text = info.get(field).and_then(Value::as_str).unwrap_or_default();
        text.chars()
            .filter(|c| !c.is_control())
            .take(60)
            .collect::<String>()
    };
    let words = [
        said("name"),
        said("version"),
        format!("(MCP {})", hello.version),
    ];
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}
