//! MCP listener, sessions, request pipeline and upstream servers.
