//! Walks over JSON text (RFC 8259): checks its form and finds where values begin and end, without
//! making anything of them.

use std::ops::Range;

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
            let length = plain(rest);
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

/// How many bytes stand before the next quote, backslash or control character. Eight are looked at
/// at once, as most texts have one of these in every line.
fn plain(rest: &[u8]) -> usize {
    let (words, tail) = rest.as_chunks();
    for (index, word) in words.iter().enumerate() {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return index * WORD + found.trailing_zeros() as usize / 8;
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    let found = tail.iter().position(special);
    rest.len() - tail.len() + found.unwrap_or(tail.len())
}

const WORD: usize = size_of::<u64>();

/// The high bits of the bytes that are a quote, a backslash or a control character; above the
/// lowest of them, others may be set as well.
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; WORD]);
    const HIGH: u64 = ONES << 7;
    // A byte below `limit`, which is at most 128, borrows from its high bit when that is taken from it.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | equal(b'"') | equal(b'\\')) & HIGH
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
mod tests;
