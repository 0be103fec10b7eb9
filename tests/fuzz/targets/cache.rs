//! What a data plane keeps on disk: documents are read as they were written, and a state that was not
//! written with the key is none.
#![no_main]

use std::sync::LazyLock;

use gateway_data_plane::fuzzing::{KeptState, reread};
use libfuzzer_sys::fuzz_target;

static STATES: LazyLock<KeptState> =
    LazyLock::new(|| KeptState::new().expect("the system has random bytes"));

const HEADING: &[u8] = b"mcp-gateway documents 1\n";

fuzz_target!(|data: &[u8]| {
    let [position, flipped, text @ ..] = data else {
        return;
    };
    for file in [text, &[HEADING, text].concat()] {
        if let Some(again) = reread(file) {
            assert_eq!(reread(&again).as_ref(), Some(&again));
        }
    }
    assert_eq!(STATES.read(text), None, "nobody has written this state");
    let store = String::from_utf8_lossy(text);
    let written = STATES.write(&store, u64::from(*position));
    let written = written.expect("it can be written");
    let read = STATES.read(&written).expect("what was written is read");
    assert_eq!(read, (store.into_owned(), u64::from(*position)));

    let at = usize::from(*position) % written.len();
    let mut changed = written.clone();
    changed[at] ^= (*flipped).max(1);
    assert_eq!(STATES.read(&changed), None);
    assert_eq!(STATES.read(&written[..at]), None);
});
