use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::json::encode_str;

const SCHEMA: &str = r#"{"type":"object","properties":{
    "region":{"type":"string","x-mcp-header":"Region"},
    "priority":{"x-mcp-header":"Priority","type":"integer"},
    "dry":{"type":"boolean","x-mcp-header":"Dry-Run"},
    "query":{"type":"string"},
    "in":{"type":"object","properties":{"tenant":{"type":"string","x-mcp-header":"tenant"}}}}}"#;

fn valid_annotations(schema: &str) -> Result<(), InvalidAnnotation> {
    ParamHeaders::read(schema).map(drop)
}

fn param_headers(schema: &str, arguments: Option<&str>) -> Result<HeaderMap, ParamError> {
    ParamHeaders::read(schema).unwrap().write(arguments)
}

fn check_params(
    schema: &str,
    arguments: Option<&str>,
    headers: &HeaderMap,
) -> Result<(), HeaderMismatch> {
    let checked = ParamHeaders::read(schema)
        .unwrap()
        .check(arguments, headers);
    checked.map_err(|error| error.mismatch)
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(format!("mcp-param-{name}").as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn schema_of(property: &str) -> String {
    format!(r#"{{"type":"object","properties":{{"p":{property}}}}}"#)
}

#[test]
fn repeats_annotated_arguments_that_have_a_value() {
    let arguments =
        r#" {"region":"us-west1","priority":42,"dry":false,"query":"x","in":{"tenant":" a "}} "#;
    assert_eq!(
        param_headers(SCHEMA, Some(arguments)).unwrap(),
        headers(&[
            ("region", "us-west1"),
            ("priority", "42"),
            ("dry-run", "false"),
            ("tenant", "=?base64?IGEg?=")
        ])
    );
    for arguments in [
        r#"{}"#,
        r#"{"region":null,"in":null}"#,
        r#"{"in":{}}"#,
        r#"{"in":"tenant"}"#,
        r#"{"tenant":"not at its place"}"#,
    ] {
        assert!(
            param_headers(SCHEMA, Some(arguments)).unwrap().is_empty(),
            "{arguments}"
        );
        check_params(SCHEMA, Some(arguments), &HeaderMap::new()).unwrap();
    }
    assert!(param_headers(SCHEMA, None).unwrap().is_empty());
}

#[test]
fn writes_integers_as_decimals_within_the_range_of_every_reader() {
    let schema = schema_of(r#"{"type":"integer","x-mcp-header":"N"}"#);
    let written = |number: &str| {
        let arguments = format!(r#"{{"p":{number}}}"#);
        let headers = param_headers(&schema, Some(&arguments)).ok()?;
        Some(headers["mcp-param-n"].to_str().unwrap().to_owned())
    };
    for (number, text) in [
        ("-7", "-7"),
        ("42.0", "42"),
        ("1e3", "1000"),
        ("8014398511111113.0", "8014398511111113"),
        ("-0", "0"),
        ("9007199254740991", "9007199254740991"),
    ] {
        assert_eq!(written(number).as_deref(), Some(text));
    }
    for number in ["9007199254740992", "1.5", "1e400", "{}", "[1]"] {
        assert_eq!(written(number), None, "{number}");
    }
}

#[test]
fn what_is_no_object_holds_no_argument_whatever_the_names_on_the_way() {
    let annotated = r#"{"type":"string","x-mcp-header":"A"}"#;
    let schema = format!(
        r#"{{"properties":{{"a":{{"properties":{{"b":{{"properties":{{"a":{annotated}}}}}}}}}}}}}"#
    );
    for arguments in [r#"{"a":7}"#, r#"{"a":{"b":"a"}}"#, r#"{"a":[]}"#] {
        let written = param_headers(&schema, Some(arguments));
        assert_eq!(written, Ok(HeaderMap::new()), "{arguments}");
    }
    let written = param_headers(&schema, Some(r#"{"a":{"b":{"a":"x"}}}"#));
    assert_eq!(written, Ok(headers(&[("a", "x")])));
}

#[test]
fn replaces_its_own_headers_and_leaves_others() {
    let read = ParamHeaders::read(SCHEMA).unwrap();
    let mut sent = headers(&[("region", "old"), ("tenant", "old"), ("unknown", "kept")]);
    read.replace_in(&mut sent, Some(r#"{"region":"new"}"#))
        .unwrap();
    assert_eq!(sent, headers(&[("unknown", "kept"), ("region", "new")]));
}

#[test]
fn names_the_header_and_the_argument_it_is_at_odds_with() {
    let arguments = Some(r#"{"in":{"tenant":"a"}}"#);
    let read = ParamHeaders::read(SCHEMA).unwrap();
    let error = read
        .check(arguments, &headers(&[("tenant", "b")]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Header mismatch: Mcp-Param-tenant header value 'b' does not match body value 'a' (argument `in.tenant`)"
    );
}

#[test]
fn names_the_argument_that_cannot_be_repeated() {
    for arguments in [r#"{"region":["us"]}"#, r#"{"region":"a","region":"b"}"#] {
        let error = param_headers(SCHEMA, Some(arguments)).unwrap_err();
        assert!(error.to_string().contains("`region`"), "{error}");
    }
    assert!(matches!(
        param_headers(SCHEMA, Some("[]")).unwrap_err(),
        ParamError::Arguments(_)
    ));
    // Keys that differ in case are different arguments.
    param_headers(SCHEMA, Some(r#"{"region":"a","Region":"b"}"#)).unwrap();
}

#[test]
fn accepts_headers_that_say_what_the_arguments_say() {
    let arguments = r#"{"region":"us-west1","priority":42,"dry":true}"#;
    for (region, priority) in [
        ("us-west1", "42"),
        ("=?base64?dXMtd2VzdDE=?=", "42.0"),
        ("us-west1", "4.2e1"),
    ] {
        let headers = headers(&[
            ("REGION", region),
            ("priority", priority),
            ("dry-run", "true"),
            ("unknown", "whatever"),
        ]);
        check_params(SCHEMA, Some(arguments), &headers).unwrap();
    }
}

#[test]
fn says_which_header_is_at_odds_with_the_arguments() {
    let arguments = r#"{"region":"us","priority":42}"#;
    for (pairs, expected) in [
        (
            vec![("region", "us")],
            "the Mcp-Param-Priority header is missing",
        ),
        (
            vec![("region", "eu"), ("priority", "42")],
            "Mcp-Param-Region header value 'eu' does not match body value 'us'",
        ),
        (
            vec![("region", "US"), ("priority", "42")],
            "does not match body value 'us'",
        ),
        (
            vec![("region", "us"), ("priority", "43")],
            "does not match body value '42'",
        ),
        (
            vec![("region", "us"), ("priority", "inf")],
            "does not match",
        ),
        (
            vec![("region", "us"), ("priority", "42"), ("dry-run", "true")],
            "Mcp-Param-Dry-Run header value 'true' has no counterpart in the body",
        ),
        (
            vec![("region", "us"), ("region", "us"), ("priority", "42")],
            "appears more than once",
        ),
        (
            vec![("region", "=?base64?dXM?="), ("priority", "42")],
            "is marked as Base64 but is not",
        ),
    ] {
        let error = check_params(SCHEMA, Some(arguments), &headers(&pairs)).unwrap_err();
        assert!(
            error.to_string().starts_with("Header mismatch: "),
            "{error}"
        );
        assert!(error.to_string().contains(expected), "{error}");
    }
    let twice = r#"{"region":"us","region":"eu"}"#;
    let error = check_params(SCHEMA, Some(twice), &headers(&[("region", "us")])).unwrap_err();
    assert!(matches!(error, HeaderMismatch::Ambiguous { .. }), "{error}");
    // A string is compared as it is, though it may look like a number.
    let schema = schema_of(r#"{"type":"string","x-mcp-header":"V"}"#);
    check_params(&schema, Some(r#"{"p":"1.0"}"#), &headers(&[("v", "1")])).unwrap_err();
}

#[test]
fn finds_annotations_that_break_the_rules() {
    for (schema, problem) in [
        (
            schema_of(r#"{"type":"string","x-mcp-header":""}"#),
            "cannot be part",
        ),
        (
            schema_of(r#"{"type":"string","x-mcp-header":"My Region"}"#),
            "cannot be part",
        ),
        (
            schema_of(r#"{"type":"string","x-mcp-header":"Région"}"#),
            "cannot be part",
        ),
        (
            schema_of(r#"{"type":"string","x-mcp-header":"a:b"}"#),
            "cannot be part",
        ),
        (
            schema_of(r#"{"type":"string","x-mcp-header":"a\r\nb"}"#),
            "cannot be part",
        ),
        (
            schema_of(r#"{"type":"string","x-mcp-header":1}"#),
            "not a string",
        ),
        (
            schema_of(r#"{"type":"string","x-mcp-header":"a","x-mcp-header":"b"}"#),
            "more than once",
        ),
        (
            schema_of(r#"{"type":"number","x-mcp-header":"a"}"#),
            "neither string",
        ),
        (
            schema_of(r#"{"type":"null","x-mcp-header":"a"}"#),
            "neither string",
        ),
        (
            schema_of(r#"{"type":["string","null"],"x-mcp-header":"a"}"#),
            "neither string",
        ),
        (
            schema_of(r#"{"type":"object","x-mcp-header":"a","properties":{}}"#),
            "neither string",
        ),
        (schema_of(r#"{"x-mcp-header":"a"}"#), "neither string"),
        (
            schema_of(r#"{"type":"string","x\u002dmcp-header":"a b"}"#),
            "cannot be part",
        ),
        (
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"X"},
                "b":{"type":"object","properties":{"c":{"type":"integer","x-mcp-header":"x"}}}}}"#
                .to_owned(),
            "appears more than once",
        ),
        (
            r#"{"type":"string","x-mcp-header":"a"}"#.to_owned(),
            "elsewhere",
        ),
        ("[\"x-mcp-header\"]".to_owned(), "cannot be read"),
        ("{\"x-mcp-header\"".to_owned(), "cannot be read"),
    ] {
        let error = valid_annotations(&schema).unwrap_err();
        assert!(error.to_string().contains(problem), "{schema}: {error}");
    }
}

#[test]
fn an_annotation_off_the_chain_of_properties_is_misplaced() {
    let annotated = r#"{"type":"string","x-mcp-header":"A"}"#;
    for around in [
        r#"{"properties":{"a":{"type":"array","items":HERE}}}"#,
        r#"{"properties":{"a":{"prefixItems":[HERE]}}}"#,
        r#"{"oneOf":[{"properties":{"a":HERE}}]}"#,
        r#"{"if":{"properties":{"a":HERE}},"then":true}"#,
        r##"{"$defs":{"a":HERE},"properties":{"a":{"$ref":"#/$defs/a"}}}"##,
        r#"{"properties":{"a":{"not":HERE}}}"#,
        r#"{"patternProperties":{"^a":HERE}}"#,
        r#"{"additionalProperties":HERE}"#,
        r#"{"properties":{"a":{"dependentSchemas":{"b":{"properties":{"c":HERE}}}}}}"#,
    ] {
        let schema = around.replace("HERE", annotated);
        let outcome = valid_annotations(&schema);
        assert_eq!(outcome, Err(InvalidAnnotation::Misplaced), "{schema}");
    }
}

#[test]
fn what_only_looks_like_an_annotation_is_none() {
    for schema in [
        r#"{"properties":{"x-mcp-header":{"type":"object","properties":{"a":{"type":"array"}}}}}"#,
        r#"{"properties":{"a":{"default":{"x-mcp-header":"a b"},"enum":[{"x-mcp-header":1}]}}}"#,
        r#"{"description":"see x-mcp-header","properties":{"a":true}}"#,
        r#"{"properties":[{"type":"object"}],"title":"x-mcp-header"}"#,
        "{}",
    ] {
        assert_eq!(valid_annotations(schema), Ok(()), "{schema}");
        let arguments = Some(r#"{"x-mcp-header":"v","a":1}"#);
        assert!(param_headers(schema, arguments).unwrap().is_empty());
    }
}

#[test]
fn refuses_a_schema_nested_beyond_all_bounds() {
    let depth = 10_000;
    let schema = format!(
        r#"{}{{"x-mcp-header":"A"}}{}"#,
        r#"{"properties":{"a":"#.repeat(depth),
        "}}".repeat(depth)
    );
    assert!(matches!(
        valid_annotations(&schema),
        Err(InvalidAnnotation::Schema(_))
    ));
}

#[test]
fn a_name_is_made_of_the_characters_of_tokens() {
    for byte in 0..=0x7f_u8 {
        let name = char::from(byte).to_string();
        let property = format!(
            r#"{{"type":"string","x-mcp-header":{}}}"#,
            encode_str(&name)
        );
        let is_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert_eq!(
            valid_annotations(&schema_of(&property)).is_ok(),
            is_token,
            "{name:?}"
        );
    }
}

proptest! {
    #[test]
    fn its_headers_pass_its_own_check(
        text in any::<String>(),
        number in -9_007_199_254_740_991_i64..=9_007_199_254_740_991,
        flag: bool,
        tenant in proptest::option::of(any::<String>()),
    ) {
        let tenant = tenant.map_or("null".to_owned(), |tenant| encode_str(&tenant));
        let arguments = format!(
            r#"{{"region":{},"priority":{number},"dry":{flag},"in":{{"tenant":{tenant}}}}}"#,
            encode_str(&text)
        );
        let headers = param_headers(SCHEMA, Some(&arguments)).unwrap();
        check_params(SCHEMA, Some(&arguments), &headers).unwrap();
        let other = arguments.replacen("\"region\":\"", "\"region\":\"x", 1);
        check_params(SCHEMA, Some(&other), &headers).unwrap_err();
    }

    #[test]
    fn survives_schemas_and_arguments_of_any_shape(
        schema in "[\\[\\]{}:,\"x1pt \\\\u]{0,40}|\\{\"properties\":\\{\"p\":[\\[\\]{}:,\"1]{0,20}",
        arguments in "[\\[\\]{}:,\"p1e.-]{0,30}",
    ) {
        for schema in [&schema, SCHEMA, &schema.replace("x", "x-mcp-header")] {
            if let Ok(read) = ParamHeaders::read(schema) {
                drop(read.write(Some(&arguments)));
                drop(read.check(Some(&arguments), &HeaderMap::new()));
            }
        }
    }
}
