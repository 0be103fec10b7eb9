//! The hostile server on standard input and output.

use std::io::{self, BufRead as _, Write};

use serde_json::Value;

use super::{FLOOD, LATE, Listing, Step, TOOLS, respond, response, tool_of};

/// Answers one request after the other until standard input ends.
pub fn serve_stdio() -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        if request["id"].is_null() || request["method"].is_null() {
            continue;
        }
        for step in answer(&request) {
            take(step, &mut output)?;
        }
    }
    Ok(())
}

fn answer(request: &Value) -> Vec<Step> {
    let line = format!("{}\n", response(request, Listing::Tools, &TOOLS)).into_bytes();
    let elsewhere = |id: &str| {
        let mut other = request.clone();
        other["id"] = id.into();
        format!("{}\n", respond(&other, r#"{"content":[]}"#)).into_bytes()
    };
    match tool_of(request) {
        "wrong-id" => vec![Step::Write(elsewhere("nobody's"))],
        "twice" => vec![Step::Write(line.clone()), Step::Write(line)],
        // The next request is read meanwhile, as far as the pipe holds it.
        "late" => vec![Step::Wait(LATE), Step::Write(line)],
        "never" => vec![],
        "not-utf8" => vec![
            Step::Write(b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\xfe\"}\n".to_vec()),
            Step::Write(line),
        ],
        "not-json" => vec![
            Step::Write(b"{\"jsonrpc\": }}\n\0\x1b[31mred\n[]\n[[[[\n".to_vec()),
            Step::Write(line),
        ],
        "flood" => vec![
            Step::Flood(b'x', FLOOD),
            Step::Write(b"\n".to_vec()),
            Step::Write(line),
        ],
        _ => vec![Step::Write(line)],
    }
}

fn take(step: Step, output: &mut impl Write) -> io::Result<()> {
    match step {
        Step::Write(bytes) | Step::Trickle(bytes) => output.write_all(&bytes)?,
        Step::Flood(byte, count) => {
            let block = [byte; 64 * 1024];
            let mut left = count;
            while left > 0 {
                let size = left.min(block.len());
                output.write_all(block.get(..size).unwrap_or_default())?;
                left -= size;
            }
        }
        Step::Wait(time) => std::thread::sleep(time),
        Step::Hang | Step::Close => {}
    }
    output.flush()
}
