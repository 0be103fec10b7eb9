//! Texts of a configuration in which a secret may stand: addresses, arguments, settings.

/// What stands in a secret's place.
pub(super) const HIDDEN: &str = "(hidden)";

/// Words that speak of a secret in the name of what holds it.
const SECRET: [&str; 12] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "credential",
    "auth",
    "cookie",
    "key",
    "hash",
    "signature",
];

/// Names that contain such a word and say where something is, or of what kind.
const HARMLESS: [&str; 4] = [
    "from_env",
    "from_file",
    "from_credential",
    "credential_type",
];

/// How secrets of well-known services begin.
const BEGINNINGS: [&str; 12] = [
    "mgk_",
    "sk-",
    "sk_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xox",
    "AKIA",
    "eyJ",
    "ya29.",
];

/// So many letters and digits in a row, of both kinds, are no word.
const RANDOM: usize = 16;

/// Flags of one letter that programs are usually started with, and before no secret.
const PLAIN_FLAGS: [&str; 5] = ["-y", "-m", "-q", "-v", "-e"];

/// Whether what has this name is a secret, most likely.
pub(super) fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !HARMLESS.contains(&name.as_str()) && SECRET.iter().any(|word| name.contains(word))
}

/// The arguments of a program.
pub(super) fn arguments(arguments: &[String]) -> Vec<String> {
    let mut is_secret = false;
    let mut shown = Vec::new();
    for argument in arguments {
        shown.push(if is_secret && !is_long_flag(argument) {
            HIDDEN.to_owned()
        } else {
            self::argument(argument)
        });
        is_secret = introduces_secret(argument);
    }
    shown
}

fn is_long_flag(argument: &str) -> bool {
    argument.starts_with("--") && !argument.contains('=')
}

/// Whether the argument behind this one may be a secret. What a flag of one letter means only its
/// program knows.
fn introduces_secret(argument: &str) -> bool {
    let is_short = argument.len() == 2 && argument.starts_with('-');
    let is_flag = argument.starts_with('-') && !argument.contains('=');
    is_flag && (names_secret(argument) || (is_short && !PLAIN_FLAGS.contains(&argument)))
}

fn argument(argument: &str) -> String {
    let mut characters = argument.chars();
    match (characters.next(), characters.next(), characters.next()) {
        // `-pSECRET`.
        (Some('-'), Some(flag), Some(_)) if flag.is_ascii_alphabetic() => {
            format!("-{flag}{HIDDEN}")
        }
        _ => plain(argument),
    }
}

/// A text that is not a secret itself, but may hold one.
pub(super) fn plain(text: &str) -> String {
    let (before, address_behind) = match text.split_once("://") {
        Some((before, rest)) => (before, Some(rest)),
        None => (text, None),
    };
    match (behind_secret_name(before), address_behind) {
        (Some(name), _) => format!("{name}{HIDDEN}"),
        (None, Some(rest)) => address(&plain_name(before), rest, true),
        (None, None) => plain_name(text),
    }
}

/// The beginning of `TOKEN=value` or `authorization: value`, up to where the value begins.
fn behind_secret_name(text: &str) -> Option<&str> {
    let mut start = 0;
    for (at, separator) in text.match_indices(['=', ':']) {
        let name = text.get(start..at)?;
        if names_secret(name) {
            return text.get(..at + separator.len());
        }
        start = at + separator.len();
    }
    None
}

/// A reference to a catalog or an image, whose digest is no secret.
pub(super) fn reference(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => address(scheme, rest, false),
        None => text.to_owned(),
    }
}

/// An address without user, password, query and fragment.
fn address(scheme: &str, rest: &str, hides_random: bool) -> String {
    let (rest, query) = match rest.split_once(['?', '#']) {
        Some((rest, _)) => (rest, format!("?{HIDDEN}")),
        None => (rest, String::new()),
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let host = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{HIDDEN}@{host}"),
        None => authority.to_owned(),
    };
    let path = path.split('/').map(|segment| {
        if hides_random {
            plain_name(segment)
        } else {
            segment.to_owned()
        }
    });
    let path = path.collect::<Vec<_>>().join("/");
    format!("{scheme}://{host}{path}{query}")
}

fn plain_name(text: &str) -> String {
    if is_random(text) {
        HIDDEN.to_owned()
    } else {
        text.to_owned()
    }
}

/// Whether it looks like something that was made to be unguessable.
fn is_random(text: &str) -> bool {
    let begins = |word: &str| {
        BEGINNINGS
            .iter()
            .any(|beginning| word.starts_with(beginning))
    };
    let is_long = |run: &str| {
        run.len() >= RANDOM
            && run.contains(|c: char| c.is_ascii_digit())
            && run.contains(|c: char| c.is_ascii_alphabetic())
    };
    text.split_whitespace().any(begins)
        || text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(is_long)
        || text
            .get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case("bearer "))
}
