//! Which fields of a resource a change is of (AIP-134, AIP-161).

use gateway_core::config::Violation;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};
use prost_types::FieldMask;
use tonic::Status;

use super::{Described, field, named};
use crate::grpc::admin::refusal;

/// The part of a resource that its users write.
const WRITABLE: &str = "config";

/// What becomes of a resource when the fields of a mask are taken from another one.
///
/// No mask: each field of `config` that is set. `*`: all of `config`.
pub(in crate::grpc::admin) fn merge<M: Described>(
    current: &M,
    wanted: &M,
    mask: Option<&FieldMask>,
) -> Result<M, Status> {
    let mut merged = named(current)?;
    let wanted = named(wanted)?;
    let mut wrong = Vec::new();
    for (index, path) in paths(&wanted, mask).iter().enumerate() {
        if let Err(reason) = take(&mut merged, &wanted, path) {
            let at = format!("update_mask.paths[{index}]");
            wrong.push(Violation::new(at, format!("`{path}`: {reason}")));
        }
    }
    if !wrong.is_empty() {
        return Err(refusal::fields(wrong));
    }
    let unreadable = |error| Status::internal(format!("{}: {error}", M::NAME));
    merged.transcode_to::<M>().map_err(unreadable)
}

fn paths(wanted: &DynamicMessage, mask: Option<&FieldMask>) -> Vec<String> {
    let given = mask.map(|mask| mask.paths.clone()).unwrap_or_default();
    if given.iter().any(|path| path == "*") {
        return vec![WRITABLE.to_owned()];
    }
    if !given.is_empty() {
        return given;
    }
    let config = wanted.get_field_by_name(WRITABLE);
    let config = config.as_deref().and_then(Value::as_message);
    let set = config.into_iter().flat_map(DynamicMessage::fields);
    set.map(|(field, _)| format!("{WRITABLE}.{}", field.name()))
        .collect()
}

fn take(target: &mut DynamicMessage, source: &DynamicMessage, path: &str) -> Result<(), String> {
    if path != WRITABLE && !path.starts_with("config.") {
        return Err("only `config` and what is in it can be changed".to_owned());
    }
    let segments: Vec<_> = path.split('.').collect();
    take_field(target, source, &segments)
}

fn take_field(
    target: &mut DynamicMessage,
    source: &DynamicMessage,
    path: &[&str],
) -> Result<(), String> {
    let Some((name, rest)) = path.split_first() else {
        return Ok(());
    };
    let field = field(&target.descriptor(), name)?;
    if rest.is_empty() {
        match source.has_field(&field) {
            true => target.set_field(&field, source.get_field(&field).into_owned()),
            false => target.clear_field(&field),
        }
        return Ok(());
    }
    let within = source.get_field(&field);
    if field.is_map() {
        return take_entry(target, &field, &within, rest);
    }
    if field.is_list() {
        return Err(format!("`{name}` is a list, which is replaced as a whole"));
    }
    let (Kind::Message(_), Some(within)) = (field.kind(), within.as_message()) else {
        return Err(format!("`{name}` has no fields"));
    };
    // What is within a field that nobody sets is unset already.
    if !target.has_field(&field) && !source.has_field(&field) {
        let mut empty = within.clone();
        return take_field(&mut empty, within, rest);
    }
    match target.get_field_mut(&field).as_message_mut() {
        Some(inner) => take_field(inner, within, rest),
        None => Err(format!("`{name}` has no fields")),
    }
}

/// Takes one entry of a map, or a field of its value.
fn take_entry(
    target: &mut DynamicMessage,
    field: &FieldDescriptor,
    source: &Value,
    path: &[&str],
) -> Result<(), String> {
    let (Some((key, rest)), Some(source)) = (path.split_first(), source.as_map()) else {
        return Ok(());
    };
    if !rest.is_empty() {
        let name = field.name();
        return Err(format!("an entry of `{name}` is replaced as a whole"));
    }
    let key = MapKey::String((*key).to_owned());
    if let Some(entries) = target.get_field_mut(field).as_map_mut() {
        match source.get(&key) {
            Some(value) => drop(entries.insert(key, value.clone())),
            None => drop(entries.remove(&key)),
        }
    }
    Ok(())
}
