//! The document of a request: as YAML or as a message, and what is kept of it.

use gateway_core::config::{TenantConfig, Violation, load_yaml, to_yaml};
use gateway_proto::admin::v1::ApplyTenantRequest;
use gateway_proto::admin::v1::apply_tenant_request::Document;
use tonic::Status;

use super::refusal::{field, fields};

/// The configuration, and the text to be kept as what was submitted.
pub(super) fn read(document: Option<Document>) -> Result<(TenantConfig, String), Status> {
    match document {
        None => Err(field(
            "yaml",
            "is missing: send a document, as `yaml` or as `config`",
        )),
        Some(Document::Yaml(text)) => {
            let config = load_yaml(&text).map_err(|error| {
                let problems = error.problems.into_iter();
                let violations = problems.map(|problem| match problem.path {
                    Some(path) => Violation::new(path, problem.reason),
                    // Not well formed: all that is known is where reading stopped.
                    None => {
                        let (line, column) = (problem.line, problem.column);
                        Violation::new("yaml", format!("{line}:{column}: {}", problem.reason))
                    }
                });
                fields(violations.collect())
            })?;
            Ok((config, text))
        }
        Some(Document::Config(message)) => {
            let config = TenantConfig::try_from(*message)
                .map_err(|error| fields(vec![Violation::from(error)]))?;
            // Checked by whoever applies it; here it only has to be written.
            let text = to_yaml(&config)
                .map_err(|error| field("config", format!("cannot be written as YAML: {error}")))?;
            Ok((config, text))
        }
    }
}

/// What the audit trail says that a request was about.
pub(super) fn target(request: &ApplyTenantRequest) -> String {
    if !request.name.is_empty() {
        return request.name.clone();
    }
    match &request.document {
        Some(Document::Config(message)) => format!("tenants/{}", message.tenant),
        Some(Document::Yaml(text)) => load_yaml(text)
            .map(|config| format!("tenants/{}", config.tenant))
            .unwrap_or_default(),
        None => String::new(),
    }
}
