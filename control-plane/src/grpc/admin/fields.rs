//! Messages by the names of their fields: what filters, orders and masks are written in.

use std::sync::LazyLock;

use gateway_core::config::TimeSpan;
use gateway_proto::admin::v1 as pb;
use jiff::Timestamp;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage as _, Value,
};
use serde::{Deserialize, Serialize};
use tonic::Status;

pub(super) mod mask;

/// A message that has a name in the descriptors.
pub(super) trait Described: Message + Default {
    /// With its package.
    const NAME: &'static str;
}

impl Described for pb::Tenant {
    const NAME: &'static str = "gateway.admin.v1.Tenant";
}
impl Described for pb::Revision {
    const NAME: &'static str = "gateway.admin.v1.Revision";
}
impl Described for pb::Replica {
    const NAME: &'static str = "gateway.admin.v1.Replica";
}
impl Described for pb::Rollout {
    const NAME: &'static str = "gateway.admin.v1.Rollout";
}
impl Described for pb::Server {
    const NAME: &'static str = "gateway.admin.v1.Server";
}
impl Described for pb::Profile {
    const NAME: &'static str = "gateway.admin.v1.Profile";
}
impl Described for pb::Plugin {
    const NAME: &'static str = "gateway.admin.v1.Plugin";
}

/// What this program says of its own messages.
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(gateway_proto::FILE_DESCRIPTOR_SET).unwrap_or_default()
});

pub(super) fn descriptor<M: Described>() -> Result<MessageDescriptor, Status> {
    let unknown = || Status::internal(format!("{} is not described", M::NAME));
    POOL.get_message_by_name(M::NAME).ok_or_else(unknown)
}

/// The request of the method that a path names, such as `/gateway.admin.v1.Admin/GetTenant`.
pub(super) fn input(path: &str) -> Option<MessageDescriptor> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let service = POOL.get_service_by_name(service)?;
    let method = service.methods().find(|found| found.name() == method)?;
    Some(method.input())
}

/// The same message, with fields that have names.
pub(super) fn named<M: Described>(message: &M) -> Result<DynamicMessage, Status> {
    let mut named = DynamicMessage::new(descriptor::<M>()?);
    let unreadable = |error| Status::internal(format!("{}: {error}", M::NAME));
    named.transcode_from(message).map_err(unreadable)?;
    Ok(named)
}

/// A value that can be compared. What is not set comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Scalar {
    Unset,
    Bool(bool),
    Number(i128),
    Text(String),
    /// A moment or a length of time: seconds and nanoseconds.
    Time(i64, i32),
}

/// The way to a field, within the fields of a message.
#[derive(Debug, Clone)]
pub(super) struct FieldPath {
    steps: Vec<Step>,
    /// The kind of what is there.
    kind: Kind,
    /// Whether there may be several.
    is_repeated: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Field(FieldDescriptor),
    /// Of a map.
    Key(String),
}

impl FieldPath {
    /// Reads a path such as `config.spec.remote.endpoint`, which must lead to what can be compared.
    pub(super) fn read(of: &MessageDescriptor, text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut is_repeated = false;
        let mut kind = Kind::Message(of.clone());
        let mut segments = text.split('.');
        while let Some(segment) = segments.next() {
            let Kind::Message(message) = &kind else {
                return Err(format!("`{segment}` is within a field that has no fields"));
            };
            let field = field(message, segment)?;
            steps.push(Step::Field(field.clone()));
            kind = field.kind();
            if field.is_map() {
                let Some(key) = segments.next() else {
                    return Err(format!("`{text}` is a map: write the key behind it"));
                };
                steps.push(Step::Key(key.to_owned()));
                kind = value_kind(&field, kind);
            } else {
                is_repeated |= field.is_list();
            }
        }
        let path = Self {
            steps,
            kind,
            is_repeated,
        };
        match path.is_comparable() {
            true => Ok(path),
            false => Err(format!("`{text}` has no value that can be compared")),
        }
    }

    pub(super) fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    fn is_comparable(&self) -> bool {
        match &self.kind {
            Kind::Message(message) => is_time(message),
            Kind::Double | Kind::Float | Kind::Bytes => false,
            _ => true,
        }
    }

    /// A value as it is written for this field.
    pub(super) fn value(&self, text: &str) -> Result<Scalar, String> {
        match &self.kind {
            Kind::String => Ok(Scalar::Text(text.to_owned())),
            Kind::Bool => match text {
                "true" => Ok(Scalar::Bool(true)),
                "false" => Ok(Scalar::Bool(false)),
                _ => Err(format!("`{text}` is neither true nor false")),
            },
            Kind::Enum(of) => {
                let value = of.get_value_by_name(text).ok_or_else(|| {
                    let known = of.values().map(|value| value.name().to_owned());
                    let known = known.collect::<Vec<_>>().join(", ");
                    format!("`{text}` is none of {known}")
                })?;
                Ok(Scalar::Number(value.number().into()))
            }
            Kind::Message(of) if of.name() == "Duration" => {
                let span = text
                    .parse::<TimeSpan>()
                    .map_err(|error| error.to_string())?;
                let span = span.as_duration();
                let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
                Ok(Scalar::Time(seconds, span.subsec_nanos().cast_signed()))
            }
            Kind::Message(_) => {
                let at = text.parse::<Timestamp>();
                let at = at.map_err(|_| {
                    format!("`{text}` is no time: write it like \"2026-01-31T12:00:00Z\"")
                })?;
                Ok(Scalar::Time(at.as_second(), at.subsec_nanosecond()))
            }
            _ => {
                let number = text.parse().map(Scalar::Number);
                number.map_err(|_| format!("`{text}` is no number"))
            }
        }
    }

    /// What a message has there. Nothing: it has not got the field.
    pub(super) fn values(&self, message: &DynamicMessage) -> Vec<Scalar> {
        let mut found = Vec::new();
        gather(&Value::Message(message.clone()), &self.steps, &mut found);
        found
    }

    /// The one value that a message has there.
    pub(super) fn only_value(&self, message: &DynamicMessage) -> Scalar {
        self.values(message).pop().unwrap_or(Scalar::Unset)
    }
}

/// A field of a message, or that there is none.
fn field(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    message.get_field_by_name(name).ok_or_else(|| {
        let known = message.fields().map(|field| field.name().to_owned());
        let known = known.collect::<Vec<_>>().join(", ");
        format!("there is no field `{name}`: these are {known}")
    })
}

/// The kind of a map's values.
fn value_kind(field: &FieldDescriptor, kind: Kind) -> Kind {
    match field.kind() {
        Kind::Message(entry) => entry.map_entry_value_field().kind(),
        _ => kind,
    }
}

fn is_time(message: &MessageDescriptor) -> bool {
    let name = message.full_name();
    matches!(
        name,
        "google.protobuf.Timestamp" | "google.protobuf.Duration"
    )
}

fn gather(value: &Value, steps: &[Step], found: &mut Vec<Scalar>) {
    if let Value::List(items) = value {
        for item in items {
            gather(item, steps, found);
        }
        return;
    }
    match (steps.split_first(), value) {
        (None, value) => found.extend(scalar(value)),
        // A plain field that has its default value is there all the same.
        (Some((Step::Field(field), rest)), Value::Message(message))
            if message.has_field(field) || !field.supports_presence() =>
        {
            gather(&message.get_field(field), rest, found);
        }
        (Some((Step::Key(key), rest)), Value::Map(entries)) => {
            if let Some(value) = entries.get(&MapKey::String(key.clone())) {
                gather(value, rest, found);
            }
        }
        _ => {}
    }
}

fn scalar(value: &Value) -> Option<Scalar> {
    Some(match value {
        Value::Bool(value) => Scalar::Bool(*value),
        Value::I32(value) | Value::EnumNumber(value) => Scalar::Number((*value).into()),
        Value::I64(value) => Scalar::Number((*value).into()),
        Value::U32(value) => Scalar::Number((*value).into()),
        Value::U64(value) => Scalar::Number((*value).into()),
        Value::String(value) => Scalar::Text(value.clone()),
        Value::Message(message) if is_time(&message.descriptor()) => {
            let part = |name| message.get_field_by_name(name);
            let seconds = part("seconds")?.as_i64()?;
            Scalar::Time(seconds, part("nanos")?.as_i32()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
