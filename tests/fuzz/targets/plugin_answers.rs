//! What plugins answer: read by every kind, an answer is never more than it says, and no error quotes it.
#![no_main]

use gateway_plugins::fuzzing::read_answer;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// As long a piece of an answer in an error would be a quotation.
const PIECE: usize = 24;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let readings = read_answer(text);
    for error in &readings.errors {
        for piece in data.windows(PIECE) {
            let quotes = error.as_bytes().windows(PIECE).any(|part| part == piece);
            assert!(!quotes, "{error}");
        }
    }
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
