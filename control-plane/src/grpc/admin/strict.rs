//! Looks at requests as they come over the wire for what this version would pass over: fields of a
//! later version, and messages beyond all bounds. Both are refused once their caller is known.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use gateway_core::config::Violation;
use http_body_util::{BodyExt as _, Full, Limited};
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;

use super::fields;

/// The largest request. A configuration that can be pushed is a quarter of it.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Before each message: whether it is compressed, and its length in four bytes.
const HEAD_BYTES: usize = 5;

/// No more than so many fields are named.
const MAX_NAMED: usize = 10;

/// What is wrong with a request as a message; empty: nothing.
#[derive(Debug, Clone, Default)]
pub(in crate::grpc) struct Flaws(pub(in crate::grpc) Vec<Violation>);

/// A service whose requests are looked at.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct Strict<S>(pub(in crate::grpc) S);

impl<S: NamedService> NamedService for Strict<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Strict<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // The one that is ready goes with the request.
        let fresh = self.0.clone();
        let mut service = std::mem::replace(&mut self.0, fresh);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let (flaws, body) = match Limited::new(body, MAX_BYTES + HEAD_BYTES).collect().await {
                Ok(collected) => {
                    let bytes = collected.to_bytes();
                    (unknown(parts.uri.path(), &bytes), bytes)
                }
                // Either it is too large or its sender went away, who hears of nothing any more.
                Err(_) => (too_large(), Bytes::from_static(&[0; HEAD_BYTES])),
            };
            parts.extensions.insert(Flaws(flaws));
            let body = Body::new(Full::new(body));
            service.call(http::Request::from_parts(parts, body)).await
        })
    }
}

fn too_large() -> Vec<Violation> {
    let reason = format!("is larger than {MAX_BYTES} bytes");
    vec![Violation::new("request", reason)]
}

/// The fields of a request that this version does not know, and would lose.
fn unknown(path: &str, body: &Bytes) -> Vec<Violation> {
    let mut found = Vec::new();
    // What cannot be read here is refused by whoever reads it next.
    let message = body.get(HEAD_BYTES..).unwrap_or_default();
    if let Some(of) = fields::input(path)
        && let Ok(message) = DynamicMessage::decode(of, message)
    {
        look(&message, "", &mut found);
    }
    found
}

fn look(message: &DynamicMessage, path: &str, found: &mut Vec<Violation>) {
    for field in message.unknown_fields() {
        if found.len() < MAX_NAMED {
            found.push(violation(&message.descriptor(), path, field.number()));
        }
    }
    for (field, value) in message.fields() {
        let name = field.name();
        let path = match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        look_into(value, &path, found);
    }
}

fn look_into(value: &Value, path: &str, found: &mut Vec<Violation>) {
    match value {
        Value::Message(message) => look(message, path, found),
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                look_into(item, &format!("{path}[{index}]"), found);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                let key = key.as_str().unwrap_or("?");
                look_into(value, &format!("{path}.{key}"), found);
            }
        }
        _ => {}
    }
}

fn violation(of: &MessageDescriptor, path: &str, number: u32) -> Violation {
    let reason = format!(
        "has a field {number} of {}, which this version of the control plane does not know: leave it out, or upgrade the control plane",
        of.name()
    );
    let at = match path {
        "" => "request",
        path => path,
    };
    Violation::new(at, reason)
}

#[cfg(test)]
mod tests {
    use gateway_proto::admin::v1 as pb;
    use gateway_proto::admin::v1::apply_tenant_request::Document;
    use gateway_proto::config::v1 as config;
    use prost::Message as _;

    use super::*;

    const APPLY: &str = "/gateway.admin.v1.Admin/ApplyTenant";

    fn framed(message: &[u8]) -> Bytes {
        let mut bytes = vec![0; HEAD_BYTES];
        bytes.extend(message);
        bytes.into()
    }

    #[test]
    fn what_is_known_has_no_flaw() {
        let document = config::TenantConfig {
            servers: [("a".to_owned(), config::ServerConfig::default())].into(),
            ..Default::default()
        };
        let request = pb::ApplyTenantRequest {
            document: Some(Document::Config(Box::new(document))),
            reason: "x".to_owned(),
            ..Default::default()
        };
        assert_eq!(unknown(APPLY, &framed(&request.encode_to_vec())), []);
        assert_eq!(unknown("/grpc.health.v1.Health/Check", &framed(b"x")), []);
        assert_eq!(unknown("", &Bytes::new()), []);
    }

    #[test]
    fn a_field_of_a_later_version_is_told_by_its_place() {
        // Field 99 with the value 1, within the server `a`, and in the request itself.
        let later: &[u8] = &[0x98, 0x06, 1];
        let mut server = vec![0x0a, 1, b'a', 0x12, 3];
        server.extend(later);
        let mut document = vec![0x1a, 8];
        document.extend(&server);
        let mut request = vec![0x1a, 10];
        request.extend(&document);
        request.extend(later);
        let found = unknown(APPLY, &framed(&request));
        let at: Vec<_> = found.iter().map(|one| &*one.path).collect();
        assert_eq!(at, ["request", "config.servers.a"]);
        assert!(
            found[1].reason.contains("field 99 of ServerConfig"),
            "{found:?}"
        );
    }
}
