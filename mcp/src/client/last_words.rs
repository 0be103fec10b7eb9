//! The last lines that a child wrote to its standard error, for who has to say why it is of no use.

use std::collections::VecDeque;

use tokio::sync::watch;

/// How many lines are kept.
const LINES: usize = 8;

/// The longest line that is kept, in characters.
pub(super) const LINE_CHARACTERS: usize = 400;

/// Filled by the child that it was given to, or the last of several; clones share what is kept.
#[derive(Debug, Clone)]
pub struct LastWords(watch::Sender<VecDeque<String>>);

impl LastWords {
    /// The lines so far, the oldest first. They are complete once the child is gone.
    pub fn lines(&self) -> Vec<String> {
        self.0.borrow().iter().cloned().collect()
    }

    /// Another child begins.
    pub(super) fn begin(&self) {
        self.0.send_modify(VecDeque::clear);
    }

    pub(super) fn add(&self, line: String) {
        self.0.send_modify(|lines| {
            if lines.len() == LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        });
    }
}

impl Default for LastWords {
    fn default() -> Self {
        Self(watch::Sender::new(VecDeque::with_capacity(LINES)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_in_order() {
        let words = LastWords::default();
        for number in 0..LINES + 2 {
            words.add(number.to_string());
        }
        let lines = words.lines();
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines.first().map(String::as_str), Some("2"));
        assert_eq!(lines.last().map(String::as_str), Some("9"));
        words.begin();
        assert!(words.lines().is_empty());
    }
}
