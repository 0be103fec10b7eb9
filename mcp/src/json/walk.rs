//! Walks over JSON text (RFC 8259): checks its form and finds where values begin and end, without
//! making anything of them.

use std::ops::Range;

use memchr::memchr2;

use super::MAX_DEPTH;

/// Why a walk ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Malformed,
    TooDeep,
}

/// A place in a text.
pub(super) struct Walk<'a> {
    text: &'a [u8],
    at: usize,
}

/// How much of a string is looked at byte by byte: most end before a search pays.
const SHORT: usize = 24;

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// Passes over one byte, if it is this one.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_there = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// Passes over a field's key and colon, and the white space around them. Where the key stands,
    /// quotes included.
    pub(super) fn key(&mut self) -> Result<Range<usize>, Stop> {
        self.skip_space();
        let start = self.at;
        if !self.take(b'"') {
            return Err(Stop::Malformed);
        }
        self.string()?;
        let end = self.at;
        self.skip_space();
        match self.take(b':') {
            true => Ok(start..end),
            false => Err(Stop::Malformed),
        }
    }

    /// Passes over one value that stands within `depth` objects and arrays. Where it stands.
    pub(super) fn value(&mut self, depth: usize) -> Result<Range<usize>, Stop> {
        self.skip_space();
        let start = self.at;
        let mut open = Open { depth, objects: 0 };
        loop {
            self.skip_space();
            let Some(first) = self.text.get(self.at) else {
                return Err(Stop::Malformed);
            };
            self.at += 1;
            match first {
                b'"' => self.string()?,
                b'{' => {
                    open.push(true)?;
                    self.skip_space();
                    if !self.take(b'}') {
                        self.key()?;
                        continue;
                    }
                    open.pop();
                }
                b'[' => {
                    open.push(false)?;
                    self.skip_space();
                    if !self.take(b']') {
                        continue;
                    }
                    open.pop();
                }
                b'-' | b'0'..=b'9' => self.number(*first)?,
                b't' => self.rest_of(b"rue")?,
                b'f' => self.rest_of(b"alse")?,
                b'n' => self.rest_of(b"ull")?,
                _ => return Err(Stop::Malformed),
            }
            if self.leave(&mut open, depth)? {
                return Ok(start..self.at);
            }
        }
    }

    /// Behind a value, leaves the objects and arrays that end there; whether that is all of them.
    fn leave(&mut self, open: &mut Open, depth: usize) -> Result<bool, Stop> {
        while open.depth > depth {
            self.skip_space();
            let in_object = open.is_object();
            if self.take(b',') {
                if in_object {
                    self.key()?;
                }
                return Ok(false);
            }
            if !self.take(if in_object { b'}' } else { b']' }) {
                return Err(Stop::Malformed);
            }
            open.pop();
        }
        Ok(true)
    }

    /// Passes over the rest of a string, its closing quote included.
    fn string(&mut self) -> Result<(), Stop> {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
            let head = rest.get(..SHORT).unwrap_or(rest);
            let length = match head.iter().position(special) {
                Some(length) => length,
                None => long_run(rest)?,
            };
            self.at += length + 1;
            match rest.get(length) {
                Some(b'"') => return Ok(()),
                Some(b'\\') => self.escape()?,
                _ => return Err(Stop::Malformed),
            }
        }
    }

    /// Passes over what stands behind a backslash.
    fn escape(&mut self) -> Result<(), Stop> {
        let Some(kind) = self.text.get(self.at) else {
            return Err(Stop::Malformed);
        };
        self.at += 1;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(Stop::Malformed);
                }
                self.at += 4;
                Ok(())
            }
            _ => Err(Stop::Malformed),
        }
    }

    /// Passes over the rest of a number that begins with `first`.
    fn number(&mut self, first: u8) -> Result<(), Stop> {
        let first = match first {
            b'-' => {
                let digit = self.text.get(self.at).copied().unwrap_or_default();
                self.at += 1;
                digit
            }
            digit => digit,
        };
        match first {
            b'0' => {}
            b'1'..=b'9' => {
                self.digits();
            }
            _ => return Err(Stop::Malformed),
        }
        if self.take(b'.') && self.digits() == 0 {
            return Err(Stop::Malformed);
        }
        if self.take(b'e') || self.take(b'E') {
            let _is_signed = self.take(b'+') || self.take(b'-');
            if self.digits() == 0 {
                return Err(Stop::Malformed);
            }
        }
        Ok(())
    }

    /// Passes over digits; how many there were.
    fn digits(&mut self) -> usize {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn rest_of(&mut self, word: &[u8]) -> Result<(), Stop> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(Stop::Malformed);
        }
        self.at += word.len();
        Ok(())
    }
}

/// How many bytes of a string stand before the next quote or backslash.
fn long_run(rest: &[u8]) -> Result<usize, Stop> {
    let length = memchr2(b'"', b'\\', rest).ok_or(Stop::Malformed)?;
    let run = rest.get(..length).unwrap_or_default();
    // All of them at once: a loop that may end early is not made into one over many bytes.
    match run.iter().fold(false, |found, byte| found | (*byte < 0x20)) {
        true => Err(Stop::Malformed),
        false => Ok(length),
    }
}

/// The objects and arrays in which a place is.
struct Open {
    depth: usize,
    /// A bit for each of the last ones, the innermost lowest: whether it is an object.
    objects: u128,
}

impl Open {
    fn push(&mut self, is_object: bool) -> Result<(), Stop> {
        if self.depth >= MAX_DEPTH {
            return Err(Stop::TooDeep);
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(is_object);
        Ok(())
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
    }

    fn is_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

// As many places as bits.
const _: () = assert!(MAX_DEPTH <= u128::BITS as usize);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::super::arbitrary;
    use super::*;

    fn walk(text: &[u8]) -> Result<Range<usize>, Stop> {
        let mut walk = Walk::new(text);
        let value = walk.value(0)?;
        walk.skip_space();
        match walk.is_at_end() {
            true => Ok(value),
            false => Err(Stop::Malformed),
        }
    }

    fn is_json(text: &[u8]) -> bool {
        serde_json::from_slice::<IgnoredAny>(text).is_ok()
    }

    #[test]
    fn knows_what_is_json() {
        for text in [
            "0",
            "-0",
            "-0.0e+0",
            "1E9",
            "12.5e-3",
            "\"\"",
            r#""\"\\\/\b\f\n\r\t\uD800""#,
            "[]",
            "{}",
            " [ 1 , [ ] , { } ] ",
            r#"{"a":{"b":[{}]},"c":null}"#,
            "true",
            "false",
            "null",
        ] {
            assert!(is_json(text.as_bytes()), "{text}");
            let trimmed = text.trim();
            let start = text.find(trimmed).unwrap();
            assert_eq!(
                walk(text.as_bytes()),
                Ok(start..start + trimmed.len()),
                "{text}"
            );
        }
    }

    #[test]
    fn knows_what_is_not() {
        let long = format!("\"{}\n\"", "x".repeat(100));
        for text in [
            "",
            " ",
            "-",
            "01",
            "1.",
            ".1",
            "1e",
            "1e+",
            "+1",
            "nul",
            "tru",
            "truer",
            "\"",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\n\"",
            &long,
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[}",
            "{",
            "{]",
            "{1:2}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "[1}",
            "{\"a\":1]",
            "1 1",
            "\u{b}1",
        ] {
            assert!(!is_json(text.as_bytes()), "{text}");
            assert_eq!(walk(text.as_bytes()), Err(Stop::Malformed), "{text}");
        }
    }

    #[test]
    fn says_of_what_nests_too_deep_that_it_does() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(walk(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(walk(nested(MAX_DEPTH + 1).as_bytes()), Err(Stop::TooDeep));
        assert_eq!(
            Walk::new(nested(MAX_DEPTH).as_bytes()).value(1),
            Err(Stop::TooDeep)
        );
        let mixed = format!("{}1{}", r#"[{"a":"#.repeat(64), "}]".repeat(64));
        assert!(walk(mixed.as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn agrees_with_the_library_on_what_is_json(text in arbitrary::value()) {
            prop_assert!(walk(text.as_bytes()).is_ok());
        }

        #[test]
        fn agrees_with_the_library_on_what_was_damaged(
            text in arbitrary::value(),
            at: prop::sample::Index,
            byte in prop::sample::select(b"\"\\{}[],:0e.-+ \nutf".to_vec()),
            kind in 0..3,
        ) {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
            if std::str::from_utf8(&bytes).is_ok() {
                prop_assert_eq!(walk(&bytes).is_ok(), is_json(&bytes), "{:?}", bytes);
            }
        }
    }
}
