//! Arbitrary JSON as text, spelt in every way that the grammar allows.

use proptest::prelude::*;

/// An object's text and its fields: each key as written, and each value as written.
#[derive(Debug, Clone)]
pub(crate) struct ObjectText {
    pub(crate) text: String,
    pub(crate) fields: Vec<(String, String)>,
}

pub(crate) fn space() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,3}"
}

/// Numbers beyond what any machine type holds among them.
pub(crate) fn number() -> impl Strategy<Value = String> {
    r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?"
}

pub(crate) fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => r#"[^"\\\x00-\x1f]{1,4}"#,
        1 => prop::sample::select(vec![
            r#"\""#, r"\\", r"\/", r"\b", r"\n", r"\u0041", r"\u00E9", r"\ud83d\ude00", "{", "]",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

pub(crate) fn id() -> impl Strategy<Value = String> {
    prop_oneof![string(), number()]
}

pub(crate) fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        string(),
        number(),
        prop::sample::select(vec!["true", "false", "null"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (
                prop::collection::vec((space(), inner.clone(), space()), 0..4),
                space()
            )
                .prop_map(|(items, space)| {
                    let items: Vec<String> = items
                        .into_iter()
                        .map(|(a, item, b)| format!("{a}{item}{b}"))
                        .collect();
                    if items.is_empty() {
                        format!("[{space}]")
                    } else {
                        bracketed("[", &items, "]")
                    }
                }),
            fields_of(inner)
                .prop_flat_map(object_of)
                .prop_map(|object| object.text),
        ]
    })
}

/// Fields that no part of the gateway reads, their keys all different.
pub(crate) fn unknown_fields() -> impl Strategy<Value = Vec<(String, String)>> {
    fields_of(value().boxed())
}

/// The object that holds `fields` in some order, with some white space.
pub(crate) fn object_of(fields: Vec<(String, String)>) -> impl Strategy<Value = ObjectText> {
    let count = fields.len();
    let spaces = prop::collection::vec((space(), space(), space(), space()), count);
    (Just(fields).prop_shuffle(), spaces, space()).prop_map(|(fields, spaces, space)| {
        let members: Vec<String> = fields
            .iter()
            .zip(spaces)
            .map(|((key, value), (a, b, c, d))| format!("{a}{key}{b}:{c}{value}{d}"))
            .collect();
        let text = if members.is_empty() {
            format!("{{{space}}}")
        } else {
            bracketed("{", &members, "}")
        };
        ObjectText { text, fields }
    })
}

fn fields_of(value: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((string(), value), 0..5).prop_map(|fields| {
        let numbered = fields.into_iter().enumerate();
        numbered
            .map(|(at, (key, value))| (key.replacen('"', &format!("\"x{at} "), 1), value))
            .collect()
    })
}

fn bracketed(open: &str, members: &[String], close: &str) -> String {
    format!("{open}{}{close}", members.join(","))
}
