//! MCP as bytes: envelopes, framers, header rules, and the HTTP and stdio clients.
