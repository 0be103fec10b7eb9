//! The soak: for two minutes, or as long as `MCP_GATEWAY_SOAK_SECONDS` says.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use gateway_tests::soak;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const SECONDS: u64 = 120;

#[tokio::test]
async fn nothing_fails_unprovoked_and_nothing_grows() -> Result<()> {
    let seconds = match std::env::var("MCP_GATEWAY_SOAK_SECONDS") {
        Ok(given) => given
            .parse()
            .with_context(|| format!("reading MCP_GATEWAY_SOAK_SECONDS {given:?}"))?,
        Err(_) => SECONDS,
    };
    let report = soak::run(BINARY, Duration::from_secs(seconds)).await?;
    // Past the capture of what tests print, since the figures are to be seen when all is well.
    writeln!(std::io::stderr(), "{report}")?;
    Ok(())
}
