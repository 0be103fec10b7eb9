//! Tools that answer at once, each with another kind of content.

use rmcp::model::{
    CallToolResult, ContentBlock, ErrorData, JsonObject, MetaObject, ResourceContents, Tool,
};
use serde_json::{Value, json};

use super::catalog::{Answer, Call, failure, object, plain, text, tool};
use super::resources::APP_URI;

/// A PNG of one red pixel.
pub(super) const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
/// A WAV of two silent samples: 8 kHz, mono, 16 bits.
const WAV: &str = "UklGRigAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQQAAAAAAAAA";

pub(super) fn tools() -> Vec<Tool> {
    vec![
        plain("test_simple_text", "Answers with one text"),
        plain("test_image_content", "Answers with an image"),
        plain("test_audio_content", "Answers with a sound"),
        plain(
            "test_embedded_resource",
            "Answers with an embedded resource",
        ),
        plain(
            "test_multiple_content_types",
            "Answers with a text, an image and a resource",
        ),
        plain("test_error_handling", "Answers that it failed"),
        tool(
            "test_custom_header",
            "Takes an argument that HTTP clients repeat in a header",
            json!({
                "type": "object",
                "properties": { "value": { "type": "string", "x-mcp-header": "Value" } },
                "required": ["value"],
            }),
        ),
        tool(
            "json_schema_2020_12_tool",
            "Has an input schema that uses more of JSON Schema than most do",
            wide_schema(),
        ),
        plain("test_app", "Answers with a text, and has an app to show it").with_meta(MetaObject(
            object(json!({ "ui": { "resourceUri": APP_URI } })),
        )),
    ]
}

/// None for the tools of other areas.
pub(super) fn call(call: &Call) -> Option<Answer> {
    let answer = match call.name.as_str() {
        "test_simple_text" => text("This is a simple text response for testing."),
        "test_image_content" => blocks(vec![ContentBlock::image(PNG, "image/png")]),
        "test_audio_content" => blocks(vec![ContentBlock::audio(WAV, "audio/wav")]),
        "test_embedded_resource" => blocks(vec![resource(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content.",
        )]),
        "test_multiple_content_types" => blocks(vec![
            ContentBlock::text("Multiple content types test:"),
            ContentBlock::image(PNG, "image/png"),
            resource(
                "test://mixed-content-resource",
                "application/json",
                r#"{"test":"data","value":123}"#,
            ),
        ]),
        "test_error_handling" => failure("This tool intentionally returns an error for testing"),
        "test_custom_header" => repeat_header(call),
        "test_app" => text("Shown by an app."),
        "json_schema_2020_12_tool" => repeat_arguments(&call.arguments),
        _ => return None,
    };
    Some(answer)
}

fn blocks(blocks: Vec<ContentBlock>) -> Answer {
    Ok(CallToolResult::success(blocks).into())
}

fn resource(uri: &str, mime_type: &str, text: &str) -> ContentBlock {
    ContentBlock::resource(ResourceContents::text(text, uri).with_mime_type(mime_type))
}

fn repeat_header(call: &Call) -> Answer {
    match call.arguments.get("value") {
        Some(Value::String(value)) => text(format!("value={value}")),
        _ => Err(ErrorData::invalid_params("value must be a text", None)),
    }
}

fn repeat_arguments(arguments: &JsonObject) -> Answer {
    let arguments = Value::Object(arguments.clone());
    text(format!("The arguments are {arguments}"))
}

fn wide_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {
                    "street": { "type": "string" },
                    "city": { "type": "string" },
                },
            },
        },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": {
            "properties": { "contactMethod": { "const": "phone" } },
            "required": ["contactMethod"],
        },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}
