//! What the scanner accepts and finds is what a parser accepts and finds.
#![no_main]

use bytes::Bytes;
use gateway_fuzz::Members;
use gateway_mcp::list::{ListKind, Page};
use gateway_mcp::{Kind, Message, Params, ScanError, batch};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let scanned = Message::scan(bytes.clone());
    let parsed: Option<Value> = serde_json::from_slice(data).ok();
    match &scanned {
        Ok(message) => check_parts(message),
        // The parser counts nesting as well, and is no more generous.
        Err(ScanError::TooDeep { .. }) => assert!(parsed.is_none()),
        Err(_) => {
            let kind = parsed.and_then(|_| kind_of(&Members::of(data)?));
            assert_eq!(kind, None, "a message was refused: {scanned:?}");
        }
    }
    if let Ok(message) = scanned {
        check_params(&message);
        for kind in ListKind::ALL {
            check_page(&message, *kind);
        }
    }
    check_batch(&bytes);
});

/// Each part says what the member of that name says.
fn check_parts(message: &Message) {
    let members = Members::of(message.bytes()).expect("what is scanned is JSON");
    for (key, part) in [
        ("id", message.id()),
        ("params", message.params()),
        ("result", message.result()),
        ("error", message.error()),
    ] {
        let raw = members.0.iter().find(|(name, _)| name == key);
        let raw = raw.map(|(_, raw)| raw.get()).filter(|raw| *raw != "null");
        assert_eq!(part.filter(|part| *part != "null"), raw, "{key}");
        assert!(members.count_alike(key) < 2, "{key} is there twice");
    }
    let method = members.value("method");
    assert_eq!(message.method(), method.as_ref().and_then(Value::as_str));
    // Numbers that no machine type holds have no parsed form.
    if serde_json::from_slice::<Value>(message.bytes()).is_ok() {
        assert_eq!(Some(message.kind()), kind_of(&members));
    }
}

/// What kind of message an object is by the specification; `None` if it is none.
fn kind_of(members: &Members) -> Option<Kind> {
    let known = ["jsonrpc", "id", "method", "params", "result", "error"];
    if known.iter().any(|key| members.count_alike(key) > 1) {
        return None;
    }
    if members.value("jsonrpc")? != "2.0" {
        return None;
    }
    let is_id = |id: &Value| id.is_string() || id.is_number();
    let has = |key| members.value(key).is_some();
    let (id, error) = (members.value("id"), members.value("error"));
    if let Some(method) = members.value("method") {
        let is_call = method.is_string() && !has("result") && !has("error");
        return match id {
            _ if !is_call => None,
            None => Some(Kind::Notification),
            Some(id) => is_id(&id).then_some(Kind::Request),
        };
    }
    let id_fits = id.as_ref().is_some_and(is_id);
    match error.filter(|error| !error.is_null()) {
        Some(error) => {
            let id_fits = id_fits || id.is_none_or(|id| id.is_null());
            let no_result = members
                .value("result")
                .is_none_or(|result| result.is_null());
            (error.is_object() && no_result && id_fits).then_some(Kind::Response)
        }
        None => (has("result") && id_fits).then_some(Kind::Response),
    }
}

/// Each parameter says what the member of that name says.
fn check_params(message: &Message) {
    let Ok(params) = Params::of(message) else {
        return;
    };
    params.meta().ok();
    let text = message.params().unwrap_or("{}");
    let members = Members::of(text.as_bytes()).unwrap_or(Members(Vec::new()));
    for (key, found) in [
        ("name", params.name()),
        ("uri", params.uri()),
        ("cursor", params.cursor()),
        ("taskId", params.task_id()),
    ] {
        let value = members.value(key);
        assert_eq!(found, value.as_ref().and_then(Value::as_str), "{key}");
        assert!(members.count_alike(key) < 2, "{key} is there twice");
    }
}

/// A page has an item for every element that can be referred to.
fn check_page(message: &Message, kind: ListKind) {
    let Ok(page) = Page::scan(message, kind) else {
        return;
    };
    let result = message.result().expect("a page stands in a result");
    let members = Members::of(result.as_bytes()).expect("a result with a list is an object");
    for item in &page.items {
        let parts = Members::of(item.bytes()).expect("an item is an object");
        let name = parts.value(kind.identity()).expect("an item has a name");
        assert_eq!(Some(item.name()), name.as_str());
        let renamed = Members::of(&item.renamed("other")).expect("a renamed item is an object");
        assert_eq!(renamed.value(kind.identity()), Some("other".into()));
        assert_eq!(renamed.0.len(), parts.0.len());
    }
    let listed = members.0.iter().find(|(key, _)| key == kind.key());
    let listed = listed.map(|(_, raw)| serde_json::from_str(raw.get()));
    let listed: Vec<Box<serde_json::value::RawValue>> = listed
        .expect("a page has a list")
        .expect("a list is an array");
    assert_eq!(listed.len(), page.items.len() + page.dropped);
}

/// A batch has each of its members as one message.
fn check_batch(bytes: &Bytes) {
    const MOST: usize = 8;
    let Ok(messages) = batch::scan(bytes, MOST) else {
        return;
    };
    assert!((1..=MOST).contains(&messages.len()));
    let members: Vec<Box<serde_json::value::RawValue>> =
        serde_json::from_slice(bytes).expect("a batch is an array");
    assert_eq!(members.len(), messages.len());
    for (member, message) in members.iter().zip(messages) {
        assert_eq!(message.bytes(), member.get());
    }
}
