//! With whose rights a server is asked. What it says under one of them is shown under no other.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use gateway_core::config::Isolation;
use gateway_core::{ExposeSecret as _, SecretString, UserId};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, header::InvalidHeaderName};

use super::environment;

/// What makes one caller's answers from a server differ from another's. Connections, lists and
/// whatever else comes from a server are kept by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AuthorizationContext {
    user: Option<UserId>,
    credential: Option<Arc<UserCredential>>,
}

impl AuthorizationContext {
    /// The gateway's own rights: everybody is answered alike.
    pub(crate) const GATEWAY: Self = Self {
        user: None,
        credential: None,
    };

    /// The rights of one user, or of everybody who has the same credential where the
    /// configuration says that they share.
    pub(super) fn of_user(
        user: &UserId,
        credential: Option<UserCredential>,
        isolation: Option<Isolation>,
    ) -> Self {
        let shares = isolation == Some(Isolation::Shared);
        Self {
            user: (!shares).then(|| user.clone()),
            credential: credential.map(Arc::new),
        }
    }

    /// Whose rights they are; `None` where several users may have them.
    pub(crate) fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    pub(crate) fn credential(&self) -> Option<&UserCredential> {
        self.credential.as_deref()
    }
}

/// A user's credential as a server takes it: headers, or the environment of a child. Two are the
/// same as long as their values are; the values do not print.
pub(crate) struct UserCredential {
    /// By name, in the form that the server's transport has for names.
    values: Vec<(String, SecretString)>,
}

/// What a credential plugin may not set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidCredential {
    #[error("the credential plugin set `{0}`, which is no header")]
    NoHeader(String, #[source] InvalidHeaderName),
    #[error("the credential plugin set `{0}` to what no header can hold")]
    NoHeaderValue(HeaderName),
    #[error("the credential plugin may not set `{0}`")]
    OwnHeader(HeaderName),
    #[error("the credential plugin set `{0}`, which is no name of an environment variable")]
    NoVariable(String),
    #[error("the credential plugin set `{0}` to what no environment variable can hold")]
    NoVariableValue(String),
    #[error("the credential plugin may not set the environment variable `{0}`")]
    OwnVariable(String),
}

/// What no plugin may set: framing, routing, and what MCP itself says.
const OWN_HEADERS: [HeaderName; 11] = [
    header::HOST,
    header::ACCEPT,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("last-event-id"),
];

impl UserCredential {
    /// As headers of every request to an HTTP server.
    pub(super) fn as_headers(
        given: Vec<(String, SecretString)>,
    ) -> Result<Self, InvalidCredential> {
        let mut values = Vec::new();
        for (name, value) in given {
            let parsed = HeaderName::try_from(name.as_str());
            let name = parsed.map_err(|error| InvalidCredential::NoHeader(name, error))?;
            if OWN_HEADERS.contains(&name) || name.as_str().starts_with("mcp-") {
                return Err(InvalidCredential::OwnHeader(name));
            }
            if HeaderValue::try_from(value.expose_secret()).is_err() {
                return Err(InvalidCredential::NoHeaderValue(name));
            }
            values.push((name.as_str().to_owned(), value));
        }
        Ok(Self::of(values))
    }

    /// As variables of a child. What can be no name of one, because it is a header's, is written as
    /// variables are: `api-token` is `API_TOKEN`.
    pub(super) fn as_variables(
        given: Vec<(String, SecretString)>,
    ) -> Result<Self, InvalidCredential> {
        let mut values = Vec::new();
        for (name, value) in given {
            let variable = match environment::is_name(&name) {
                true => name.clone(),
                false => name.to_ascii_uppercase().replace('-', "_"),
            };
            if !environment::is_name(&variable) {
                return Err(InvalidCredential::NoVariable(name));
            }
            if environment::decides_what_runs(&variable) {
                return Err(InvalidCredential::OwnVariable(variable));
            }
            if value.expose_secret().contains('\0') {
                return Err(InvalidCredential::NoVariableValue(variable));
            }
            values.push((variable, value));
        }
        Ok(Self::of(values))
    }

    fn of(mut values: Vec<(String, SecretString)>) -> Self {
        // In one order, so that the order in which a plugin says them makes no difference.
        values.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self { values }
    }

    /// The headers to add to those of the endpoint.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.exposed() {
            let pair = (HeaderName::try_from(name), HeaderValue::try_from(value));
            if let (Ok(name), Ok(mut value)) = pair {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        headers
    }

    /// The variables to add to those of the child.
    pub(super) fn variables(&self) -> impl Iterator<Item = (String, String)> {
        self.exposed()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    }

    fn exposed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose_secret()))
    }
}

impl PartialEq for UserCredential {
    fn eq(&self, other: &Self) -> bool {
        self.exposed().eq(other.exposed())
    }
}

impl Eq for UserCredential {}

impl Hash for UserCredential {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for value in self.exposed() {
            value.hash(state);
        }
    }
}

impl fmt::Debug for UserCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.values.iter().map(|(name, _)| name);
        f.debug_set().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(values: &[(&str, &str)]) -> Vec<(String, SecretString)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).into());
        values.iter().map(owned).collect()
    }

    fn headers(values: &[(&str, &str)]) -> Result<UserCredential, String> {
        UserCredential::as_headers(given(values)).map_err(|error| error.to_string())
    }

    fn variables(values: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let credential = UserCredential::as_variables(given(values));
        let credential = credential.map_err(|error| error.to_string())?;
        Ok(credential.variables().collect())
    }

    fn context(user: &str, credential: &str, isolation: Option<Isolation>) -> AuthorizationContext {
        let credential = headers(&[("authorization", credential)]).unwrap();
        AuthorizationContext::of_user(&user.parse().unwrap(), Some(credential), isolation)
    }

    #[test]
    fn users_share_nothing_even_with_equal_credentials() {
        assert_eq!(context("ada", "x", None), context("ada", "x", None));
        assert_ne!(context("ada", "x", None), context("eve", "x", None));
        assert_ne!(context("ada", "x", None), context("ada", "y", None));
    }

    #[test]
    fn users_with_equal_credentials_share_where_the_configuration_says_so() {
        let shared = Some(Isolation::Shared);
        assert_eq!(context("ada", "x", shared), context("eve", "x", shared));
        assert_ne!(context("ada", "x", shared), context("eve", "y", shared));
        assert_ne!(context("ada", "x", shared), AuthorizationContext::GATEWAY);
    }

    #[test]
    fn the_order_in_which_values_are_said_makes_no_difference() {
        let one = headers(&[("A", "1"), ("b", "2")]).unwrap();
        let other = headers(&[("B", "2"), ("a", "1")]).unwrap();
        assert_eq!(one, other);
        assert_eq!(one.headers()["b"], "2");
    }

    #[test]
    fn a_plugin_sets_neither_framing_nor_what_mcp_says() {
        for name in ["Host", "mcp-session-id", "Connection", "accept"] {
            let refusal = headers(&[(name, "x")]).unwrap_err();
            assert!(refusal.contains(&name.to_lowercase()), "{refusal}");
        }
        assert!(headers(&[("a b", "x")]).unwrap_err().contains("no header"));
        assert!(headers(&[("a", "x\ny")]).is_err());
    }

    #[test]
    fn a_child_gets_variables() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let set = variables(&[("api-token", "x y"), ("Own_Token", "t")]).unwrap();
        assert_eq!(set, [pair("API_TOKEN", "x y"), pair("Own_Token", "t")]);
    }

    #[test]
    fn a_plugin_does_not_decide_what_a_child_runs() {
        for name in [
            "path",
            "LD_PRELOAD",
            "node-options",
            "BASH_ENV",
            "PYTHONPATH",
        ] {
            assert!(variables(&[(name, "x")]).unwrap_err().contains("may not"));
        }
        for name in ["", "1A", "a b", "a=b", "ä"] {
            assert!(variables(&[(name, "x")]).is_err(), "{name}");
        }
        assert!(variables(&[("A", "x\0")]).is_err());
    }

    #[test]
    fn a_credential_does_not_print_its_values() {
        let shown = format!("{:?}", context("ada", "hunter2", None));
        assert!(shown.contains("authorization") && !shown.contains("hunter2"));
    }
}
