//! The result of a call, for people and for programs.

use anyhow::anyhow;
use serde_json::Value;

use super::ResultForm;
use crate::exit::Failure;
use crate::output::raw;

/// Prints a raw result. A tool that reports an error fails the command.
pub(super) fn print(result: &str, form: ResultForm) -> Result<(), Failure> {
    let result: Value = serde_json::from_str(result)
        .map_err(|error| anyhow!("the result cannot be read: {error}"))?;
    let kind = result.get("resultType").and_then(Value::as_str);
    if let Some(kind) = kind.filter(|kind| *kind != "complete") {
        return Err(Failure::Failed(anyhow!(
            "the tool answers with `{kind}`, which this command cannot follow"
        )));
    }
    let is_error = result.get("isError") == Some(&Value::Bool(true));
    match form {
        ResultForm::Text if is_error => return Err(Failure::Failed(anyhow!("{}", text(&result)))),
        ResultForm::Text => raw(&with_line_break(text(&result)))?,
        ResultForm::Json => {
            let json = serde_json::to_string_pretty(&result).map_err(anyhow::Error::from)?;
            raw(&with_line_break(json))?;
        }
        ResultForm::Yaml => {
            raw(&serde_yaml::to_string(&result).map_err(anyhow::Error::from)?)?;
        }
    }
    if is_error {
        return Err(Failure::Failed(anyhow!("the tool reports an error")));
    }
    Ok(())
}

fn with_line_break(text: String) -> String {
    if text.is_empty() || text.ends_with('\n') {
        text
    } else {
        text + "\n"
    }
}

/// Every content on lines of its own; structure only where no content says the same.
fn text(result: &Value) -> String {
    let contents = result["content"].as_array().map_or(&[][..], Vec::as_slice);
    let mut parts: Vec<String> = contents.iter().map(content).collect();
    let structure = &result["structuredContent"];
    let repeats = |content: &Value| {
        let text = content["text"].as_str().unwrap_or_default();
        serde_json::from_str::<Value>(text).is_ok_and(|value| value == *structure)
    };
    if !structure.is_null() {
        let pretty = serde_json::to_string_pretty(structure).unwrap_or_default();
        // Servers repeat it as text for clients that know no structure.
        match contents
            .iter()
            .position(repeats)
            .and_then(|at| parts.get_mut(at))
        {
            Some(part) => *part = pretty,
            None => parts.push(pretty),
        }
    }
    parts.join("\n")
}

fn content(content: &Value) -> String {
    let field = |name: &str| on_one_line(content[name].as_str().unwrap_or("?"));
    match content["type"].as_str() {
        Some("text") => content["text"].as_str().unwrap_or_default().to_owned(),
        Some(kind @ ("image" | "audio")) => {
            format!(
                "[{kind}: {}, {}]",
                field("mimeType"),
                size(&content["data"])
            )
        }
        Some("resource") => resource(&content["resource"]),
        Some("resource_link") => format!("[resource: {}, {}]", field("uri"), field("name")),
        _ => content.to_string(),
    }
}

fn resource(resource: &Value) -> String {
    let uri = on_one_line(resource["uri"].as_str().unwrap_or("?"));
    let kind = resource["mimeType"].as_str().unwrap_or("unknown type");
    let size = match resource["text"].as_str() {
        Some(text) => format!("{} bytes", text.len()),
        None => size(&resource["blob"]),
    };
    format!("[resource: {uri}, {}, {size}]", on_one_line(kind))
}

/// How much base64 stands for.
fn size(data: &Value) -> String {
    let data = data.as_str().unwrap_or_default().trim_end_matches('=');
    format!("{} bytes", data.len() * 3 / 4)
}

/// A server's text without what a terminal would act on.
pub(super) fn on_one_line(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_see_texts_and_what_else_there_is() {
        let result = json!({
            "content": [
                { "type": "text", "text": "hello\nworld" },
                { "type": "image", "mimeType": "image/png", "data": "AAAA" },
                { "type": "audio", "mimeType": "audio/wav", "data": "AAA=" },
                { "type": "resource", "resource": { "uri": "a:b", "text": "xyz" } },
                { "type": "resource", "resource": { "uri": "a:c", "mimeType": "x/y", "blob": "AA==" } },
                { "type": "resource_link", "uri": "a:d", "name": "d" },
                { "type": "text", "text": "{\"a\":1}" },
            ],
            "structuredContent": { "a": 1 },
        });
        insta::assert_snapshot!(text(&result), @r#"
        hello
        world
        [image: image/png, 3 bytes]
        [audio: audio/wav, 2 bytes]
        [resource: a:b, unknown type, 3 bytes]
        [resource: a:c, x/y, 1 bytes]
        [resource: a:d, d]
        {
          "a": 1
        }
        "#);
    }
}
