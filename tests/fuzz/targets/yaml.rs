//! Any text is a document that can be written and read again, or is refused with places in it.
#![no_main]

use gateway_core::config::{load_yaml, to_yaml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match load_yaml(text) {
        Ok(document) => {
            let written = to_yaml(&document).expect("a checked document can be written");
            let read = load_yaml(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
            assert_eq!(read, document, "{written}");
        }
        Err(error) => {
            assert!(!error.problems.is_empty());
            for problem in error.problems {
                assert!(!problem.reason.is_empty());
                check_place(text, problem.line, problem.column);
            }
        }
    }
});

/// A place is that of a character, or of the end of a line.
fn check_place(text: &str, line: u64, column: u64) {
    assert!(line > 0 && column > 0, "{line}:{column}");
    let text = text.replace("\r\n", "\n");
    let mut lines = text.split(['\n', '\r']);
    let at = usize::try_from(line - 1).expect("a line has a number");
    let found = lines.nth(at);
    let found = found.unwrap_or_else(|| panic!("there is no line {line}"));
    let length = found.chars().count() as u64;
    assert!(
        column <= length + 1,
        "there is no column {column} in line {line}"
    );
}
