//! What a child process inherits of the gateway's environment: what programs need to run, and
//! none of the secrets that other programs of the user find there.

/// Variables that are passed on.
const NAMES: [&str; 15] = [
    "HOME",
    "PATH",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANG",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// Beginnings of variables that are passed on: locale, folders, and the settings of the package
/// runners that most servers are started with.
const PREFIXES: [&str; 5] = ["LC_", "XDG_", "NPM_CONFIG_", "PIP_", "UV_"];

/// Parts of names that speak of a secret, whatever they begin with.
const SECRET: [&str; 5] = ["TOKEN", "SECRET", "PASSWORD", "AUTH", "KEY"];

/// Beginnings of variables that decide which code a program loads or runs.
const LOADING: [&str; 16] = [
    "LD_", "DYLD_", "GCONV_", "GLIBC_", "BASH_", "PYTHON", "NODE_", "NPM_", "PERL", "RUBY",
    "JAVA_", "JDK_", "DOTNET_", "UV_", "PIP_", "GIT_",
];

/// Ends of names that hold a secret and nothing else, such as `NODE_AUTH_TOKEN`.
const SECRET_ENDS: [&str; 4] = ["_TOKEN", "_KEY", "_SECRET", "_PASSWORD"];

/// Further names of that kind.
const DECISIVE: [&str; 6] = ["PATH", "HOME", "SHELL", "ENV", "IFS", "CLASSPATH"];

/// Whether a variable can have this name.
pub(super) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let begins = bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    begins && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a variable is more to a program than a value: whoever may set it may run code of
/// their own.
pub(super) fn decides_what_runs(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let is_secret = SECRET_ENDS.iter().any(|end| name.ends_with(end));
    let is_read = DECISIVE.contains(&name.as_str())
        || LOADING.iter().any(|prefix| name.starts_with(prefix))
        || name.ends_with("_OPTIONS")
        || name.ends_with("_PROXY");
    is_read && !is_secret
}

/// The variables of this process that a child gets.
pub(super) fn inherited() -> Vec<(String, String)> {
    let variables = std::env::vars_os();
    let readable =
        variables.filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)));
    readable.filter(|(name, _)| passes(name)).collect()
}

fn passes(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let known =
        NAMES.contains(&name.as_str()) || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    known && !SECRET.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_gets_what_programs_need_and_no_secrets() {
        for name in [
            "PATH",
            "HOME",
            "LC_ALL",
            "npm_config_registry",
            "https_proxy",
        ] {
            assert!(passes(name), "{name}");
        }
        for name in [
            "GITHUB_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "MCP_GATEWAY_LOG",
            "UV_INDEX_PASSWORD",
            "npm_config_//registry/:_authToken",
            "SSH_AUTH_SOCK",
            "LD_PRELOAD",
        ] {
            assert!(!passes(name), "{name}");
        }
    }
}
