//! What plugins answer: read by every kind, an answer is never more than it says, and no error quotes it.
#![no_main]

use gateway_plugins::fuzzing::read_answer;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Stands somewhere in the answer.
const SECRET: &str = "hunter2-of-the-fuzzer";

fuzz_target!(|data: &[u8]| {
    let Some((place, data)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let place = usize::from(*place) * text.len() / 255;
    let place = text.floor_char_boundary(place);
    let with_secret = [&text[..place], SECRET, &text[place..]].concat();
    for error in &read_answer(&with_secret).errors {
        assert!(!error.contains(SECRET), "{error}");
    }
    let readings = read_answer(text);
    if let Some(principal) = &readings.principal {
        assert!(!readings.failed);
        assert!(!principal.user_id.as_str().is_empty());
        // Whoever it is, the answer says so itself, as structured content or within a text.
        let answer: Value = serde_json::from_str(text).expect("it was read");
        let written = answer.to_string();
        let user = Value::from(principal.user_id.as_str()).to_string();
        let user = user.trim_matches('"');
        let is_said = written.contains(user) || written.replace("\\\\", "\\").contains(user);
        assert!(is_said || written.contains("\\"), "{principal:?}");
    }
});
