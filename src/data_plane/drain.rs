//! How a data plane ends: when it stops taking clients, and how long it waits for the last answers.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use gateway_core::config::TimeSpan;

/// As long as load balancers commonly take to notice that a replica is not ready.
const DELAY: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "The end")]
pub(super) struct DrainArgs {
    /// How long clients are taken on after SIGTERM or SIGINT, while /readyz says 503: as long as a load
    /// balancer takes to send them elsewhere. 5s when left out; 0s where --listen is a loopback address.
    #[arg(
        long,
        env = "MCP_GATEWAY_DRAIN_DELAY",
        value_name = "TIME",
        value_parser = time
    )]
    drain_delay: Option<Duration>,

    /// How long requests under way may take to finish after that. A service manager has to wait for both
    /// and 10 seconds more.
    #[arg(
        long,
        env = "MCP_GATEWAY_DRAIN_TIMEOUT",
        value_name = "TIME",
        default_value = "20s"
    )]
    drain_timeout: TimeSpan,
}

impl DrainArgs {
    pub(super) fn delay(self, listen: SocketAddr) -> Duration {
        let usual = if listen.ip().is_loopback() {
            Duration::ZERO
        } else {
            DELAY
        };
        self.drain_delay.unwrap_or(usual)
    }

    pub(super) fn timeout(self) -> Duration {
        self.drain_timeout.as_duration()
    }
}

/// A length of time, which may be none.
fn time(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") {
        return Ok(Duration::ZERO);
    }
    let span = text.parse::<TimeSpan>();
    span.map(TimeSpan::as_duration)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        drain: DrainArgs,
    }

    #[test]
    fn only_who_may_have_a_load_balancer_waits_for_it() {
        let delay = |arguments: &[&str], listen: &str| {
            let command = Command::try_parse_from([&["x"], arguments].concat()).unwrap();
            command.drain.delay(listen.parse().unwrap())
        };
        assert_eq!(delay(&[], "127.0.0.1:0"), Duration::ZERO);
        assert_eq!(delay(&[], "0.0.0.0:0"), DELAY);
        let given = Duration::from_millis(1500);
        assert_eq!(delay(&["--drain-delay", "1500ms"], "127.0.0.1:0"), given);
        assert_eq!(delay(&["--drain-delay", "0s"], "0.0.0.0:0"), Duration::ZERO);
        for wrong in ["-1s", "5", "soon"] {
            let arguments = ["x", &format!("--drain-delay={wrong}")];
            assert!(Command::try_parse_from(arguments).is_err(), "{wrong}");
        }
    }
}
