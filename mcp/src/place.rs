//! Finds the places of values deep inside a JSON text, by the path that leads to them.

use std::ops::Range;

use crate::json::{Fields, elements};

/// One step of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Into the value of this field.
    Field(&'static str),
    /// Into every element of an array. A value that is no array counts as its own only element,
    /// because some fields hold one thing or several.
    Each,
}

/// The places of all values to which `path` leads from the value at `range`, in the order of the
/// text. What does not have the form that the path expects leads nowhere.
pub fn find(source: &[u8], range: Range<usize>, path: &[Step]) -> Vec<Range<usize>> {
    let Some((step, rest)) = path.split_first() else {
        return vec![range];
    };
    match step {
        Step::Field(key) => match field(source, range, key) {
            Some(value) => find(source, value, rest),
            None => Vec::new(),
        },
        Step::Each => {
            let items = elements(source, range.clone()).unwrap_or_else(|| vec![range]);
            let found = items.into_iter().flat_map(|item| find(source, item, rest));
            found.collect()
        }
    }
}

fn field(source: &[u8], range: Range<usize>, key: &str) -> Option<Range<usize>> {
    Fields::scan(source, range).ok()?.get(key)
}

#[cfg(test)]
mod tests {
    use super::Step::{Each, Field};
    use super::*;

    fn texts<'a>(source: &'a str, path: &[Step]) -> Vec<&'a str> {
        let places = find(source.as_bytes(), 0..source.len(), path);
        places
            .into_iter()
            .map(|range| source.get(range).unwrap())
            .collect()
    }

    #[test]
    fn follows_fields_and_every_element() {
        let source = r#"{"content":[{"uri":"a"},{"resource":{"uri":"b"}},7,{"uri" : "c"}]}"#;
        assert_eq!(
            texts(source, &[Field("content"), Each, Field("uri")]),
            ["\"a\"", "\"c\""]
        );
        let inner = [Field("content"), Each, Field("resource"), Field("uri")];
        assert_eq!(texts(source, &inner), ["\"b\""]);
    }

    #[test]
    fn one_thing_counts_as_a_list_of_one() {
        let source = r#"{"content":{"uri":"a"}}"#;
        assert_eq!(
            texts(source, &[Field("content"), Each, Field("uri")]),
            ["\"a\""]
        );
    }

    #[test]
    fn another_form_leads_nowhere() {
        for source in ["7", "{}", r#"{"content":7}"#, r#"{"content":[]}"#] {
            assert!(texts(source, &[Field("content"), Each, Field("uri")]).is_empty());
        }
    }
}
