//! The flags that bound what one process takes, whatever clients and servers do.

use std::num::NonZeroUsize;

use clap::Args;
use gateway_core::config::TimeSpan;
use gateway_data_plane::Limits;

/// The flags. What is left out is as in [`Limits::default`].
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitsArgs {
    /// Connections of clients; a further one is closed at once.
    #[arg(
        long,
        env = "MCP_GATEWAY_MAX_CONNECTIONS",
        value_name = "COUNT",
        default_value = "10000"
    )]
    max_connections: NonZeroUsize,

    /// Requests that are being answered; a further one is refused at once.
    #[arg(
        long,
        env = "MCP_GATEWAY_MAX_REQUESTS",
        value_name = "COUNT",
        default_value = "4096"
    )]
    max_requests: NonZeroUsize,

    /// The same for each tenant.
    #[arg(
        long,
        env = "MCP_GATEWAY_MAX_TENANT_REQUESTS",
        value_name = "COUNT",
        default_value = "2048"
    )]
    max_tenant_requests: NonZeroUsize,

    /// Streams on which clients only listen.
    #[arg(
        long,
        env = "MCP_GATEWAY_MAX_STREAMS",
        value_name = "COUNT",
        default_value = "10000"
    )]
    max_streams: NonZeroUsize,

    /// The same for each tenant.
    #[arg(
        long,
        env = "MCP_GATEWAY_MAX_TENANT_STREAMS",
        value_name = "COUNT",
        default_value = "5000"
    )]
    max_tenant_streams: NonZeroUsize,

    /// The largest message, of clients and of servers.
    #[arg(
        long,
        env = "MCP_GATEWAY_MAX_BODY_BYTES",
        value_name = "BYTES",
        default_value = "16777216"
    )]
    max_body_bytes: NonZeroUsize,

    /// What the messages of clients may take in memory together.
    #[arg(
        long,
        env = "MCP_GATEWAY_MAX_BUFFERED_BYTES",
        value_name = "BYTES",
        default_value = "268435456"
    )]
    max_buffered_bytes: NonZeroUsize,

    /// The same for each tenant.
    #[arg(
        long,
        env = "MCP_GATEWAY_MAX_TENANT_BUFFERED_BYTES",
        value_name = "BYTES",
        default_value = "134217728"
    )]
    max_tenant_buffered_bytes: NonZeroUsize,

    /// The largest head of a request; at least 8192.
    #[arg(
        long,
        env = "MCP_GATEWAY_MAX_HEADER_BYTES",
        value_name = "BYTES",
        default_value_t = 65_536,
        value_parser = clap::value_parser!(u32).range(8192..=16_777_216)
    )]
    max_header_bytes: u32,

    /// How many headers a request may have.
    #[arg(
        long,
        env = "MCP_GATEWAY_MAX_HEADERS",
        value_name = "COUNT",
        default_value = "100"
    )]
    max_headers: NonZeroUsize,

    /// How deep objects and arrays of a message may nest; at most 128.
    #[arg(
        long,
        env = "MCP_GATEWAY_MAX_JSON_DEPTH",
        value_name = "COUNT",
        default_value_t = 128,
        value_parser = clap::value_parser!(u32).range(1..=128)
    )]
    max_json_depth: u32,

    /// How long a client may take to send a request's head.
    #[arg(
        long,
        env = "MCP_GATEWAY_HEADER_TIMEOUT",
        value_name = "TIME",
        default_value = "15s"
    )]
    header_timeout: TimeSpan,

    /// How long a client may take to send a message.
    #[arg(
        long,
        env = "MCP_GATEWAY_BODY_TIMEOUT",
        value_name = "TIME",
        default_value = "30s"
    )]
    body_timeout: TimeSpan,

    /// How long a connection is kept on which nothing is asked.
    #[arg(
        long,
        env = "MCP_GATEWAY_IDLE_TIMEOUT",
        value_name = "TIME",
        default_value = "2m"
    )]
    idle_timeout: TimeSpan,

    /// How long a client may take nothing of what it is sent.
    #[arg(
        long,
        env = "MCP_GATEWAY_WRITE_TIMEOUT",
        value_name = "TIME",
        default_value = "30s"
    )]
    write_timeout: TimeSpan,

    /// How long a request may take, unless its server has a `timeout` of its own.
    #[arg(
        long,
        env = "MCP_GATEWAY_REQUEST_TIMEOUT",
        value_name = "TIME",
        default_value = "5m"
    )]
    request_timeout: TimeSpan,
}

impl LimitsArgs {
    pub(crate) fn read(self) -> Limits {
        let Self {
            max_connections,
            max_requests,
            max_tenant_requests,
            max_streams,
            max_tenant_streams,
            max_body_bytes,
            max_buffered_bytes,
            max_tenant_buffered_bytes,
            max_header_bytes,
            max_headers,
            max_json_depth,
            header_timeout,
            body_timeout,
            idle_timeout,
            write_timeout,
            request_timeout,
        } = self;
        Limits {
            max_connections: max_connections.get(),
            max_requests: max_requests.get(),
            max_tenant_requests: max_tenant_requests.get(),
            max_streams: max_streams.get(),
            max_tenant_streams: max_tenant_streams.get(),
            max_body_bytes: max_body_bytes.get(),
            max_buffered_bytes: max_buffered_bytes.get(),
            max_tenant_buffered_bytes: max_tenant_buffered_bytes.get(),
            max_header_bytes: max_header_bytes as usize,
            max_headers: max_headers.get(),
            max_json_depth: max_json_depth as usize,
            header_timeout: header_timeout.as_duration(),
            body_timeout: body_timeout.as_duration(),
            idle_timeout: idle_timeout.as_duration(),
            write_timeout: write_timeout.as_duration(),
            request_timeout: request_timeout.as_duration(),
            ..Limits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        limits: LimitsArgs,
    }

    #[test]
    fn flags_that_are_left_out_change_nothing() {
        let command = Command::parse_from(["x"]);
        assert_eq!(
            serde_json::to_value(command.limits.read()).unwrap(),
            serde_json::to_value(Limits::default()).unwrap()
        );
    }

    #[test]
    fn what_would_serve_nobody_is_refused() {
        for flag in [
            "--max-requests=0",
            "--idle-timeout=0s",
            "--max-header-bytes=100",
        ] {
            assert!(Command::try_parse_from(["x", flag]).is_err(), "{flag}");
        }
    }
}
