//! The prompts, and the completion of their arguments.

use rmcp::model::{
    ContentBlock, ErrorData, GetPromptRequestParams, GetPromptResponse, GetPromptResult,
    ImageContent, Prompt, PromptArgument, PromptMessage, ResourceContents, Role,
};
use serde_json::json;

use super::catalog::Call;
use super::changes::ADDED_PROMPT;
use super::content::PNG;
use super::questions::{answer, field, form, require};

/// What the first argument of a prompt completes to.
const WORDS: [&str; 4] = ["paris", "park", "party", "test"];

pub(super) fn prompts() -> Vec<Prompt> {
    vec![
        prompt("test_simple_prompt", "One text", &[]),
        prompt(
            "test_prompt_with_arguments",
            "A text with both arguments",
            &["arg1", "arg2"],
        ),
        prompt(
            "test_prompt_with_embedded_resource",
            "A resource and a text",
            &["resourceUri"],
        ),
        prompt("test_prompt_with_image", "An image and a text", &[]),
        prompt(
            "test_input_required_result_prompt",
            "A text that the user is asked for",
            &[],
        ),
    ]
}

pub(super) fn added() -> Prompt {
    prompt(ADDED_PROMPT, "Added by a change", &[])
}

/// `call` is the request once more, as what a question can be asked in.
pub(super) fn get(
    request: &GetPromptRequestParams,
    call: &Call,
) -> Result<GetPromptResponse, ErrorData> {
    let messages = match request.name.as_str() {
        "test_simple_prompt" => vec![said("This is a simple prompt for testing.")],
        "test_prompt_with_arguments" => {
            let (first, second) = (argument(request, "arg1")?, argument(request, "arg2")?);
            vec![said(format!(
                "Prompt with arguments: arg1='{first}', arg2='{second}'"
            ))]
        }
        "test_prompt_with_embedded_resource" => {
            let uri = argument(request, "resourceUri")?;
            let resource = ResourceContents::text("Embedded resource content for testing.", uri);
            vec![
                PromptMessage::new(Role::User, ContentBlock::resource(resource)),
                said("Please process the embedded resource above."),
            ]
        }
        "test_prompt_with_image" => {
            let image = ContentBlock::Image(ImageContent::new(PNG, "image/png"));
            vec![
                PromptMessage::new(Role::User, image),
                said("Please analyze the image above."),
            ]
        }
        "test_input_required_result_prompt" => {
            let Some(answer) = answer(call, "user_context") else {
                let fields = json!({ "context": { "type": "string" } });
                let message = "What context should the prompt use?";
                let question = form(message, fields, &["context"]);
                return Ok(require(call, &[("user_context", question)], None)?.into());
            };
            let context = field(answer, "context").unwrap_or("none");
            vec![said(format!("The context is: {context}"))]
        }
        ADDED_PROMPT => vec![said("Added by a change.")],
        name => {
            let message = format!("there is no prompt {name}");
            return Err(ErrorData::invalid_params(message, None));
        }
    };
    Ok(GetPromptResult::new(messages).into())
}

/// The words that begin with what was typed.
pub(super) fn complete(typed: &str) -> Vec<String> {
    WORDS
        .iter()
        .filter(|word| word.starts_with(typed))
        .map(|word| (*word).to_owned())
        .collect()
}

fn prompt(name: &str, description: &str, arguments: &[&str]) -> Prompt {
    let arguments: Vec<PromptArgument> = arguments
        .iter()
        .map(|name| PromptArgument::new(*name).with_required(true))
        .collect();
    let arguments = (!arguments.is_empty()).then_some(arguments);
    Prompt::new(name, Some(description), arguments)
}

fn said(text: impl Into<String>) -> PromptMessage {
    PromptMessage::new_text(Role::User, text)
}

fn argument<'a>(request: &'a GetPromptRequestParams, name: &str) -> Result<&'a str, ErrorData> {
    request
        .arguments
        .as_ref()
        .and_then(|arguments| arguments.get(name)?.as_str())
        .ok_or_else(|| ErrorData::invalid_params(format!("{name} is missing"), None))
}

#[cfg(test)]
mod tests {
    #[test]
    fn completes_to_what_begins_so() {
        assert_eq!(super::complete("par"), ["paris", "park", "party"]);
        assert!(super::complete("zebra").is_empty());
    }
}
