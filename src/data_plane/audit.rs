//! Where audit events wait for sinks that are MCP servers.

use std::path::{Path, PathBuf};

use clap::Args;
use gateway_plugins::SpoolOptions;

/// What the folder is called that is made below that of the cache.
const BELOW_CACHE: &str = "audit-spool";

#[derive(Debug, Args)]
#[command(next_help_heading = "Audit events that wait for their sink")]
pub(super) struct AuditArgs {
    /// A folder of this process's own, that is still there after a restart, for the audit events of sinks that are MCP
    /// servers until these have them. Left out: audit-spool in --cache-dir; without that, tenants with such a sink are
    /// refused.
    #[arg(long, env = "MCP_GATEWAY_AUDIT_SPOOL", value_name = "DIR")]
    audit_spool: Option<PathBuf>,

    /// How many bytes of one tenant's may wait there. What would be more is refused or dropped, as its
    /// configuration says.
    #[arg(
        long,
        env = "MCP_GATEWAY_AUDIT_SPOOL_BYTES",
        value_name = "BYTES",
        default_value_t = SpoolOptions::MAX_TENANT_BYTES,
        value_parser = clap::value_parser!(u64).range(16_384..)
    )]
    audit_spool_bytes: u64,
}

impl AuditArgs {
    /// `None`: there is no place for events to wait.
    pub(super) fn options(self, cache: Option<&Path>) -> Option<SpoolOptions> {
        let below_cache = || cache.map(|folder| folder.join(BELOW_CACHE));
        Some(SpoolOptions {
            folder: self.audit_spool.or_else(below_cache)?,
            max_tenant_bytes: self.audit_spool_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        audit: AuditArgs,
    }

    #[test]
    fn events_wait_where_it_is_said_or_below_the_cache_or_nowhere() {
        let folder = |arguments: &[&str], cache: Option<&str>| {
            let command = Command::try_parse_from([&["x"], arguments].concat()).unwrap();
            let options = command.audit.options(cache.map(Path::new));
            options.map(|options| options.folder.display().to_string())
        };
        let given = ["--audit-spool", "/spool"];
        assert_eq!(folder(&given, Some("/cache")).as_deref(), Some("/spool"));
        assert_eq!(
            folder(&[], Some("/cache")).as_deref(),
            Some("/cache/audit-spool")
        );
        assert_eq!(folder(&[], None), None);
    }
}
