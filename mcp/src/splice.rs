//! Edits of JSON text that leave every byte they do not name as it was.

use std::ops::Range;

use bytes::Bytes;

use crate::json::{Fields, encode_str};

/// A set of edits of one text, made all at once by [`Splice::finish`].
///
/// All ranges are those of the text before any edit; the edits may be named in any order.
#[derive(Debug, Clone)]
pub struct Splice {
    source: Bytes,
    edits: Vec<Edit>,
    /// Where the objects begin whose every field is removed.
    emptied: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Edit {
    range: Range<usize>,
    text: Bytes,
    /// A field at the start of an object: needs a comma if anything follows in that object.
    is_field: bool,
}

/// Two edits touch the same bytes, or one lies outside the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("two edits of a message overlap, or one lies outside it, at byte {at}")]
pub struct OverlappingEdits {
    pub at: usize,
}

impl Splice {
    pub fn new(source: &Bytes) -> Splice {
        Splice {
            source: source.clone(),
            edits: Vec::new(),
            emptied: Vec::new(),
        }
    }

    /// Puts `text` where `range` stands.
    pub fn replace(&mut self, range: Range<usize>, text: impl Into<Bytes>) -> &mut Self {
        self.edits.push(Edit {
            range,
            text: text.into(),
            is_field: false,
        });
        self
    }

    /// Adds a field with a JSON value as its first to the object at `object`.
    ///
    /// Several fields added to one object keep the order in which they are named.
    pub fn insert_field(&mut self, object: &Range<usize>, key: &str, value: &str) -> &mut Self {
        let at = object.start + 1;
        let text = Bytes::from(field(key, value));
        self.edits.push(Edit {
            range: at..at,
            text,
            is_field: true,
        });
        self
    }

    /// Takes the fields out of an object whose keys `unwanted` accepts, with their commas.
    pub fn remove_fields(
        &mut self,
        fields: &Fields<'_>,
        unwanted: impl Fn(&str) -> bool,
    ) -> &mut Self {
        let object = fields.object();
        let mut kept_end = None;
        let mut removed_end = None;
        for (key, value) in fields.iter() {
            if unwanted(key) {
                removed_end = Some(value.end);
                continue;
            }
            if let Some(end) = removed_end.take() {
                self.remove_run(&object, kept_end, end, true);
            }
            kept_end = Some(value.end);
        }
        if let Some(end) = removed_end {
            self.remove_run(&object, kept_end, end, false);
        }
        self
    }

    /// Removes neighbouring fields, the last of which ends at `end`, after the field that ends at
    /// `kept_end`: the comma before them goes with them, or, if they come first, the one after.
    fn remove_run(
        &mut self,
        object: &Range<usize>,
        kept_end: Option<usize>,
        end: usize,
        more_follow: bool,
    ) {
        let range = match kept_end {
            Some(kept_end) => kept_end..end,
            None if more_follow => object.start + 1..self.next_key(end),
            None => {
                self.emptied.push(object.start);
                object.start + 1..object.end.saturating_sub(1)
            }
        };
        self.replace(range, Bytes::new());
    }

    /// Where the next key's quote stands, behind the comma.
    fn next_key(&self, from: usize) -> usize {
        let rest = self.source.get(from..).unwrap_or_default();
        from + rest.iter().position(|byte| *byte == b'"').unwrap_or(0)
    }

    /// Makes the edits, in one allocation.
    pub fn finish(self) -> Result<Bytes, OverlappingEdits> {
        let edits = self.resolve()?;
        let added: usize = edits
            .iter()
            .map(|edit| edit.text.len() + usize::from(edit.comma))
            .sum();
        let removed: usize = edits.iter().map(|edit| edit.range.len()).sum();
        let mut target = Vec::with_capacity(self.source.len() + added - removed);
        let mut cursor = 0;
        for edit in edits {
            target.extend_from_slice(
                self.source
                    .get(cursor..edit.range.start)
                    .unwrap_or_default(),
            );
            target.extend_from_slice(&edit.text);
            if edit.comma {
                target.push(b',');
            }
            cursor = edit.range.end;
        }
        target.extend_from_slice(self.source.get(cursor..).unwrap_or_default());
        Ok(Bytes::from(target))
    }

    /// How far each edit moves what follows it: its range and the length of what takes its place.
    pub(crate) fn shifts(&self) -> Result<Vec<Shift>, OverlappingEdits> {
        let edits = self.resolve()?;
        Ok(edits
            .into_iter()
            .map(|edit| Shift {
                length: edit.text.len() + usize::from(edit.comma),
                at: edit.range,
            })
            .collect())
    }

    /// Orders the edits, refuses what overlaps and decides on the commas.
    fn resolve(&self) -> Result<Vec<Resolved>, OverlappingEdits> {
        let mut edits: Vec<&Edit> = self.edits.iter().collect();
        edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
        let mut resolved = Vec::with_capacity(edits.len());
        let mut cursor = 0;
        let mut edits = edits.into_iter().peekable();
        while let Some(edit) = edits.next() {
            let Range { start, end } = edit.range;
            if start < cursor || end < start || end > self.source.len() {
                return Err(OverlappingEdits { at: start });
            }
            cursor = end;
            let another_follows = edits
                .peek()
                .is_some_and(|next| next.is_field && next.range.start == edit.range.start);
            let comma = edit.is_field && (another_follows || self.stays_filled(edit.range.start));
            resolved.push(Resolved {
                range: edit.range.clone(),
                text: edit.text.clone(),
                comma,
            });
        }
        Ok(resolved)
    }

    /// Whether the object that opens just before `at` keeps a field of its own.
    fn stays_filled(&self, at: usize) -> bool {
        !self.emptied.contains(&at.saturating_sub(1)) && !is_empty_from(&self.source, at)
    }
}

/// One edit as it is made.
struct Resolved {
    range: Range<usize>,
    text: Bytes,
    comma: bool,
}

/// An edit seen from the text around it.
#[derive(Debug, Clone)]
pub(crate) struct Shift {
    pub(crate) at: Range<usize>,
    pub(crate) length: usize,
}

impl Shift {
    /// Where the value that stood at `range` stands after the edits.
    pub(crate) fn apply(shifts: &[Shift], range: &Range<usize>) -> Range<usize> {
        let moved = |position: usize| {
            let before = shifts.iter().filter(|shift| shift.at.end <= position);
            before.fold(position, |position, shift| {
                position + shift.length - shift.at.len()
            })
        };
        moved(range.start)..moved(range.end)
    }
}

fn field(key: &str, value: &str) -> String {
    let mut text = encode_str(key);
    text.push(':');
    text.push_str(value);
    text
}

/// Whether the object whose first brace stands just before `at` has no field.
pub(crate) fn is_empty_from(source: &[u8], at: usize) -> bool {
    let rest = source.get(at..).unwrap_or_default();
    rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'}')
}

#[cfg(test)]
mod tests;
