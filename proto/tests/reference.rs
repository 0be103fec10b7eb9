//! The pages below docs/reference are what the .proto files say: their comments, as Markdown.
//!
//! After a change of a comment, `UPDATE_REFERENCE=1 cargo test -p gateway-proto --test reference`
//! writes them anew.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind,
    MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[test]
fn the_reference_says_what_the_protos_say() -> Result<()> {
    let pool = DescriptorPool::decode(gateway_proto::FILE_DESCRIPTOR_SET)?;
    let admin = [
        "gateway/admin/v1/admin.proto",
        "gateway/admin/v1/resources.proto",
        "gateway/admin/v1/token.proto",
        "gateway/admin/v1/host.proto",
    ];
    check(
        "admin-api.md",
        &page(&pool, "The admin API", INTRODUCTION, &admin)?,
    )?;
    let config = ["gateway/config/v1/config.proto"];
    check(
        "configuration.md",
        &page(&pool, "The configuration of a tenant", FORMS, &config)?,
    )
}

const INTRODUCTION: &str = "\
The control plane serves this by gRPC, with health and reflection beside it: a client needs no files, as in
`grpcurl -H 'authorization: Bearer TOKEN' 127.0.0.1:8812 describe gateway.admin.v1.Admin`.";

const FORMS: &str = "\
One model in three forms: YAML, as in gateway.yaml and for `apply -f`, with the field names below; these messages, in
the [admin API](admin-api.md); and what data planes are sent. In YAML a length of time is written like `250ms` or `60s`,
an enum value without its prefix, in lower case and with hyphens, and a server's `spec` is spelt out in the server itself
with `type:` for its kind.";

fn check(name: &str, text: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    let path = path.join(name);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, text)?;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/reference/{name} is not what the .proto files say: run UPDATE_REFERENCE=1 cargo test -p gateway-proto --test reference"
    );
    Ok(())
}

/// Comments of a file, by the path of what they stand above.
struct Comments(BTreeMap<Vec<i32>, String>);

impl Comments {
    fn of(file: &FileDescriptor) -> Self {
        let info = &file.file_descriptor_proto().source_code_info;
        let locations = info.iter().flat_map(|info| &info.location);
        let comments = locations.filter_map(|location| {
            let text = location.leading_comments.as_deref()?;
            let lines = text.lines().map(str::trim);
            let text = lines.collect::<Vec<_>>().join("\n");
            Some((location.path.clone(), text.trim().to_owned()))
        });
        Self(comments.collect())
    }

    fn get(&self, path: &[i32]) -> &str {
        self.0.get(path).map_or("", String::as_str)
    }

    /// On one line, as a table's cell has it.
    fn cell(&self, path: &[i32]) -> String {
        let text = self.get(path).replace("\n\n", "<br>");
        text.replace('\n', " ").replace('|', "\\|")
    }
}

fn page(pool: &DescriptorPool, title: &str, introduction: &str, files: &[&str]) -> Result<String> {
    let mut text =
        format!("# {title}\n\n<!-- Written by proto/tests/reference.rs. -->\n\n{introduction}\n");
    let files = files.iter().map(|name| pool.get_file_by_name(name));
    let files: Vec<_> = files.collect::<Option<_>>().ok_or("no such file")?;
    for file in &files {
        let comments = Comments::of(file);
        for service in file.services() {
            write_service(&mut text, &comments, &service);
        }
    }
    for file in &files {
        let comments = Comments::of(file);
        for message in file.messages() {
            write_message(&mut text, &comments, &message);
        }
        for of in file.enums() {
            write_enum(&mut text, &comments, &of);
        }
    }
    Ok(text)
}

fn write_service(text: &mut String, comments: &Comments, service: &ServiceDescriptor) {
    let name = service.full_name();
    text.push_str(&format!(
        "\n## Service {name}\n\n{}\n",
        comments.get(service.path())
    ));
    for method in service.methods() {
        write_method(text, comments, &method);
    }
}

fn write_method(text: &mut String, comments: &Comments, method: &MethodDescriptor) {
    let stream = if method.is_server_streaming() {
        "stream of "
    } else {
        ""
    };
    text.push_str(&format!(
        "\n### {}\n\n{} → {stream}{}\n\n{}\n",
        method.name(),
        link(&method.input()),
        link(&method.output()),
        comments.get(method.path())
    ));
}

fn write_message(text: &mut String, comments: &Comments, message: &MessageDescriptor) {
    if message.is_map_entry() {
        return;
    }
    let comment = comments.get(message.path());
    text.push_str(&format!("\n## {}\n\n{comment}\n", message.name()));
    if message.fields().len() > 0 {
        text.push_str("\n| Field | Type | |\n|---|---|---|\n");
    }
    let mut fields: Vec<_> = message.fields().collect();
    fields.sort_by_key(|field| field.path().to_vec());
    for field in fields {
        let comment = comments.cell(field.path());
        text.push_str(&format!(
            "| `{}` | {} | {comment} |\n",
            field.name(),
            kind(&field)
        ));
    }
    for of in message.child_enums() {
        write_enum(text, comments, &of);
    }
    for child in message.child_messages() {
        write_message(text, comments, &child);
    }
}

fn write_enum(text: &mut String, comments: &Comments, of: &EnumDescriptor) {
    let comment = comments.get(of.path());
    text.push_str(&format!(
        "\n## {}\n\n{comment}\n\n| Value | |\n|---|---|\n",
        of.name()
    ));
    for value in of.values() {
        let comment = comments.cell(value.path());
        text.push_str(&format!("| `{}` | {comment} |\n", value.name()));
    }
}

fn kind(field: &FieldDescriptor) -> String {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            unreachable!("a map has entries");
        };
        return format!("map of {}", one(&entry.map_entry_value_field()));
    }
    let one = one(field);
    let of_several = field
        .containing_oneof()
        .filter(|of| !of.is_synthetic())
        .map(|of| format!("{one}, one of `{}`", of.name()));
    match (of_several, field.cardinality()) {
        (Some(text), _) => text,
        (None, Cardinality::Repeated) => format!("list of {one}"),
        (None, _) if field.field_descriptor_proto().proto3_optional() => {
            format!("optional {one}")
        }
        (None, _) => one,
    }
}

fn one(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(message) => link(&message),
        Kind::Enum(of) => format!("[{}](#{})", of.name(), of.name().to_lowercase()),
        kind => format!("{kind:?}").to_lowercase(),
    }
}

/// A message of these files, on this page or on that of the configuration; else by its full name.
fn link(message: &MessageDescriptor) -> String {
    let (name, anchor) = (message.name(), message.name().to_lowercase());
    match message.package_name() {
        "gateway.admin.v1" => format!("[{name}](#{anchor})"),
        "gateway.config.v1" => format!("[{name}](configuration.md#{anchor})"),
        _ => format!("`{}`", message.full_name()),
    }
}
