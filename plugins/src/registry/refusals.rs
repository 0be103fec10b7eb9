//! What is said of plugins that cannot be built: what is wrong, and what to write instead.

use gateway_core::config::{PluginConfig, ServerSpec, Violation};
use gateway_core::plugin::PluginKind;

use super::implementations::names;

/// How alike two names must be (0 to 1, Jaro-Winkler) for one to be taken for a misspelt other.
const ALIKE: f64 = 0.8;

pub(super) fn unknown_implementation(kind: PluginKind, path: &str, name: &str) -> Violation {
    let field = format!("{path}.implementation");
    let known = quoted(&names(kind));
    if name.is_empty() {
        return Violation::new(field, format!("is missing: `{kind}` has {known}"));
    }
    let elsewhere: Vec<_> = PluginKind::ALL
        .into_iter()
        .filter(|other| names(*other).contains(&name))
        .map(PluginKind::as_str)
        .collect();
    if !elsewhere.is_empty() {
        let others = quoted(&elsewhere);
        let reason = format!("`{name}` is an implementation of {others}; `{kind}` has {known}");
        return Violation::new(field, reason);
    }
    let nearest = names(kind)
        .into_iter()
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let guess = nearest.map(|(_, name)| format!(", did you mean `{name}`?"));
    let guess = guess.unwrap_or_default();
    let reason = format!("there is no implementation `{name}`{guess}; `{kind}` has {known}");
    Violation::new(field, reason)
}

/// What to do where every caller would be the user, and anybody could call.
const INSTEAD_OF_IMPLICIT: &str = "which only a loopback listener can bear: configure an \
                                   `auth_provider` that checks credentials, or listen on 127.0.0.1";

pub(super) fn implicit_user_on_open_listener(path: &str) -> Violation {
    let reason = format!(
        "`desktop-implicit` takes every caller for the user of this machine, {INSTEAD_OF_IMPLICIT}"
    );
    Violation::new(format!("{path}.implementation"), reason)
}

pub(super) fn no_auth_provider_on_open_listener() -> Violation {
    let reason = format!(
        "is missing: without it every caller is taken for the user of this machine, {INSTEAD_OF_IMPLICIT}"
    );
    Violation::new("plugins.auth_provider", reason)
}

pub(super) fn no_storage(path: &str, name: &str) -> Violation {
    let reason = format!(
        "`{name}` reads what the `credential_storage` keeps, which is missing: configure one beside it"
    );
    Violation::new(format!("{path}.implementation"), reason)
}

pub(super) fn for_desktops_only(path: &str, name: &str) -> Violation {
    let reason = format!(
        "`{name}` keeps what it has on the machine that it runs on, which belongs to nobody's tenant: only a desktop can have it"
    );
    Violation::new(format!("{path}.implementation"), reason)
}

pub(super) fn disk_durability(path: &str, name: &str) -> Violation {
    let reason = format!(
        "only `file` and provider `mcp` can promise `disk`: `{name}` writes each event before the request is \
         answered, which is `process`"
    );
    Violation::new(format!("{path}.durability"), reason)
}

pub(super) fn no_audit_spool(path: &str) -> Violation {
    let reason = "an audit sink that is an MCP server needs a place where events wait for it, which this data plane does \
                  not have: start it with `--audit-spool DIR`, or with `--cache-dir DIR`";
    Violation::new(format!("{path}.provider"), reason)
}

/// A plugin of provider `mcp`: says which part of the gateway is missing for it, if one is.
pub(super) fn over_mcp(path: &str, plugin: &PluginConfig) -> Option<Violation> {
    let Some(server) = &plugin.server else {
        let reason = "provider `mcp` needs `server`";
        return Some(Violation::new(format!("{path}.provider"), reason));
    };
    let missing = match server {
        ServerSpec::Catalog { .. } => {
            "a plugin from a catalog (type: catalog) needs a catalog client, which this version \
             does not have yet"
        }
        ServerSpec::Image { .. } => {
            "a plugin in a container (type: image) needs a container engine, which this version \
             does not drive yet"
        }
        ServerSpec::Registry { .. } => {
            "a plugin from the community registry (type: registry) needs a registry client, which \
             this version does not have yet"
        }
        ServerSpec::Remote { .. } | ServerSpec::Sidecar { .. } | ServerSpec::Command { .. } => {
            return None;
        }
    };
    let reason = format!(
        "{missing}: start it yourself, and say where it is with type `remote`, `sidecar` or `command`"
    );
    Some(Violation::new(format!("{path}.server"), reason))
}

/// Names in backquotes, as a list in a sentence.
fn quoted(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "none".to_owned(),
    }
}
