//! Any text is no cursor, or one that is read again as it is written.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_data_plane::fuzzing::rewrite_cursor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        check(text);
    }
    // The same as if it were what is encoded, so that the inner reader is reached at once.
    check(&URL_SAFE_NO_PAD.encode(data));
});

fn check(text: &str) {
    let Some(written) = rewrite_cursor(text) else {
        return;
    };
    assert_eq!(rewrite_cursor(&written).as_deref(), Some(written.as_str()));
}
