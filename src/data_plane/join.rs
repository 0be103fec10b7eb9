//! How a data plane joins a control plane: where that is, by which token, and under which name.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use gateway_core::SecretString;
use rustls::ClientConfig;
use tonic::transport::Channel;

use crate::exit::Failure;
use crate::listen;
use crate::tls::{ClientTlsArgs, Kept};

/// A file larger than this holds something else.
const MAX_BYTES: u64 = 4096;

#[derive(Debug, Args)]
pub(super) struct JoinArgs {
    /// Where the control plane is: https://HOST:PORT or, on this machine, http://127.0.0.1:8812.
    #[arg(long, env = "MCP_GATEWAY_CONTROL_PLANE", value_name = "URL")]
    control_plane: String,

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

    /// The file that holds the token.
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
    /// A channel, and by what its TLS is kept up. Must be called within a runtime.
    pub(super) fn channel(&self) -> Result<(Channel, Option<Kept<ClientConfig>>), Failure> {
        self.tls.channel(&self.control_plane)
    }

    /// `None`: the control plane knows this data plane by its certificate.
    pub(super) fn token(&self) -> Result<Option<SecretString>, Failure> {
        match (&self.join_token, &self.join_token_file) {
            (Some(token), _) => Ok(Some(token.clone())),
            (None, Some(file)) => Ok(Some(read(file)?)),
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

fn read(path: &Path) -> anyhow::Result<SecretString> {
    let unreadable = || format!("--join-token-file: {} cannot be read", path.display());
    let file = std::fs::File::open(path).with_context(unreadable)?;
    let mut text = String::new();
    let mut start = file.take(MAX_BYTES);
    start.read_to_string(&mut text).with_context(unreadable)?;
    Ok(SecretString::from(text.trim_end()))
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
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "mgj_abc\n").unwrap();
        let path = path.to_str().unwrap();
        for arguments in [["--join-token", "mgj_abc"], ["--join-token-file", path]] {
            let join = join(&arguments);
            let token = join.token().unwrap().unwrap();
            assert_eq!(token.expose_secret(), "mgj_abc");
            assert!(!format!("{join:?}").contains("mgj_abc"));
        }
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
