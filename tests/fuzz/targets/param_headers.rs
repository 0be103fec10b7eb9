//! The headers that repeat arguments are those that the tool's schema asks for, and no others pass.
#![no_main]

use std::collections::BTreeMap;

use gateway_mcp::header::{ParamHeaders, decode_value};
use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// The greatest integer that every reader of JSON takes for itself.
const GREATEST_INTEGER: f64 = 9_007_199_254_740_991.0;

fuzz_target!(|text: &str| {
    // The schema, a blank line, the arguments.
    let (schema, arguments) = text.split_once("\n\n").unwrap_or((text, "{}"));
    if let Ok(headers) = ParamHeaders::read(schema) {
        check_own(&headers, arguments);
    }
    // A parser keeps one of several values of a key; what it keeps is compared.
    let parse = |text: &str| {
        serde_json::from_str::<Value>(text)
            .ok()
            .filter(Value::is_object)
    };
    let (Some(schema), Some(arguments)) = (parse(schema), parse(arguments)) else {
        return;
    };
    let Ok(headers) = ParamHeaders::read(&schema.to_string()) else {
        return;
    };
    let written = headers.write(Some(&arguments.to_string())).ok();
    let written = written.map(|written| {
        let decoded = written.iter().map(|(name, value)| {
            let value = decode_value(value).expect("its own values can be decoded");
            (name.as_str().to_owned(), value.into_owned())
        });
        decoded.collect::<BTreeMap<_, _>>()
    });
    let mut expected = Some(BTreeMap::new());
    collect(&schema, Some(&arguments), &mut expected);
    assert_eq!(written, expected);
});

/// The headers of a call pass the check; without one of them, or with another value, they do not.
fn check_own(headers: &ParamHeaders, arguments: &str) {
    let Ok(written) = headers.write(Some(arguments)) else {
        return;
    };
    assert_eq!(headers.check(Some(arguments), &written), Ok(()));
    for (name, value) in &written {
        let mut fewer = written.clone();
        fewer.remove(name);
        assert!(headers.check(Some(arguments), &fewer).is_err());
        let mut twice = written.clone();
        twice.append(name, value.clone());
        assert!(headers.check(Some(arguments), &twice).is_err());
        let mut other = written.clone();
        other.insert(name, HeaderValue::from_static("somebody else's"));
        if decode_value(value).as_deref() != Ok("somebody else's") {
            assert!(headers.check(Some(arguments), &other).is_err());
        }
    }
    if !written.is_empty() {
        assert!(headers.check(None, &written).is_err());
    }
}

/// Walks the properties; `None` from the first argument on that fits into no header.
fn collect(schema: &Value, argument: Option<&Value>, found: &mut Option<BTreeMap<String, String>>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    for (name, property) in properties {
        let argument = argument.and_then(|argument| argument.get(name));
        let argument = argument.filter(|argument| !argument.is_null());
        if let (Some(annotation), Some(argument)) = (property.get("x-mcp-header"), argument) {
            let annotation = annotation.as_str().expect("it was accepted");
            let header = format!("mcp-param-{}", annotation.to_ascii_lowercase());
            match text_of(argument) {
                Some(text) => {
                    found.as_mut().map(|found| found.insert(header, text));
                }
                None => *found = None,
            }
        }
        if property.is_object() {
            collect(property, argument, found);
        }
    }
}

fn text_of(argument: &Value) -> Option<String> {
    match argument {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => {
            let number = number.as_f64()?;
            let fits = number.fract() == 0.0 && number.abs() <= GREATEST_INTEGER;
            fits.then(|| (number as i64).to_string())
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
