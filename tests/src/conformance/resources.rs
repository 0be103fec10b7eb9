//! The resources and the template.

use rmcp::model::{ErrorData, Resource, ResourceContents, ResourceTemplate};
use serde_json::json;

use super::changes::ADDED_RESOURCE;
use super::content::PNG;

pub(super) const APP_URI: &str = "ui://conformance/app";
const APP_TYPE: &str = "text/html;profile=mcp-app";
const APP: &str = "<!doctype html><title>An app</title><p>An app of the conformance fixture.</p>";

pub(super) fn resources() -> Vec<Resource> {
    vec![
        resource("test://static-text", "Static text", "text/plain"),
        resource("test://static-binary", "Static image", "image/png"),
        resource("test://watched-resource", "Watched resource", "text/plain"),
        resource(
            "test://cancellations",
            "How many calls of test_cancellation were cancelled",
            "text/plain",
        ),
        resource(APP_URI, "App", APP_TYPE),
    ]
}

pub(super) fn added() -> Resource {
    resource(ADDED_RESOURCE, "Added by a change", "text/plain")
}

pub(super) fn templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new("test://template/{id}/data", "Data by number")
            .with_description("Data that depends on the number in its URI")
            .with_mime_type("application/json"),
    ]
}

pub(super) fn read(uri: &str, cancellations: u64) -> Result<ResourceContents, ErrorData> {
    let contents = match uri {
        "test://static-text" => {
            ResourceContents::text("This is the content of the static text resource.", uri)
        }
        "test://static-binary" => ResourceContents::blob(PNG, uri).with_mime_type("image/png"),
        "test://watched-resource" => ResourceContents::text("Watched resource content", uri),
        "test://cancellations" => ResourceContents::text(cancellations.to_string(), uri),
        APP_URI => ResourceContents::text(APP, uri).with_mime_type(APP_TYPE),
        ADDED_RESOURCE => ResourceContents::text("Added by a change", uri),
        _ => return read_template(uri),
    };
    Ok(contents)
}

fn read_template(uri: &str) -> Result<ResourceContents, ErrorData> {
    let id = uri
        .strip_prefix("test://template/")
        .and_then(|rest| rest.strip_suffix("/data"))
        .filter(|id| !id.is_empty() && !id.contains('/'));
    let Some(id) = id else {
        let data = json!({ "uri": uri });
        return Err(ErrorData::resource_not_found(
            "resource not found",
            Some(data),
        ));
    };
    let data = format!("Data for ID: {id}");
    let text = json!({ "id": id, "templateTest": true, "data": data }).to_string();
    Ok(ResourceContents::text(text, uri).with_mime_type("application/json"))
}

fn resource(uri: &str, name: &str, mime_type: &str) -> Resource {
    Resource::new(uri, name)
        .with_description(format!("{name}, for tests"))
        .with_mime_type(mime_type)
}

#[cfg(test)]
mod tests {
    use super::{read, resources};

    #[test]
    fn reads_all_that_is_listed() {
        for resource in resources() {
            assert!(read(&resource.uri, 0).is_ok(), "{}", resource.uri);
        }
    }

    #[test]
    fn reads_only_uris_that_fit_the_template() {
        assert!(read("test://template/123/data", 0).is_ok());
        for uri in [
            "test://template//data",
            "test://template/1/2/data",
            "test://template/1",
        ] {
            assert!(read(uri, 0).is_err(), "{uri}");
        }
    }
}
