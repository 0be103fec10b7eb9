//! The configuration file, and the secrets that it refers to.

use std::path::Path;

use gateway_core::config::{
    RemoteAuth, SecretRef, ServerSpec, ServerTls, Setting, TenantConfig, Violation,
};

use super::finding::{edit, quoted, quoted_text};
use super::{Finding, Patient};
use crate::config_file::{ConfigFile, Document, Problem};

/// A secret that a server's configuration refers to.
pub(super) struct Reference<'a> {
    /// Its field in the file.
    pub(super) field: String,
    /// What it is called where it cannot be read.
    called: String,
    pub(super) secret: &'a SecretRef,
}

/// Reads the file and says what is wrong with it. `None`: nothing can be said about what is in it.
pub(super) fn look(patient: &Patient) -> (Option<Document>, Vec<Finding>) {
    let document = match patient.file.read() {
        Ok(document) => document,
        Err(problems) => {
            let findings = problems.iter().map(|problem| unread(patient, problem));
            return (None, findings.collect());
        }
    };
    let violations = patient.permits.check(&document.config);
    if violations.is_empty() {
        let sound = sound(&document.config).at(patient.file.path().display().to_string());
        return (Some(document), vec![sound]);
    }
    let references = references(&document.config);
    let findings = violations.into_iter().map(|violation| {
        let secret = references.iter().find(|r| r.called == violation.path);
        refused(patient, &document, violation, secret)
    });
    let findings = findings.collect();
    (Some(document), findings)
}

fn sound(config: &TenantConfig) -> Finding {
    let some = |count: usize, one: &str| match count {
        1 => format!("1 {one}"),
        many => format!("{many} {one}s"),
    };
    let servers = some(config.servers.len(), "server");
    let profiles = some(config.profiles.len(), "profile");
    Finding::ok(format!("the configuration is sound: {servers}, {profiles}"))
}

/// A file that is missing, or no configuration.
fn unread(patient: &Patient, problem: &Problem) -> Finding {
    let path = patient.file.path();
    let place = problem.place.to_string();
    if path.exists() {
        return Finding::trouble(&problem.what, edit(path, problem.place.line())).at(place);
    }
    if path == ConfigFile::default_path() {
        let what = "there is no configuration file; the first start makes one that explains itself";
        return Finding::trouble(what, "mcp-gateway desktop").at(place);
    }
    let add = format!(
        "mcp-gateway server add NAME --config {} --command PROGRAM -- ARGUMENT",
        quoted(path)
    );
    Finding::trouble(
        "there is no such configuration file: add a server to it",
        add,
    )
    .at(place)
}

/// What a gateway would refuse the file for.
fn refused(
    patient: &Patient,
    document: &Document,
    violation: Violation,
    secret: Option<&Reference<'_>>,
) -> Finding {
    let field = secret.map_or(violation.path, |reference| reference.field.clone());
    let place = document.place(&field);
    let editing = || edit(patient.file.path(), place.line());
    let mend = match secret.map(|reference| reference.secret) {
        Some(SecretRef::FromEnv(name)) => format!("export {}=VALUE", quoted_text(name)),
        Some(SecretRef::FromFile(file)) if is_missing_or_empty(file) => {
            let folder = file.parent().filter(|folder| !folder.exists());
            let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
            let make = folder.map(|folder| format!("mkdir -p {} && ", quoted(folder)));
            let make = make.unwrap_or_default();
            format!("(umask 077 && {make}cat > {})", quoted(file))
        }
        Some(SecretRef::FromFile(_) | SecretRef::FromCredential(_)) | None => editing(),
    };
    let what = format!("{field}: {}", violation.reason);
    Finding::trouble(what, mend).at(place.to_string())
}

fn is_missing_or_empty(file: &Path) -> bool {
    std::fs::metadata(file).map_or_else(
        |error| error.kind() == std::io::ErrorKind::NotFound,
        |found| found.is_file() && found.len() == 0,
    )
}

/// Every secret that a server is given.
pub(super) fn references(config: &TenantConfig) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    for (name, server) in &config.servers {
        let (part, settings) = match &server.spec {
            ServerSpec::Remote {
                headers, auth, tls, ..
            } => {
                for (part, secret) in tls.iter().flat_map(ServerTls::secrets) {
                    let field = format!("servers.{name}.tls.{part}");
                    let called = field.clone();
                    found.push(Reference {
                        field,
                        called,
                        secret,
                    });
                }
                if let Some(RemoteAuth::Bearer(secret)) = auth {
                    found.push(Reference {
                        field: format!("servers.{name}.auth.bearer"),
                        called: format!("servers.{name}.headers.{}", http::header::AUTHORIZATION),
                        secret,
                    });
                }
                ("headers", headers)
            }
            ServerSpec::Command { env, .. } => ("env", env),
            _ => continue,
        };
        for (key, setting) in settings {
            let Setting::Secret(secret) = setting else {
                continue;
            };
            let field = format!("servers.{name}.{part}.{key}");
            found.push(Reference {
                called: field.clone(),
                field,
                secret,
            });
        }
    }
    found
}
