//! Bounds of one process, for whatever clients and servers do.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// Bounds that hold for every client, server and plugin of a replica.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    /// Connections of clients; a further one is closed at once.
    pub max_connections: usize,
    /// Requests that are being answered, of all tenants and of one; a further one is refused at
    /// once. Streams that only listen are not counted here.
    pub max_requests: usize,
    pub max_tenant_requests: usize,
    /// Streams that only listen (GET, `subscriptions/listen`), of all tenants and of one.
    pub max_streams: usize,
    pub max_tenant_streams: usize,
    /// The largest message that is taken, from clients and from servers.
    pub max_body_bytes: usize,
    /// What the messages of clients that are being read or answered may take in memory together, of
    /// all tenants and of one.
    pub max_buffered_bytes: usize,
    pub max_tenant_buffered_bytes: usize,
    /// The largest head of a request: its line and headers.
    pub max_header_bytes: usize,
    /// How many headers a request may have.
    pub max_headers: usize,
    /// How deep objects and arrays of a message may nest.
    pub max_json_depth: usize,
    /// How many messages a client may send at once (2025-03-26), and how many requests of them are
    /// under way at the same time.
    pub max_batch: usize,
    pub batch_concurrency: usize,
    /// How long a client may take to send a request's head.
    #[serde(rename = "header_timeout_seconds", serialize_with = "seconds")]
    pub header_timeout: Duration,
    /// How long a client may take to send a message.
    #[serde(rename = "body_timeout_seconds", serialize_with = "seconds")]
    pub body_timeout: Duration,
    /// How long a connection is kept on which nothing is asked. Longer than clients keep theirs, so
    /// that none sends a request into a connection that is just being closed.
    #[serde(rename = "idle_timeout_seconds", serialize_with = "seconds")]
    pub idle_timeout: Duration,
    /// How long a client may take nothing of what it is sent.
    #[serde(rename = "write_timeout_seconds", serialize_with = "seconds")]
    pub write_timeout: Duration,
    /// How long a request may take in all, unless its server has a `timeout` of its own.
    #[serde(rename = "request_timeout_seconds", serialize_with = "seconds")]
    pub request_timeout: Duration,
    /// How long one plugin call may take, unless the plugin has a `timeout` of its own.
    #[serde(rename = "plugin_timeout_seconds", serialize_with = "seconds")]
    pub plugin_timeout: Duration,
    /// How many items one page of a list has at the most.
    pub page_items: usize,
    /// How long a list waits for a server that starts or hangs.
    #[serde(rename = "list_patience_seconds", serialize_with = "seconds")]
    pub list_patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_requests: 4_096,
            max_tenant_requests: 2_048,
            max_streams: 10_000,
            max_tenant_streams: 5_000,
            max_body_bytes: 16 * 1024 * 1024,
            max_buffered_bytes: 256 * 1024 * 1024,
            max_tenant_buffered_bytes: 128 * 1024 * 1024,
            max_header_bytes: 64 * 1024,
            max_headers: 100,
            max_json_depth: gateway_mcp::json::MAX_DEPTH,
            max_batch: 100,
            batch_concurrency: 16,
            header_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(300),
            plugin_timeout: Duration::from_secs(5),
            page_items: 1_000,
            list_patience: Duration::from_secs(2),
        }
    }
}

fn seconds<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_secs_f64())
}
