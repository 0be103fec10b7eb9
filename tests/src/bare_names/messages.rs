//! Where messages name items.

use serde_json::Value;

use super::names::{Kind, Names};

/// A list's key, the field by which its items are named, and what kind of name that is.
const LISTS: [(&str, &str, Kind); 4] = [
    ("tools", "name", Kind::Name),
    ("prompts", "name", Kind::Name),
    ("resources", "uri", Kind::Uri),
    ("resourceTemplates", "uriTemplate", Kind::Uri),
];

/// What kind of name the header of a request repeats.
pub(super) fn kind_of_name(message: &Value) -> Option<Kind> {
    subject(message).map(|(_, kind)| kind)
}

/// Gives what a client names the name that the endpoint has for it.
pub(super) fn expose(message: &mut Value, names: &Names) {
    for message in members(message) {
        if let Some((pointer, kind)) = subject(message) {
            replace(message, pointer, |own| names.exposed(kind, own));
        }
        if message["method"] == "completion/complete" {
            replace(message, "/params/ref/name", |own| {
                names.exposed(Kind::Name, own)
            });
            replace(message, "/params/ref/uri", |own| {
                names.exposed(Kind::Uri, own)
            });
        }
        for (pointer, kind) in SUBSCRIBED {
            replace_each(message, pointer, |own| names.exposed(kind, own));
        }
    }
}

/// Gives back the server's own names, and leaves out what other servers list.
pub(super) fn strip(message: &mut Value, names: &Names) {
    let name = |exposed: &str| names.own(Kind::Name, exposed);
    let uri = |exposed: &str| names.own(Kind::Uri, exposed);
    for message in members(message) {
        match message["method"].as_str() {
            Some("notifications/resources/updated") => replace(message, "/params/uri", uri),
            Some("notifications/tasks" | "notifications/tasks/status") => {
                replace(message, "/params/taskId", name);
            }
            Some("notifications/subscriptions/acknowledged") => {
                for (pointer, kind) in SUBSCRIBED {
                    replace_each(message, pointer, |exposed| names.own(kind, exposed));
                }
            }
            _ => {}
        }
        replace(message, "/error/data/uri", uri);
        for pointer in ["/result/taskId", "/result/task/taskId"] {
            replace(message, pointer, name);
        }
        for list in LISTS {
            strip_list(message, list, names);
        }
        for content in contents(message) {
            for pointer in ["/uri", "/resource/uri"] {
                replace(content, pointer, uri);
            }
        }
        for pointer in [
            "/result/_meta/ui/resourceUri",
            "/result/_meta/ui~1resourceUri",
        ] {
            replace(message, pointer, uri);
        }
    }
}

const SUBSCRIBED: [(&str, Kind); 2] = [
    ("/params/notifications/resourceSubscriptions", Kind::Uri),
    ("/params/notifications/taskIds", Kind::Name),
];

/// Where a request names its item, in body and header.
fn subject(message: &Value) -> Option<(&'static str, Kind)> {
    match message["method"].as_str()? {
        "tools/call" | "prompts/get" => Some(("/params/name", Kind::Name)),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
            Some(("/params/uri", Kind::Uri))
        }
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some(("/params/taskId", Kind::Name)),
        _ => None,
    }
}

fn strip_list(message: &mut Value, (key, field, kind): (&str, &str, Kind), names: &Names) {
    let items = message.pointer_mut(&format!("/result/{key}"));
    let Some(items) = items.and_then(Value::as_array_mut) else {
        return;
    };
    items.retain(|item| {
        let exposed = item[field].as_str().unwrap_or_default();
        !names.is_of_another(kind, exposed)
    });
    for item in items {
        replace(item, &format!("/{field}"), |exposed| {
            names.own(kind, exposed)
        });
        for pointer in ["/_meta/ui/resourceUri", "/_meta/ui~1resourceUri"] {
            replace(item, pointer, |exposed| names.own(Kind::Uri, exposed));
        }
    }
}

/// Everything in a result that may be or hold a resource: what was read, what a tool or a task gave, what a prompt
/// says.
fn contents(message: &mut Value) -> Vec<&mut Value> {
    let Some(result) = message.get_mut("result").and_then(Value::as_object_mut) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, value) in result.iter_mut() {
        match key.as_str() {
            "contents" | "content" => found.extend(members(value)),
            "messages" => {
                let messages = members(value).into_iter();
                let content = messages.filter_map(|message| message.get_mut("content"));
                found.extend(content.flat_map(members));
            }
            "result" => {
                let content = value.get_mut("content");
                found.extend(content.into_iter().flat_map(members));
            }
            _ => {}
        }
    }
    found
}

/// The elements of an array, or the value itself.
fn members(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(members) => members.iter_mut().collect(),
        value => vec![value],
    }
}

fn replace(value: &mut Value, pointer: &str, name: impl Fn(&str) -> String) {
    if let Some(Value::String(text)) = value.pointer_mut(pointer) {
        *text = name(text);
    }
}

fn replace_each(value: &mut Value, pointer: &str, name: impl Fn(&str) -> String) {
    if let Some(Value::Array(texts)) = value.pointer_mut(pointer) {
        for text in texts {
            replace(text, "", &name);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names() -> Names {
        Names::of("maps", &["files"])
    }

    fn exposed(method: &str, params: Value) -> Value {
        let mut message = json!({ "id": 1, "method": method, "params": params });
        expose(&mut message, &names());
        message["params"].take()
    }

    fn stripped(result: Value) -> Value {
        let mut message = json!({ "id": 1, "result": result });
        strip(&mut message, &names());
        message["result"].take()
    }

    #[test]
    fn requests_name_what_the_endpoint_shows() {
        assert_eq!(
            exposed("tools/call", json!({ "name": "find" }))["name"],
            "maps__find"
        );
        assert_eq!(
            exposed("resources/read", json!({ "uri": "a:b" }))["uri"],
            "maps+a:b"
        );
        let reference = json!({ "ref": { "type": "ref/prompt", "name": "p" } });
        assert_eq!(
            exposed("completion/complete", reference)["ref"]["name"],
            "maps__p"
        );
        let filter = json!({ "notifications": { "resourceSubscriptions": ["a:b"] } });
        assert_eq!(
            exposed("subscriptions/listen", filter)["notifications"]["resourceSubscriptions"],
            json!(["maps+a:b"])
        );
        let of_no_item = json!({ "name": "find" });
        assert_eq!(exposed("tools/list", of_no_item.clone()), of_no_item);
    }

    #[test]
    fn what_names_nothing_stays_as_it_is() {
        let message = json!({ "method": "notifications/progress", "params": { "progress": 1 } });
        let mut mapped = message.clone();
        strip(&mut mapped, &names());
        assert_eq!(mapped, message);
    }

    #[test]
    fn lists_hold_what_the_server_has() {
        let tools = json!({ "tools": [{ "name": "maps__find" }, { "name": "files__find" }] });
        assert_eq!(stripped(tools), json!({ "tools": [{ "name": "find" }] }));
    }

    #[test]
    fn links_lead_to_the_servers_own_resources() {
        let call = json!({ "content": [
            { "type": "resource_link", "uri": "maps+a:b" },
            { "type": "resource", "resource": { "uri": "ui://maps/v" } },
        ]});
        let own = json!([
            { "type": "resource_link", "uri": "a:b" },
            { "type": "resource", "resource": { "uri": "ui://v" } },
        ]);
        assert_eq!(stripped(call.clone())["content"], own);
        assert_eq!(
            stripped(json!({ "result": call }))["result"]["content"],
            own
        );
        let prompt = json!({ "messages": [
            { "role": "user", "content": { "type": "resource", "resource": { "uri": "maps+a:b" } } },
        ]});
        assert_eq!(
            stripped(prompt)["messages"][0]["content"]["resource"]["uri"],
            "a:b"
        );
    }
}
