//! A server whose tools each break the protocol in a way of their own, in bytes: over HTTP and on stdio.

mod http;
mod stdio;

use std::time::Duration;

use serde_json::{Value, json};

pub use http::HostileServer;
pub use stdio::serve_stdio;

/// How long the tool `late` takes; the gateway is to be configured to wait for less.
pub const LATE: Duration = Duration::from_secs(3);

/// More than any message may be long.
pub const FLOOD: usize = 100 * 1024 * 1024;

/// What the tools are called on both transports. `echo` is well-behaved.
const TOOLS: [&str; 8] = [
    "echo", "wrong-id", "twice", "late", "never", "not-utf8", "not-json", "flood",
];

/// What tools there are over HTTP only.
const HTTP_TOOLS: [&str; 6] = [
    "trickle",
    "redirect",
    "two-answers",
    "endless-head",
    "cut-off",
    "two-lengths",
];

/// How a server lists its tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// The tools of a hostile server, on one page.
    Tools,
    /// One tool, whose schema refers to itself and is nested as deep as a message may be.
    Cyclic,
    /// One tool, whose schema is nested deeper than a message may be.
    TooDeep,
    /// One tool, whose schema is larger than a message may be.
    TooLarge,
    /// Page after page, each as large as a message may be.
    Endless,
}

/// One step of an answer, in bytes.
#[derive(Debug)]
enum Step {
    Write(Vec<u8>),
    /// Writes many bytes that are all the same.
    Flood(u8, usize),
    /// Writes byte by byte, with a pause before each.
    Trickle(Vec<u8>),
    Wait(Duration),
    /// Does nothing until the other end goes away.
    Hang,
    /// Goes away.
    Close,
}

/// The tool that a request calls, empty if it calls none.
fn tool_of(request: &Value) -> &str {
    request["params"]["name"].as_str().unwrap_or_default()
}

/// The response of a well-behaved legacy server.
fn response(request: &Value, listing: Listing, tools: &[&str]) -> String {
    let result = match request["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "hostile", "version": "1.0.0" },
        }),
        "ping" => json!({}),
        "tools/list" => return respond(request, &page(request, listing, tools)),
        "tools/call" => {
            let text = request["params"]["arguments"].to_string();
            json!({ "content": [{ "type": "text", "text": text }] })
        }
        _ => {
            let error = json!({ "code": -32601, "message": "method not found" });
            return json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }).to_string();
        }
    };
    respond(request, &result.to_string())
}

/// A response with this result, which is JSON.
fn respond(request: &Value, result: &str) -> String {
    let id = &request["id"];
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

fn page(request: &Value, listing: Listing, tools: &[&str]) -> String {
    let nested = |depth: usize| {
        let open = r#"{"properties":{"a":"#.repeat(depth);
        format!("{open}true{}", "}}".repeat(depth))
    };
    let one = |schema: &str| format!(r#"{{"tools":[{{"name":"one","inputSchema":{schema}}}]}}"#);
    match listing {
        Listing::Tools => {
            let entry = |name: &&str| json!({ "name": name, "inputSchema": { "type": "object" } });
            json!({ "tools": tools.iter().map(entry).collect::<Vec<_>>() }).to_string()
        }
        Listing::Cyclic => {
            let deep = nested(60);
            one(&format!(
                r##"{{"type":"object","$ref":"#/$defs/a","$defs":{{"a":{{"$ref":"#"}},"b":{deep}}}}}"##
            ))
        }
        Listing::TooDeep => one(&nested(100)),
        Listing::TooLarge => one(&format!(
            r#"{{"type":"object","description":"{}"}}"#,
            "x".repeat(17 << 20)
        )),
        Listing::Endless => {
            let number = request["params"]["cursor"].as_str().unwrap_or("0");
            let number: u64 = number.parse().unwrap_or(0);
            let filler = "x".repeat(15 << 20);
            let next = number + 1;
            format!(
                r#"{{"tools":[{{"name":"tool-{number}","description":"{filler}","inputSchema":{{"type":"object"}}}}],"nextCursor":"{next}"}}"#
            )
        }
    }
}
