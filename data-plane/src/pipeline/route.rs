//! Step 3: which server is meant, and what it calls the item.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use gateway_core::ExposedName;
use gateway_core::plugin::ItemKind;
use gateway_mcp::json::{Text, encode_str};
use gateway_mcp::list::{Item, ListKind};
use gateway_mcp::message::Message;
use gateway_mcp::params::Params;
use gateway_mcp::place::Step::Field;
use gateway_mcp::place::find;
use gateway_mcp::splice::Splice;
use gateway_mcp::version::Era;

use super::Trail;
use super::authenticate::Authenticated;
use super::inject::context_for;
use crate::error::{Failure, Reason};
use crate::exposure::Found;
use crate::request::ClientRequest;
use crate::upstream::Upstream;

/// What a method is about, and where a request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A tool, by `params.name`.
    Tool,
    /// A prompt, by `params.name`.
    Prompt,
    /// A resource, by `params.uri`.
    Resource,
    /// A task that an earlier call began, by `params.taskId`.
    Task,
    /// A prompt or resource template whose argument is to be completed, by `params.ref`.
    Reference,
}

impl Subject {
    /// What the method is about; `None` when it is about no item of a server.
    pub(super) fn of_method(method: &str, era: Era) -> Option<Self> {
        match (method, era) {
            ("tools/call", _) => Some(Self::Tool),
            ("prompts/get", _) => Some(Self::Prompt),
            ("resources/read", _) => Some(Self::Resource),
            ("resources/subscribe" | "resources/unsubscribe", Era::Legacy) => Some(Self::Resource),
            ("completion/complete", _) => Some(Self::Reference),
            // The tasks of 2025-11-25 are another thing, which is not carried.
            ("tasks/get" | "tasks/update" | "tasks/cancel", Era::Modern) => Some(Self::Task),
            _ => None,
        }
    }
}

/// A request that knows where it goes.
pub(crate) struct Routed {
    pub(super) caller: Box<Authenticated>,
    pub(super) server: Arc<Upstream>,
    pub(super) kind: ItemKind,
    /// The item's original name or URI.
    pub(super) name: String,
    /// The message under that name.
    pub(super) message: Arc<Message>,
}

/// What a request names, and where in it.
#[derive(Debug)]
struct Named<'a> {
    kind: ItemKind,
    text: Cow<'a, str>,
    range: Range<usize>,
}

/// Finds the server and the original name of what the request is about.
pub(super) async fn route(
    caller: Box<Authenticated>,
    request: &ClientRequest,
    subject: Subject,
    trail: &mut Trail,
) -> Result<Routed, Failure> {
    let named = named(&request.message, &request.params, subject)?;
    let exposed = &*named.text;
    trail.item(named.kind, exposed);
    let found = look_up(&caller, request, named.kind, exposed).await?;
    let (server, name) = found.ok_or_else(|| unknown(named.kind, exposed, request))?;
    trail.route(server.name(), &name);
    let message = if name == exposed {
        Arc::clone(&request.message)
    } else {
        Arc::new(renamed(&request.message, named.range, &name)?)
    };
    Ok(Routed {
        caller,
        server,
        kind: named.kind,
        name,
        message,
    })
}

fn named<'a>(
    message: &'a Message,
    params: &'a Params,
    subject: Subject,
) -> Result<Named<'a>, Failure> {
    let (kind, field, text, range) = match subject {
        Subject::Tool => (ItemKind::Tool, "name", params.name(), params.name_range()),
        Subject::Prompt => (ItemKind::Prompt, "name", params.name(), params.name_range()),
        Subject::Resource => (ItemKind::Resource, "uri", params.uri(), params.uri_range()),
        Subject::Task => (
            ItemKind::Task,
            "taskId",
            params.task_id(),
            params.task_id_range(),
        ),
        Subject::Reference => return referenced(message),
    };
    match (text, range) {
        (Some(text), Some(range)) => Ok(Named {
            kind,
            text: text.into(),
            range,
        }),
        _ => Err(missing(field)),
    }
}

/// What is to be completed, by `params.ref`.
fn referenced(message: &Message) -> Result<Named<'static>, Failure> {
    let bytes = message.bytes();
    let read = |field: &'static str| {
        let params = message.params_range()?;
        let range = find(bytes, params, &[Field("ref"), Field(field)]).pop()?;
        let text = Text::read(bytes, range.clone())?.as_str(bytes).to_owned();
        Some((text, range))
    };
    let (kind, _) = read("type").ok_or_else(|| missing("ref.type"))?;
    let (kind, field, path) = match &*kind {
        "ref/prompt" => (ItemKind::Prompt, "name", "ref.name"),
        "ref/resource" => (ItemKind::ResourceTemplate, "uri", "ref.uri"),
        other => {
            let message =
                format!("params.ref.type: `{other}` is neither ref/prompt nor ref/resource");
            return Err(Failure::new(Reason::InvalidParams, message));
        }
    };
    let (text, range) = read(field).ok_or_else(|| missing(path))?;
    Ok(Named {
        kind,
        text: text.into(),
        range,
    })
}

fn missing(field: &str) -> Failure {
    let message = format!("params.{field} is missing or no text");
    Failure::new(Reason::InvalidParams, message)
}

async fn look_up(
    caller: &Authenticated,
    request: &ClientRequest,
    kind: ItemKind,
    exposed: &str,
) -> Result<Option<(Arc<Upstream>, String)>, Failure> {
    let server = match caller.view.find(kind, exposed) {
        None => return Ok(None),
        Some(Found::Item(server, name)) => return Ok(Some((server, name))),
        Some(Found::Shortened(server)) => server,
    };
    let context = context_for(caller, &server, request).await?;
    let listed = match kind {
        ItemKind::Prompt => ListKind::Prompts,
        _ => ListKind::Tools,
    };
    let patience = caller.limits.list_patience;
    let user = &caller.principal.user_id;
    let listed = server
        .list(listed, &context, Some(user), patience)
        .await
        .ok();
    let original = listed.as_ref().and_then(|listed| {
        let mut names = listed.items.iter().map(Item::name);
        names.find(|name| ExposedName::of(server.name(), name).as_str() == exposed)
    });
    // A name of just the limit's length need not be a shortened one.
    let plain = || ExposedName::split(exposed).map(|(_, name)| name);
    let name = original.or_else(plain).unwrap_or_default().to_owned();
    let is_shown = caller.view.name_of(kind, server.name(), &name).as_deref() == Some(exposed);
    Ok(is_shown.then_some((server, name)))
}

/// Each version has its own way of saying that something is not there.
fn unknown(kind: ItemKind, exposed: &str, request: &ClientRequest) -> Failure {
    match kind {
        ItemKind::Tool => Failure::new(Reason::InvalidParams, format!("unknown tool: {exposed}")),
        ItemKind::Prompt => {
            Failure::new(Reason::InvalidParams, format!("unknown prompt: {exposed}"))
        }
        ItemKind::Task => Failure::new(Reason::InvalidParams, format!("unknown task: {exposed}")),
        ItemKind::Resource | ItemKind::ResourceTemplate => {
            let message = format!("resource not found: {exposed}");
            match request.dialect.era() {
                Era::Legacy => Failure::legacy_resource_not_found(message),
                Era::Modern => Failure::new(Reason::InvalidParams, message),
            }
        }
    }
}

fn renamed(message: &Message, range: Range<usize>, name: &str) -> Result<Message, Failure> {
    let mut splice = Splice::new(message.bytes());
    splice.replace(range, encode_str(name));
    message.edited(splice).map_err(|error| {
        Failure::new(Reason::Internal, "the message could not be edited").caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(params: &str, subject: Subject) -> Result<(ItemKind, String), Reason> {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{params}}}"#);
        let message = Message::scan(text.into()).unwrap();
        let params = Params::of(&message).map_err(|_| Reason::InvalidParams)?;
        let named = named(&message, &params, subject).map_err(|failure| failure.reason())?;
        assert_eq!(
            message.bytes()[named.range.clone()],
            *encode_str(&named.text).as_bytes()
        );
        Ok((named.kind, named.text.into_owned()))
    }

    #[test]
    fn finds_what_each_method_names() {
        let (tool, prompt) = (Subject::Tool, Subject::Prompt);
        assert_eq!(
            read(r#"{"name":"a"}"#, tool),
            Ok((ItemKind::Tool, "a".into()))
        );
        assert_eq!(
            read(r#"{"name":"a"}"#, prompt),
            Ok((ItemKind::Prompt, "a".into()))
        );
        assert_eq!(
            read(r#"{"uri":"x:y"}"#, Subject::Resource),
            Ok((ItemKind::Resource, "x:y".into()))
        );
        let reference = r#"{"ref":{"type":"ref/resource","uri":"x:{y}"}}"#;
        assert_eq!(
            read(reference, Subject::Reference),
            Ok((ItemKind::ResourceTemplate, "x:{y}".into()))
        );
        let reference = r#"{"ref":{"name":"p","type":"ref/prompt"}}"#;
        assert_eq!(
            read(reference, Subject::Reference),
            Ok((ItemKind::Prompt, "p".into()))
        );
    }

    #[test]
    fn says_what_is_missing() {
        for (params, subject) in [
            ("{}", Subject::Tool),
            (r#"{"name":7}"#, Subject::Prompt),
            (r#"{"ref":{"type":"ref/x","name":"a"}}"#, Subject::Reference),
            (r#"{"ref":{"type":"ref/prompt"}}"#, Subject::Reference),
        ] {
            assert_eq!(
                read(params, subject),
                Err(Reason::InvalidParams),
                "{params}"
            );
        }
    }
}
