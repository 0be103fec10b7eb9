//! How a server's resource is called on an endpoint that shows several servers.

use crate::ServerName;

/// The scheme of MCP Apps, which hosts look at and which must therefore stay what it is.
const UI: &str = "ui://";

/// A resource's URI (or template) as a client of an aggregating endpoint sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExposedUri(String);

impl ExposedUri {
    /// `server+URI`; `ui://X` becomes `ui://server/X`.
    pub fn of(server: &ServerName, uri: &str) -> Self {
        match uri.strip_prefix(UI) {
            Some(rest) => Self(format!("{UI}{server}/{rest}")),
            None => Self(format!("{server}+{uri}")),
        }
    }

    /// The server that an exposed URI names, and that server's own URI. `None`: no server can be
    /// meant. The schemes of URIs may hold a `+` themselves; the first one is the gateway's.
    pub fn split(exposed: &str) -> Option<(ServerName, String)> {
        if let Some(rest) = exposed.strip_prefix(UI) {
            let (server, rest) = rest.split_once('/')?;
            return Some((server.parse().ok()?, format!("{UI}{rest}")));
        }
        let (server, uri) = exposed.split_once('+')?;
        Some((server.parse().ok()?, uri.to_owned()))
    }

    /// The URI as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URI as an owned text.
    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn apps_keep_their_scheme() {
        let server = "maps".parse().unwrap();
        let exposed = ExposedUri::of(&server, "ui://view/main.html");
        assert_eq!(exposed.as_str(), "ui://maps/view/main.html");
        let back = ExposedUri::split(exposed.as_str()).unwrap();
        assert_eq!(back, (server, "ui://view/main.html".to_owned()));
    }

    #[test]
    fn a_uri_without_a_server_belongs_to_nobody() {
        for uri in ["file:///x", "ui://x", "", "+x", "A+file:///x", "git+"] {
            let split = ExposedUri::split(uri);
            assert!(split.is_none() || uri == "git+", "{uri}");
        }
    }

    proptest! {
        #[test]
        fn splitting_gives_back_server_and_uri(s in "[a-z][a-z0-9-]{0,30}", uri in "(ui://)?[!-~]{0,40}") {
            let server: ServerName = s.parse().unwrap();
            let exposed = ExposedUri::of(&server, &uri);
            prop_assert_eq!(ExposedUri::split(exposed.as_str()), Some((server, uri)));
        }
    }
}
