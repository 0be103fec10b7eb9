//! The error codes that appear in JSON-RPC error responses.
//!
//! Codes from −32768 to −32000 belong to JSON-RPC and to the MCP specification. What the gateway
//! has to say on its own account stands outside that range, so that a client cannot mistake it
//! for an answer of the server behind.

/// The body is not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The body is JSON, but not a message of the protocol.
pub const INVALID_REQUEST: i64 = -32600;
/// The receiver has no such method.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The method exists, but not with these parameters.
pub const INVALID_PARAMS: i64 = -32602;
/// The receiver failed for a reason of its own.
pub const INTERNAL_ERROR: i64 = -32603;

/// HTTP headers are missing or contradict the body (2026-07-28).
pub const HEADER_MISMATCH: i64 = -32020;
/// The request needs a capability that the client did not declare (2026-07-28).
pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
/// The receiver does not speak the request's protocol version (2026-07-28).
pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;

/// The resource does not exist (up to 2025-11-25; later versions say [`INVALID_PARAMS`]).
pub const RESOURCE_NOT_FOUND: i64 = -32002;
/// The user has to visit a URL first (2025-11-25 only).
pub const URL_ELICITATION_REQUIRED: i64 = -32042;

/// The gateway cannot reach the MCP server, or it ended while the request was under way.
pub const SERVER_UNAVAILABLE: i64 = 1001;
/// The request's deadline passed before the MCP server answered.
pub const DEADLINE_EXCEEDED: i64 = 1002;
/// A policy forbids the request.
pub const DENIED_BY_POLICY: i64 = 1003;
/// The caller did not prove who it is.
pub const UNAUTHENTICATED: i64 = 1004;
/// The request must be audited and the audit log takes no more events.
pub const AUDIT_UNAVAILABLE: i64 = 1005;
/// The MCP server needs a credential that the user has not stored.
pub const CREDENTIALS_REQUIRED: i64 = 1006;
/// Client and MCP server speak versions of the protocol between which this cannot be carried.
pub const NOT_BRIDGEABLE: i64 = 1007;
/// The client has cancelled the request; it does not expect this answer.
pub const CANCELLED: i64 = 1009;
/// The gateway, or the caller's tenant, has as much under way as it may; try again later.
pub const OVERLOADED: i64 = 1010;
/// The MCP server answered something that is not a usable message.
pub const ANSWER_UNUSABLE: i64 = 1008;
