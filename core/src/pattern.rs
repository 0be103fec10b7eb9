//! Name patterns: text in which `*` stands for any text.

/// A pattern as the configuration spells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Takes any text; every text is a pattern.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether the whole name matches. Takes time in proportion to the product of the lengths at
    /// the most, whatever the pattern.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            // There is no star: the pattern is the name.
            return rest.is_empty();
        };
        // Between two stars the first place where a part fits is as good as any later one.
        let mut rest = rest;
        for part in parts {
            match rest.split_once(part) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).matches(name)
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "x"),
            ("files__*", "files__read"),
            ("*__delete_*", "files__delete_all"),
            ("a*b*c", "a-b-b-c"),
            ("a**c", "ac"),
            ("read", "read"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "x"),
            ("files__*", "file__read"),
            ("a*b", "ab-"),
            ("a*a", "a"),
            ("read", "reader"),
            ("*x*y", "yx"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    /// The plain definition, slow for long patterns.
    fn by_definition(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|at| by_definition(rest, &name[at..])),
            Some((first, rest)) => name
                .split_first()
                .is_some_and(|(c, name)| c == first && by_definition(rest, name)),
        }
    }

    proptest! {
        #[test]
        fn matches_what_the_definition_matches(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &name), by_definition(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
