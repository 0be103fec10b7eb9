//! What a server asks its client: by a request of its own in legacy versions, by its result in modern ones.

#![expect(
    deprecated,
    reason = "sampling and roots are part of every version that is served here"
)]

use rmcp::model::{
    ClientCapabilities, ElicitationCapability, ErrorData, InputRequest, InputRequests,
    InputRequiredResult, RootsCapabilities, SamplingCapability,
};
use rmcp::service::{Peer, ServiceError};
use rmcp::{RoleServer, model};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::catalog::Call;

#[derive(Debug, Clone)]
pub(super) struct Question {
    kind: Kind,
    params: Value,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Elicitation,
    Sampling,
    Roots,
}

/// What came of a question.
#[derive(Debug)]
pub(super) enum Asked {
    Answered(Value),
    /// The call has to come again with the answer.
    Required(InputRequiredResult),
}

/// A form with these fields, each a schema.
pub(super) fn form(message: &str, fields: Value, required: &[&str]) -> Question {
    let schema = json!({ "type": "object", "properties": fields, "required": required });
    Question {
        kind: Kind::Elicitation,
        params: json!({ "mode": "form", "message": message, "requestedSchema": schema }),
    }
}

/// A page that the user is to visit.
pub(super) fn page(message: &str, url: &str, id: &str) -> Question {
    Question {
        kind: Kind::Elicitation,
        params: json!({ "mode": "url", "message": message, "url": url, "elicitationId": id }),
    }
}

pub(super) fn sample(prompt: &str, max_tokens: u32) -> Question {
    let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
    Question {
        kind: Kind::Sampling,
        params: json!({ "messages": [message], "maxTokens": max_tokens }),
    }
}

pub(super) fn roots() -> Question {
    Question {
        kind: Kind::Roots,
        params: json!({}),
    }
}

impl Question {
    pub(super) fn is_understood(&self, client: &ClientCapabilities) -> bool {
        match self.kind {
            Kind::Elicitation => client.elicitation.is_some(),
            Kind::Sampling => client.sampling.is_some(),
            Kind::Roots => client.roots.is_some(),
        }
    }

    pub(super) fn require(&self, call: &Call) -> Result<(), ErrorData> {
        if self.is_understood(&call.capabilities()) {
            return Ok(());
        }
        let mut required = ClientCapabilities::default();
        match self.kind {
            Kind::Elicitation => required.elicitation = Some(ElicitationCapability::default()),
            Kind::Sampling => required.sampling = Some(SamplingCapability::default()),
            Kind::Roots => required.roots = Some(RootsCapabilities::default()),
        }
        Err(call.undeclared(required))
    }

    pub(super) fn to_input(&self) -> Result<InputRequest, ErrorData> {
        let method = match self.kind {
            Kind::Elicitation => "elicitation/create",
            Kind::Sampling => "sampling/createMessage",
            Kind::Roots => "roots/list",
        };
        typed(json!({ "method": method, "params": self.params }))
    }

    async fn send(self, peer: &Peer<RoleServer>) -> Result<Value, ErrorData> {
        let answer = match self.kind {
            Kind::Elicitation => {
                let params: model::ElicitRequestParams = typed(self.params)?;
                untyped(peer.create_elicitation(params).await)
            }
            Kind::Sampling => {
                let params: model::CreateMessageRequestParams = typed(self.params)?;
                untyped(peer.create_message(params).await)
            }
            Kind::Roots => untyped(peer.list_roots().await),
        }?;
        Ok(answer)
    }
}

/// Asks in the way of the call's version.
pub(super) async fn ask(call: &Call, key: &str, question: Question) -> Result<Asked, ErrorData> {
    if call.is_modern() {
        if let Some(answer) = answer(call, key) {
            return Ok(Asked::Answered(answer.clone()));
        }
        return Ok(Asked::Required(require(call, &[(key, question)], None)?));
    }
    question.require(call)?;
    Ok(Asked::Answered(question.send(&call.context.peer).await?))
}

/// The result that asks these questions; `state` comes back with the answers.
pub(super) fn require(
    call: &Call,
    questions: &[(&str, Question)],
    state: Option<String>,
) -> Result<InputRequiredResult, ErrorData> {
    let mut inputs = InputRequests::new();
    for (key, question) in questions {
        question.require(call)?;
        inputs.insert((*key).to_owned(), question.to_input()?);
    }
    Ok(InputRequiredResult::new(Some(inputs), state))
}

/// The client's answer, unless it is none; an answer is always an object.
pub(super) fn answer<'a>(call: &'a Call, key: &str) -> Option<&'a Value> {
    call.input_responses
        .get(key)
        .filter(|answer| answer.is_object())
}

/// What the user wrote into a field of a form, if the form was accepted.
pub(super) fn field<'a>(answer: &'a Value, name: &str) -> Option<&'a str> {
    answer.get("content")?.get(name)?.as_str()
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value)
        .map_err(|error| ErrorData::internal_error(format!("building a request: {error}"), None))
}

fn untyped<T: serde::Serialize>(answer: Result<T, ServiceError>) -> Result<Value, ErrorData> {
    match answer {
        Ok(answer) => serde_json::to_value(answer).map_err(|error| {
            ErrorData::internal_error(format!("reading an answer: {error}"), None)
        }),
        Err(ServiceError::McpError(error)) => Err(error),
        Err(error) => Err(ErrorData::internal_error(error.to_string(), None)),
    }
}
