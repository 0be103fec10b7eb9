//! A session id opens to what it was made of; nothing else opens, and no changed id does.
#![no_main]

use std::sync::LazyLock;

use gateway_data_plane::fuzzing::SessionIds;
use libfuzzer_sys::fuzz_target;

static IDS: LazyLock<SessionIds> =
    LazyLock::new(|| SessionIds::new().expect("the system has random bytes"));

fuzz_target!(|data: &[u8]| {
    let [position, flipped, text @ ..] = data else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    assert_eq!(IDS.open(text), None, "nobody was given this id");
    // The text is, line by line, a user and what the client declared.
    let (user, capabilities) = text.split_once('\n').unwrap_or((text, "{}"));
    let Some((id, held)) = IDS.issue(user, capabilities) else {
        return;
    };
    assert!(id.bytes().all(|byte| byte.is_ascii_graphic()));
    let opened = IDS.open(&id).expect("an id that was given out opens");
    assert_eq!(opened, held);
    assert_eq!(opened.user, user);
    // What is kept of the declared is what is kept of it again.
    let (_, again) = IDS
        .issue(user, &opened.callbacks)
        .expect("it is a user's name");
    assert_eq!(again.callbacks, opened.callbacks);

    let at = usize::from(*position) % id.len();
    let mut changed = id.clone().into_bytes();
    changed[at] ^= (*flipped & 0x7f).max(1);
    let changed = String::from_utf8(changed).expect("it stays ASCII");
    assert_eq!(IDS.open(&changed), None);
    assert_eq!(IDS.open(&id[..at]), None);
    assert_eq!(IDS.open(&format!("{id}A")), None);
});
