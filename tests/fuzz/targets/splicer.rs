//! Edits change what they name and nothing else, and what they leave is the message they say it is.
#![no_main]

use bytes::Bytes;
use gateway_fuzz::Members;
use gateway_mcp::json::Fields;
use gateway_mcp::{Message, Splice};
use libfuzzer_sys::fuzz_target;

/// What is put in; of another form than most of what is there.
const VALUE: &str = r#"{"new":["\"}",1e5]}"#;

fuzz_target!(|data: &[u8]| {
    let Some((fates, text)) = data.split_at_checked(8) else {
        return;
    };
    let text = Bytes::copy_from_slice(text);
    check_ranges(&text, fates);
    check_fields(&text, fates);
    if let Ok(message) = Message::scan(text) {
        check_message(&message);
    }
});

/// Ranges of any bytes: they are replaced as by hand, or overlap.
fn check_ranges(text: &Bytes, fates: &[u8]) {
    let mut splice = Splice::new(text);
    let mut ranges = Vec::new();
    for two in fates.chunks_exact(2) {
        let start = usize::from(two[0] >> 1);
        let range = start..start + usize::from(two[1] % 8);
        splice.replace(range.clone(), VALUE);
        ranges.push(range);
    }
    ranges.sort_by_key(|range| (range.start, range.end));
    let overlap = ranges.windows(2).any(|two| two[1].start < two[0].end);
    let outside = ranges.iter().any(|range| range.end > text.len());
    let Ok(edited) = splice.finish() else {
        assert!(overlap || outside, "{ranges:?} of {}", text.len());
        return;
    };
    assert!(!overlap && !outside, "{ranges:?} of {}", text.len());
    let mut expected = text.to_vec();
    for range in ranges.into_iter().rev() {
        expected.splice(range, VALUE.bytes());
    }
    assert_eq!(edited, expected);
}

/// Fields of an object: some stay, some go, some get another value, and some are new.
fn check_fields(text: &Bytes, fates: &[u8]) {
    let Ok(fields) = Fields::scan(text, 0..text.len()) else {
        return;
    };
    let before = Members::of(text).expect("what is scanned is an object");
    // The same key has the same fate wherever it stands.
    let fate = |key: &str| {
        let at = before
            .0
            .iter()
            .position(|(name, _)| name == key)
            .unwrap_or(0);
        fates[at % fates.len()] % 3
    };
    let added = usize::from(fates[7] >> 6);
    let mut splice = Splice::new(text);
    for (key, place) in fields.iter() {
        if fate(key) == 2 {
            splice.replace(place, VALUE);
        }
    }
    splice.remove_fields(&fields, |key| fate(key) == 1);
    for position in 0..added {
        splice.insert_field(&fields.object(), &format!("\"{position}"), VALUE);
    }
    let edited = splice.finish().expect("fields do not overlap");
    let after = Members::of(&edited).expect("what is left is an object");
    let mut expected: Vec<(String, &str)> = Vec::new();
    expected.extend((0..added).map(|position| (format!("\"{position}"), VALUE)));
    for (key, raw) in &before.0 {
        match fate(key) {
            0 => expected.push((key.clone(), raw.get())),
            1 => {}
            _ => expected.push((key.clone(), VALUE)),
        }
    }
    let found: Vec<(String, &str)> = after
        .0
        .iter()
        .map(|(key, raw)| (key.clone(), raw.get()))
        .collect();
    assert_eq!(found, expected);
}

/// A message that was edited is the message that its bytes are read as.
fn check_message(message: &Message) {
    let before = Members::of(message.bytes()).expect("a message is an object");
    // Beside a key that differs from it in case only, adding one makes what is refused.
    let may_be_set = |key: &str| {
        let is_there = before.0.iter().any(|(name, _)| name == key);
        is_there || before.count_alike(key) == 0
    };
    if may_be_set("id") {
        check_same(&message.with_id("\"other\""), &before, "id");
    }
    if !may_be_set("params") {
        return;
    }
    check_same(&message.with_params(VALUE), &before, "params");
    for edited in [
        message.with_name("o\"ther"),
        message.with_uri("other:"),
        message.with_cursor(""),
        message.with_param("new", VALUE),
    ]
    .into_iter()
    .flatten()
    {
        check_same(&edited, &before, "params");
    }
}

fn check_same(edited: &Message, before: &Members, changed: &str) {
    let read = Message::scan(edited.bytes().clone());
    assert_eq!(read.as_ref(), Ok(edited));
    let after = Members::of(edited.bytes()).expect("a message is an object");
    let others = |members: &Members| -> Vec<(String, String)> {
        let others = members.0.iter().filter(|(key, _)| key != changed);
        others
            .map(|(key, raw)| (key.clone(), raw.get().to_owned()))
            .collect()
    };
    assert_eq!(others(&after), others(before));
    assert_eq!(after.0.iter().filter(|(key, _)| key == changed).count(), 1);
}
