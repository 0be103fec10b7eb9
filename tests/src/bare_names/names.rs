//! The names of one server's items, on an aggregating endpoint and on its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Stands before a name that no server's prefix explains.
const UNEXPLAINED: &str = "without-prefix:";
const UI: &str = "ui://";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Tools, prompts and tasks: `server__name`.
    Name,
    /// Resources and templates: `server+URI`, `ui://server/…`.
    Uri,
}

#[derive(Debug, Clone)]
pub(super) struct Names {
    server: String,
    others: Vec<String>,
}

impl Names {
    pub(super) fn of(server: &str, others: &[&str]) -> Self {
        Self {
            server: server.to_owned(),
            others: others.iter().map(|other| (*other).to_owned()).collect(),
        }
    }

    pub(super) fn exposed(&self, kind: Kind, own: &str) -> String {
        let server = &self.server;
        match (kind, own.strip_prefix(UI)) {
            (Kind::Name, _) => format!("{server}__{own}"),
            (Kind::Uri, Some(rest)) => format!("{UI}{server}/{rest}"),
            (Kind::Uri, None) => format!("{server}+{own}"),
        }
    }

    /// The value of a header, which may be in Base64; `None` when it is said to be and is not.
    pub(super) fn exposed_header(&self, kind: Kind, own: &str) -> Option<String> {
        let encoded = own
            .strip_prefix("=?base64?")
            .and_then(|rest| rest.strip_suffix("?="));
        let Some(encoded) = encoded else {
            return Some(self.exposed(kind, own));
        };
        let own = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let exposed = STANDARD.encode(self.exposed(kind, &own));
        Some(format!("=?base64?{exposed}?="))
    }

    pub(super) fn own(&self, kind: Kind, exposed: &str) -> String {
        match split(kind, exposed) {
            Some((server, own)) if server == self.server => own,
            _ => format!("{UNEXPLAINED}{exposed}"),
        }
    }

    pub(super) fn is_of_another(&self, kind: Kind, exposed: &str) -> bool {
        split(kind, exposed).is_some_and(|(server, _)| self.others.iter().any(|o| o == server))
    }
}

fn split(kind: Kind, exposed: &str) -> Option<(&str, String)> {
    let (server, own) = match (kind, exposed.strip_prefix(UI)) {
        (Kind::Name, _) => exposed.split_once("__")?,
        (Kind::Uri, Some(rest)) => {
            let (server, rest) = rest.split_once('/')?;
            return Some((server, format!("{UI}{rest}")));
        }
        (Kind::Uri, None) => exposed.split_once('+')?,
    };
    Some((server, own.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exposed_and_given_back() {
        let names = Names::of("maps", &["files"]);
        for (kind, own, exposed) in [
            (Kind::Name, "find", "maps__find"),
            (Kind::Uri, "file:///a+b", "maps+file:///a+b"),
            (Kind::Uri, "ui://view/x", "ui://maps/view/x"),
        ] {
            assert_eq!(names.exposed(kind, own), exposed);
            assert_eq!(names.own(kind, exposed), own);
        }
        assert!(names.is_of_another(Kind::Name, "files__find"));
        assert!(names.is_of_another(Kind::Uri, "ui://files/x"));
        assert!(!names.is_of_another(Kind::Name, "maps__find"));
    }

    #[test]
    fn a_name_without_a_prefix_is_noticed() {
        let names = Names::of("maps", &["files"]);
        for exposed in ["find", "files__find", "other__find"] {
            assert_eq!(
                names.own(Kind::Name, exposed),
                format!("without-prefix:{exposed}")
            );
        }
        assert!(!names.is_of_another(Kind::Name, "find"));
    }

    #[test]
    fn headers_keep_their_encoding() {
        let names = Names::of("maps", &[]);
        let exposed = |own: &str| names.exposed_header(Kind::Name, own);
        let encoded = |text: &str| format!("=?base64?{}?=", STANDARD.encode(text));
        assert_eq!(exposed("find").unwrap(), "maps__find");
        assert_eq!(exposed(&encoded("grün")), Some(encoded("maps__grün")));
        assert_eq!(exposed("=?base64?%?="), None);
    }
}
