//! The way to a control plane, with the administrator's token, and what its refusals mean.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use gateway_core::config::Violation;
use gateway_core::{ExposeSecret as _, SecretString};
use gateway_proto::admin::v1::admin_client::AdminClient;
use gateway_proto::admin::v1::hosts_client::HostsClient;
use gateway_proto::admin::v1::tokens_client::TokensClient;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::context::{self, Context};
use crate::exit::Failure;
use crate::tls::ClientTlsArgs;

/// The flags that every command of an administrator has. The token is none of them: others on the
/// machine can read a command line.
#[derive(Debug, Args)]
#[command(next_help_heading = "Control plane")]
pub(crate) struct ServerArgs {
    /// Which of the control planes that `mcp-gateway context` keeps. Left out: the current one.
    #[arg(
        long,
        env = "MCP_GATEWAY_CONTEXT",
        conflicts_with = "control_plane",
        value_name = "NAME"
    )]
    context: Option<String>,

    /// Where the control plane is. Left out: what the context says, else http://127.0.0.1:8812. The
    /// administrator's token is taken from MCP_GATEWAY_TOKEN.
    #[arg(long, env = "MCP_GATEWAY_CONTROL_PLANE", value_name = "URL")]
    control_plane: Option<String>,

    /// The file that holds the administrator's token, if MCP_GATEWAY_TOKEN is not set.
    #[arg(long, env = "MCP_GATEWAY_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    #[command(flatten)]
    tls: ClientTlsArgs,
}

/// Where a control plane is that neither flags nor contexts name.
const DEFAULT: &str = "http://127.0.0.1:8812";

type Presenting = InterceptedService<Channel, Bearer>;

/// A client that presents the token with every call.
pub(super) type Client = AdminClient<Presenting>;

/// The same for tokens.
pub(super) type TokenClient = TokensClient<Presenting>;
pub(super) type HostClient = HostsClient<Presenting>;

/// Puts the token into a call, where there is one.
#[derive(Clone)]
pub(super) struct Bearer(Option<AsciiMetadataValue>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl ServerArgs {
    /// Must be called within a runtime. Nothing is connected yet.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let (channel, bearer) = self.presenting()?;
        Ok(AdminClient::with_interceptor(channel, bearer))
    }

    /// The same.
    pub(super) fn hosts(&self) -> Result<HostClient, Failure> {
        let (channel, bearer) = self.presenting()?;
        Ok(HostsClient::with_interceptor(channel, bearer))
    }

    /// The same.
    pub(super) fn tokens(&self) -> Result<TokenClient, Failure> {
        let (channel, bearer) = self.presenting()?;
        Ok(TokensClient::with_interceptor(channel, bearer))
    }

    fn presenting(&self) -> Result<(Channel, Bearer), Failure> {
        let place = self.place()?;
        let tls = self.tls.or(&place.tls);
        // A command is over before its certificates change.
        let (channel, _) = tls.channel(&place.control_plane)?;
        let Some(token) = token(place.token_file.as_deref(), &tls)? else {
            return Ok((channel, Bearer(None)));
        };
        let value = format!("Bearer {}", token.expose_secret()).parse::<AsciiMetadataValue>();
        let mut value =
            value.map_err(|_| Failure::invalid("the administrator's token is no token"))?;
        value.set_sensitive(true);
        Ok((channel, Bearer(Some(value))))
    }

    /// What the flags say, and the context where they say nothing.
    fn place(&self) -> Result<Context, Failure> {
        let kept = match &self.control_plane {
            // The token of one control plane is not shown to another.
            Some(_) => None,
            None => context::chosen(self.context.as_deref())?,
        };
        let kept = kept.unwrap_or_else(|| Context {
            control_plane: self.control_plane.clone().unwrap_or_else(|| DEFAULT.into()),
            ..Default::default()
        });
        Ok(Context {
            token_file: self.token_file.clone().or(kept.token_file),
            ..kept
        })
    }
}

/// `None`: the control plane knows its caller by a certificate.
fn token(file: Option<&Path>, tls: &ClientTlsArgs) -> Result<Option<SecretString>, Failure> {
    let given = std::env::var("MCP_GATEWAY_TOKEN").ok();
    if let Some(token) = given.filter(|token| !token.is_empty()) {
        return Ok(Some(SecretString::from(token)));
    }
    let Some(file) = file else {
        if tls.has_certificate() {
            return Ok(None);
        }
        return Err(Failure::invalid(
            "the administrator's token is missing: set MCP_GATEWAY_TOKEN, or name its file with --token-file; the control plane says at its start where it is",
        ));
    };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("--token-file: {} cannot be read", file.display()))?;
    Ok(Some(SecretString::from(text.trim_end())))
}

/// What a refusal means to who called.
pub(super) fn failure(status: &Status) -> Failure {
    match status.code() {
        Code::InvalidArgument => Failure::Invalid(
            violations(status)
                .map(|violation| format!("{}: {}", violation.path, violation.reason))
                .collect(),
        ),
        Code::Unauthenticated => Failure::Failed(anyhow!(
            "the control plane refuses its caller ({}): look at MCP_GATEWAY_TOKEN",
            status.message()
        )),
        // It did not come from the control plane.
        Code::Unavailable if status.source().is_some() => {
            let mut cause = status.source();
            let mut last = String::new();
            while let Some(error) = cause {
                last = error.to_string();
                cause = error.source();
            }
            let mend = match last.contains("certificate") {
                true => "look at --tls-ca and the host name in --control-plane",
                false => "start it, or say where it is with --control-plane",
            };
            Failure::Failed(anyhow!(
                "the control plane cannot be reached ({last}): {mend}"
            ))
        }
        _ => Failure::Failed(anyhow!("{}", status.message())),
    }
}

/// What is wrong with a request, field by field.
pub(super) fn violations(status: &Status) -> impl Iterator<Item = Violation> {
    let details = status.get_error_details();
    let mut found: Vec<_> = details
        .bad_request()
        .map(|request| request.field_violations.clone())
        .unwrap_or_default()
        .into_iter()
        .map(|one| Violation::new(one.field, one.description))
        .collect();
    if found.is_empty() {
        found.push(Violation::new("request", status.message()));
    }
    found.into_iter()
}
