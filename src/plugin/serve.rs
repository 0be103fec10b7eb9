//! `plugin serve`: over HTTP, on a unix socket, or on standard input and output.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use rmcp::ServiceExt as _;

use super::chosen::Chosen;
use super::handler::Handler;
use crate::data_dir::{self, DataDirArgs};
use crate::exit::Failure;
use crate::process::block_on;

/// Which plugin, and where.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The implementation, such as `api-key`; where several kinds have one of the name, with the kind before
    /// it: `authproxy-none`.
    #[arg(value_name = "IMPLEMENTATION")]
    implementation: String,
    /// A document whose `plugins:` has the implementation's settings, and the plugins that it reads.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    data_dir: DataDirArgs,
    /// Serves on standard input and output, for who starts it as a command.
    #[arg(long)]
    stdio: bool,
}

impl ServeArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let data_dir = self.data_dir.path()?;
        data_dir::make(&data_dir)?;
        block_on(async move {
            let chosen = Chosen::of(&self.implementation, self.file.as_deref(), &data_dir)?;
            let name = format!("mcp-gateway-{}-{}", chosen.kind, chosen.name);
            let handler = Handler::new(&name, Arc::new(chosen.tools));
            if !self.stdio {
                return Err(Failure::invalid("say --stdio".to_owned()));
            }
            let transport = (tokio::io::stdin(), tokio::io::stdout());
            let serving = handler.serve(transport).await;
            let serving = serving.context("no client has introduced itself")?;
            serving.waiting().await.context("serving has ended")?;
            Ok(())
        })
    }
}
