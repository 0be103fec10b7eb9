//! Where the last good configuration is kept.

use std::path::{Path, PathBuf};

use clap::Args;
use gateway_core::config::TimeSpan;
use gateway_data_plane::{Cache, SessionKeys};

use crate::exit::Failure;

#[derive(Debug, Args)]
#[command(next_help_heading = "Without a control plane")]
pub(super) struct CacheArgs {
    /// A folder of this process's own for the last good configuration of every tenant. A data plane
    /// that finds it there serves by it before a control plane is reached. Needs --session-key-file,
    /// by whose keys it is authenticated. Left out: nothing is kept.
    #[arg(long, env = "MCP_GATEWAY_CACHE_DIR", value_name = "DIR")]
    cache_dir: Option<PathBuf>,

    /// How long after a control plane was last heard the folder counts for nothing.
    #[arg(
        long,
        env = "MCP_GATEWAY_CACHE_MAX_AGE",
        value_name = "TIME",
        default_value = "24h"
    )]
    cache_max_age: TimeSpan,
}

impl CacheArgs {
    /// Refuses what the keys of this process alone would be needed for.
    pub(super) fn check(&self, has_key_file: bool) -> Result<(), Failure> {
        if self.cache_dir.is_none() || has_key_file {
            return Ok(());
        }
        Err(Failure::invalid(
            "--cache-dir needs --session-key-file: what is kept is authenticated by its keys, so that nobody else can put a configuration there",
        ))
    }

    pub(super) fn folder(&self) -> Option<&Path> {
        self.cache_dir.as_deref()
    }

    pub(super) fn open(&self, keys: &SessionKeys) -> anyhow::Result<Option<Cache>> {
        let Some(folder) = &self.cache_dir else {
            return Ok(None);
        };
        let cache = Cache::open(folder, self.cache_max_age.as_duration(), keys)?;
        Ok(Some(cache))
    }
}
