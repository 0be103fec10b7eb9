use proptest::prelude::*;

use super::*;
use crate::json::{arbitrary, decode_str, str_at};

fn edited(text: &str, edit: impl FnOnce(&mut Splice, &Fields<'_>)) -> String {
    let source = Bytes::from(text.to_owned());
    let fields = Fields::scan(&source, 0..source.len()).unwrap();
    let mut splice = Splice::new(&source);
    edit(&mut splice, &fields);
    String::from_utf8(splice.finish().unwrap().to_vec()).unwrap()
}

#[test]
fn replaces_ranges_named_in_any_order() {
    let mut splice = Splice::new(&Bytes::from_static(b"0123456789"));
    splice
        .replace(8..9, "eight")
        .replace(0..2, "")
        .replace(2..2, "+")
        .replace(2..4, "-");
    assert_eq!(splice.finish().unwrap(), "+-4567eight9");
}

#[test]
fn refuses_edits_that_overlap_or_lie_outside() {
    for ranges in [
        [1..4, 3..5],
        [3..5, 1..4],
        [1..2, 1..2],
        [0..1, 9..11],
        [0..10, 4..4],
    ] {
        let mut splice = Splice::new(&Bytes::from_static(b"0123456789"));
        for range in ranges.clone() {
            splice.replace(range, "");
        }
        assert!(splice.finish().is_err(), "{ranges:?}");
    }
}

#[test]
fn writes_a_comma_only_where_a_field_follows() {
    let add = |text| {
        edited(text, |splice, fields| {
            splice.insert_field(&fields.object(), "a", "1");
            splice.insert_field(&fields.object(), "b\"", "2");
        })
    };
    assert_eq!(add("{}"), r#"{"a":1,"b\"":2}"#);
    assert_eq!(add("{ \n}"), "{\"a\":1,\"b\\\"\":2 \n}");
    assert_eq!(add(r#"{ "c":3 }"#), r#"{"a":1,"b\"":2, "c":3 }"#);
}

#[test]
fn removes_fields_with_their_commas() {
    let remove = |text, unwanted: &[&str]| {
        edited(text, |splice, fields| {
            splice.remove_fields(fields, |key| unwanted.contains(&key));
        })
    };
    let text = r#"{ "a" : 1 , "b" : "," , "c" : 3 }"#;
    assert_eq!(remove(text, &["a"]), r#"{"b" : "," , "c" : 3 }"#);
    assert_eq!(remove(text, &["b"]), r#"{ "a" : 1 , "c" : 3 }"#);
    assert_eq!(remove(text, &["c"]), r#"{ "a" : 1 , "b" : "," }"#);
    assert_eq!(remove(text, &["a", "b"]), r#"{"c" : 3 }"#);
    assert_eq!(remove(text, &["b", "c"]), r#"{ "a" : 1 }"#);
    assert_eq!(remove(text, &["a", "b", "c"]), "{}");
    assert_eq!(remove(text, &["d"]), text);
}

#[test]
fn fills_an_object_that_it_empties() {
    let text = edited(r#"{"a":1}"#, |splice, fields| {
        splice.insert_field(&fields.object(), "b", "2");
        splice.remove_fields(fields, |_| true);
    });
    assert_eq!(text, r#"{"b":2}"#);
}

proptest! {
    #[test]
    fn changes_only_what_it_says(
        object in arbitrary::unknown_fields().prop_flat_map(arbitrary::object_of),
        fates in prop::collection::vec(0u8..3, 5),
        added in prop::collection::vec(arbitrary::value(), 0..3),
    ) {
        let key_of = |key: &str| decode_str(key.as_bytes()).unwrap().into_owned();
        let removed: Vec<String> = object.fields.iter().zip(&fates)
            .filter(|(_, fate)| **fate == 1)
            .map(|((key, _), _)| key_of(key))
            .collect();
        let text = edited(&object.text, |splice, fields| {
            for (position, value) in added.iter().enumerate() {
                splice.insert_field(&fields.object(), &format!("new{position}"), value);
            }
            splice.remove_fields(fields, |key| removed.iter().any(|name| name == key));
            for ((_, place), fate) in fields.iter().zip(&fates) {
                if *fate == 2 {
                    splice.replace(place, "\"replaced\"");
                }
            }
        });
        let mut expected: Vec<(String, String)> = added.into_iter().enumerate()
            .map(|(position, value)| (format!("new{position}"), value))
            .collect();
        for ((key, value), fate) in object.fields.iter().zip(&fates) {
            match fate {
                0 => expected.push((key_of(key), value.clone())),
                1 => {}
                _ => expected.push((key_of(key), "\"replaced\"".to_owned())),
            }
        }
        let fields = Fields::scan(text.as_bytes(), 0..text.len()).unwrap();
        let found: Vec<(String, String)> = fields.iter()
            .map(|(key, value)| (key.to_owned(), str_at(text.as_bytes(), &value).to_owned()))
            .collect();
        prop_assert_eq!(found, expected);
    }
}
