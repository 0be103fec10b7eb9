//! How a data plane joins a control plane: where that is, by which token, and under which name.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use gateway_core::SecretString;
use gateway_data_plane::{ControlPlane, JoinToken};
use rustls::ClientConfig;

use crate::exit::Failure;
use crate::kept::Kept;
use crate::listen;
use crate::tls::ClientTlsArgs;

#[derive(Debug, Args)]
pub(super) struct JoinArgs {
    /// Where the control plane is: https://HOST:PORT or, on this machine, http://127.0.0.1:8812. May be
    /// given several times for control planes that share a store: one of them is followed, and the
    /// next when that one is away.
    #[arg(
        long,
        env = "MCP_GATEWAY_CONTROL_PLANE",
        required = true,
        value_delimiter = ',',
        value_name = "URL"
    )]
    control_plane: Vec<String>,

    /// The token by which the control plane lets data planes in. Others on the machine can read a
    /// command line: better give it as a variable or in a file.
    #[arg(
        long,
        env = "MCP_GATEWAY_JOIN_TOKEN",
        hide_env_values = true,
        conflicts_with = "join_token_file",
        value_name = "TOKEN"
    )]
    join_token: Option<SecretString>,

    /// The file that holds the token. Read again whenever a control plane is joined.
    #[arg(long, env = "MCP_GATEWAY_JOIN_TOKEN_FILE", value_name = "FILE")]
    join_token_file: Option<PathBuf>,

    /// The data plane's name towards the control plane, another one for each. Left out: the
    /// machine's name and the port that is listened on.
    #[arg(long, env = "MCP_GATEWAY_NAME", value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    tls: ClientTlsArgs,
}

impl JoinArgs {
    /// The ways to the control planes, and by what their TLS is kept up. Must be called within a runtime.
    pub(super) fn control_planes(
        &self,
    ) -> Result<(Vec<ControlPlane>, Option<Kept<ClientConfig>>), Failure> {
        let (channels, kept) = self.tls.channels(&self.control_plane)?;
        let urls = self.control_plane.iter().cloned();
        let control_planes = urls.zip(channels).map(|(url, channel)| ControlPlane {
            url: Some(url),
            channel,
        });
        Ok((control_planes.collect(), kept))
    }

    /// `None`: the control plane knows this data plane by its certificate.
    pub(super) fn token(&self) -> Result<Option<JoinToken>, Failure> {
        match (&self.join_token, &self.join_token_file) {
            (Some(token), _) => Ok(Some(JoinToken::Given(token.clone()))),
            (None, Some(file)) => Ok(Some(JoinToken::File(file.clone()))),
            (None, None) if self.tls.has_certificate() => Ok(None),
            (None, None) => Err(Failure::invalid(
                "the join token is missing: set MCP_GATEWAY_JOIN_TOKEN, or name its file with --join-token-file; the control plane says at its start where it is",
            )),
        }
    }

    pub(super) fn name(&self, listen: SocketAddr) -> Result<String, Failure> {
        listen::name(self.name.as_deref(), listen)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use gateway_core::ExposeSecret as _;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        join: JoinArgs,
    }

    fn join(arguments: &[&str]) -> JoinArgs {
        let all = ["x", "--control-plane", "http://127.0.0.1:1"];
        let all = all.iter().chain(arguments);
        Command::try_parse_from(all).unwrap().join
    }

    #[test]
    fn a_token_comes_from_a_flag_or_a_file_and_is_never_printed() {
        let given = join(&["--join-token", "mgj_abc"]);
        let Some(JoinToken::Given(token)) = given.token().unwrap() else {
            panic!("it was given");
        };
        assert_eq!(token.expose_secret(), "mgj_abc");
        assert!(!format!("{given:?}").contains("mgj_abc"));
        let file = join(&["--join-token-file", "token"]).token().unwrap();
        assert!(matches!(file, Some(JoinToken::File(path)) if path.ends_with("token")));
        let Err(Failure::Invalid(said)) = join(&[]).token() else {
            panic!("there is no token");
        };
        assert!(said[0].contains("MCP_GATEWAY_JOIN_TOKEN"), "{said:?}");
    }

    #[test]
    fn a_name_is_the_given_one_or_that_of_the_place() {
        let listen = "127.0.0.1:8811".parse().unwrap();
        assert_eq!(join(&["--name", "west-1"]).name(listen).unwrap(), "west-1");
        let own = join(&[]).name(listen).unwrap();
        assert!(own.ends_with(":8811") && own.len() > 5, "{own}");
        for name in ["", "a\nb"] {
            assert!(join(&["--name", name]).name(listen).is_err(), "{name:?}");
        }
    }
}
