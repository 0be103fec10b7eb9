//! The URIs inside answers: a client can only use what a server links to under the URI that the
//! endpoint shows.

use gateway_core::{ExposedUri, SEPARATOR, ServerName};
use gateway_mcp::json::{Text, encode_str};
use gateway_mcp::message::Message;
use gateway_mcp::place::Step::{self, Each, Field};
use gateway_mcp::place::find;
use gateway_mcp::splice::Splice;

/// Where URIs stand in tool definitions: the app that shows a tool's results.
const TOOL_LINKS: [&[Step]; 2] = [
    &[Field("_meta"), Field("ui"), Field("resourceUri")],
    &[Field("_meta"), Field("ui/resourceUri")],
];

/// Where URIs stand in the results and notifications of servers.
fn paths(method: &str) -> &'static [&'static [Step]] {
    match method {
        "tools/call" => &[
            &[Field("result"), Field("content"), Each, Field("uri")],
            &[
                Field("result"),
                Field("content"),
                Each,
                Field("resource"),
                Field("uri"),
            ],
            &[
                Field("result"),
                Field("_meta"),
                Field("ui"),
                Field("resourceUri"),
            ],
            &[Field("result"), Field("_meta"), Field("ui/resourceUri")],
        ],
        // A task that has ended carries what the tool gave.
        "tasks/get" => &[
            &[
                Field("result"),
                Field("result"),
                Field("content"),
                Each,
                Field("uri"),
            ],
            &[
                Field("result"),
                Field("result"),
                Field("content"),
                Each,
                Field("resource"),
                Field("uri"),
            ],
        ],
        "prompts/get" => &[
            &[
                Field("result"),
                Field("messages"),
                Each,
                Field("content"),
                Each,
                Field("uri"),
            ],
            &[
                Field("result"),
                Field("messages"),
                Each,
                Field("content"),
                Each,
                Field("resource"),
                Field("uri"),
            ],
        ],
        "resources/read" => &[
            &[Field("result"), Field("contents"), Each, Field("uri")],
            &[Field("error"), Field("data"), Field("uri")],
        ],
        "notifications/resources/updated" => &[&[Field("params"), Field("uri")]],
        _ => &[],
    }
}

/// Where the ids of tasks stand in results.
const TASK_IDS: [&[Step]; 2] = [
    &[Field("result"), Field("taskId")],
    &[Field("result"), Field("task"), Field("taskId")],
];

fn may_name_task(method: &str) -> bool {
    method == "tools/call" || method.starts_with("tasks/")
}

/// The message with the server's URIs as the endpoint shows them. `method` is that of the request
/// that it answers, or its own.
pub(crate) fn expose_links(message: Message, method: &str, server: &ServerName) -> Message {
    let uri = |uri: &str| ExposedUri::of(server, uri).into_string();
    let mut splice = Splice::new(message.bytes());
    let mut changed = expose(message.bytes(), paths(method), uri, &mut splice);
    if may_name_task(method) {
        let id = |id: &str| format!("{server}{SEPARATOR}{id}");
        changed |= expose(message.bytes(), &TASK_IDS, id, &mut splice);
    }
    if !changed {
        return message;
    }
    message.edited(splice).unwrap_or(message)
}

/// A tool's definition, with the URIs in it as the endpoint shows them.
pub(crate) fn expose_tool_links(tool: &bytes::Bytes, server: &ServerName) -> bytes::Bytes {
    let uri = |uri: &str| ExposedUri::of(server, uri).into_string();
    let mut splice = Splice::new(tool);
    if !expose(tool, &TOOL_LINKS, uri, &mut splice) {
        return tool.clone();
    }
    splice.finish().unwrap_or_else(|_| tool.clone())
}

/// Edits the texts at `paths`; `false` when there are none.
fn expose(
    bytes: &bytes::Bytes,
    paths: &[&[Step]],
    exposed: impl Fn(&str) -> String,
    splice: &mut Splice,
) -> bool {
    let mut changed = false;
    let places = paths
        .iter()
        .flat_map(|path| find(bytes, 0..bytes.len(), path));
    for range in places {
        if let Some(text) = Text::read(bytes, range.clone()) {
            splice.replace(range, encode_str(&exposed(text.as_str(bytes))));
            changed = true;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(text: &str, method: &str) -> String {
        let message = Message::scan(text.to_owned().into()).unwrap();
        let exposed = expose_links(message, method, &"maps".parse().unwrap());
        String::from_utf8(exposed.bytes().to_vec()).unwrap()
    }

    #[test]
    fn links_in_results_lead_through_the_gateway() {
        let call = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"resource_link","uri":"file:///a"},{"type":"resource","resource":{"uri":"ui://v/x","text":"uri"}},{"type":"text","text":"file:///a"}]}}"#;
        let expected = call
            .replace(r#""uri":"file:///a""#, r#""uri":"maps+file:///a""#)
            .replace("ui://v/x", "ui://maps/v/x");
        assert_eq!(exposed(call, "tools/call"), expected);
    }

    #[test]
    fn prompts_resources_and_updates_lead_through_the_gateway() {
        let prompt = r#"{"jsonrpc":"2.0","id":1,"result":{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"a:b"}}}]}}"#;
        assert_eq!(
            exposed(prompt, "prompts/get"),
            prompt.replace("a:b", "maps+a:b")
        );
        let read =
            r#"{"jsonrpc":"2.0","id":1,"result":{"contents":[{"uri":"a:b"},{"uri":"a:c"}]}}"#;
        assert_eq!(
            exposed(read, "resources/read"),
            read.replace("\"a:", "\"maps+a:")
        );
        let update = r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:b"}}"#;
        let method = "notifications/resources/updated";
        assert_eq!(exposed(update, method), update.replace("a:b", "maps+a:b"));
    }

    #[test]
    fn tasks_are_named_by_their_server() {
        let begun = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"t-1"}}"#;
        let expected = begun.replace("t-1", "maps__t-1");
        assert_eq!(exposed(begun, "tools/call"), expected);
        assert_eq!(exposed(begun, "tasks/get"), expected);
    }

    #[test]
    fn links_in_what_a_task_gave_lead_through_the_gateway() {
        let ended = r#"{"jsonrpc":"2.0","id":1,"result":{"status":"completed","result":{"content":[{"type":"resource_link","uri":"a:b"},{"type":"resource","resource":{"uri":"a:c"}}]}}}"#;
        let expected = ended.replace("\"a:", "\"maps+a:");
        assert_eq!(exposed(ended, "tasks/get"), expected);
    }

    #[test]
    fn what_is_not_found_is_what_the_client_asked_for() {
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"a:b","data":{"uri":"a:b"}}}"#;
        let expected = error.replace(r#""uri":"a:b""#, r#""uri":"maps+a:b""#);
        assert_eq!(exposed(error, "resources/read"), expected);
    }

    #[test]
    fn errors_and_other_messages_stay_as_they_are() {
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"file:///a"}}"#;
        assert_eq!(exposed(error, "resources/read"), error);
    }
}
