//! Step 2: who asks.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::plugin::Authentication;
use gateway_core::{
    CallContext, Credential, Deadline, Principal, RequestId, SecretString, TenantId, TraceContext,
};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Trail;
use super::tenant::{Scoped, plugin_deadline};
use crate::error::{Failure, Reason};
use crate::exposure::Exposure;
use crate::limits::Limits;
use crate::request::{ClientRequest, unknown_session};
use crate::session::Session;
use crate::snapshot::Snapshot;

const API_KEY_HEADER: &str = "x-api-key";
const API_KEY: &str = "api_key";

/// A request whose caller is known.
pub(crate) struct Authenticated {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) view: Arc<Exposure>,
    pub(super) limits: Limits,
    pub(super) principal: Principal,
    pub(super) context: CallContext,
}

impl Authenticated {
    /// The context for calls to a plugin, with that plugin's own deadline.
    pub(super) fn context_for(
        &self,
        configured: Option<&gateway_core::config::PluginConfig>,
    ) -> CallContext {
        let deadline = plugin_deadline(self.context.deadline, configured, &self.limits);
        CallContext {
            deadline,
            ..self.context.clone()
        }
    }
}

/// Asks the tenant's authentication plugin who the caller is. A session belongs to whoever opened
/// it: for anybody else it does not exist.
pub(super) async fn authenticate(
    scoped: Scoped,
    request: &ClientRequest,
    trail: &mut Trail,
) -> Result<Box<Authenticated>, Failure> {
    let Scoped {
        snapshot,
        view,
        limits,
    } = scoped;
    let context = CallContext {
        tenant: snapshot.tenant.clone(),
        deadline: request.deadline,
        request: request.id.clone(),
        trace: trace_of(&request.headers),
    };
    let principal = principal_of(&snapshot, &request.headers, &context, &limits).await?;
    trail.caller(&principal);
    if request
        .dialect
        .session()
        .is_some_and(|session| session.user != principal.user_id)
    {
        return Err(unknown_session());
    }
    // On the heap: the steps that follow hand it on.
    Ok(Box::new(Authenticated {
        snapshot,
        view,
        limits,
        principal,
        context,
    }))
}

/// Checks that the caller is the owner of a session.
pub(super) async fn authenticate_owner(
    snapshot: &Snapshot,
    headers: &HeaderMap,
    session: &Session,
    limits: &Limits,
) -> Result<(), Failure> {
    let principal = authenticate_caller(snapshot, headers, limits).await?;
    check_owner(&principal, session)
}

/// Who sends what is no request.
pub(super) async fn authenticate_caller(
    snapshot: &Snapshot,
    headers: &HeaderMap,
    limits: &Limits,
) -> Result<Principal, Failure> {
    let request = RequestId::new(uuid::Uuid::now_v7().to_string());
    let deadline = Deadline::after(limits.plugin_timeout);
    let context = CallContext::new(snapshot.tenant.clone(), deadline, request);
    principal_of(snapshot, headers, &context, limits).await
}

/// A session belongs to whoever opened it.
pub(super) fn check_owner(principal: &Principal, session: &Session) -> Result<(), Failure> {
    if principal.user_id == session.user {
        Ok(())
    } else {
        Err(unknown_session())
    }
}

async fn principal_of(
    snapshot: &Snapshot,
    headers: &HeaderMap,
    context: &CallContext,
    limits: &Limits,
) -> Result<Principal, Failure> {
    let configured = snapshot.config.plugins.auth_provider.as_ref();
    let bearer_type = configured.and_then(|plugin| plugin.bearer_type.as_deref());
    let credential = credential_of(headers, bearer_type.unwrap_or(API_KEY))?;
    let deadline = plugin_deadline(context.deadline, configured, limits);
    let context = CallContext {
        deadline,
        ..context.clone()
    };
    let asked = snapshot
        .plugins
        .auth_provider
        .validate_credential(&context, &credential);
    let answer = within(deadline, "authentication", asked).await??;
    match answer {
        Authentication::Accepted(principal) => check_tenant(principal, &snapshot.tenant),
        Authentication::Rejected { reason } => {
            let message = match credential.is_none() {
                true => {
                    "not authenticated: send a credential, as `X-API-Key: KEY` or `Authorization: Bearer TOKEN`"
                }
                false => "not authenticated: the credential is not accepted",
            };
            Err(Failure::new(Reason::Unauthenticated, message).caused_by(reason))
        }
    }
}

/// The endpoint alone decides the tenant; a caller of another one is refused.
fn check_tenant(principal: Principal, tenant: &TenantId) -> Result<Principal, Failure> {
    match &principal.tenant_id {
        Some(own) if own != tenant => {
            let cause = format!("`{}` belongs to tenant `{own}`", principal.user_id);
            Err(Failure::new(Reason::Unauthenticated, "not authenticated").caused_by(cause))
        }
        _ => Ok(principal),
    }
}

/// What the client presented. Two credentials at once would leave open whose request it is.
fn credential_of(headers: &HeaderMap, bearer_type: &str) -> Result<Credential, Failure> {
    let refused = |message| Failure::new(Reason::Unauthenticated, message);
    let mut presented = headers
        .get_all(API_KEY_HEADER)
        .iter()
        .chain(headers.get_all(AUTHORIZATION));
    let Some(value) = presented.next() else {
        return Ok(Credential::none());
    };
    if presented.next().is_some() {
        return Err(refused(
            "send one credential: X-API-Key or Authorization, not both",
        ));
    }
    let text = value
        .to_str()
        .map_err(|_| refused("the credential is not readable text"))?;
    if headers.contains_key(API_KEY_HEADER) {
        return Ok(credential(API_KEY, text));
    }
    let Some((scheme, token)) = text.trim().split_once(' ') else {
        return Err(refused("Authorization must be of the form `Bearer TOKEN`"));
    };
    // Another scheme is a type of its own, which the plugin may know.
    let scheme = scheme.to_ascii_lowercase();
    let credential_type = if scheme == "bearer" {
        bearer_type
    } else {
        &scheme
    };
    Ok(credential(credential_type, token.trim()))
}

fn credential(credential_type: &str, value: &str) -> Credential {
    Credential {
        credential_type: credential_type.to_owned(),
        value: SecretString::from(value),
    }
}

fn trace_of(headers: &HeaderMap) -> TraceContext {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .map(Into::into)
    };
    TraceContext {
        traceparent: text("traceparent"),
        tracestate: text("tracestate"),
    }
}

/// Holds a plugin to its deadline, whatever it does itself.
pub(super) async fn within<T>(
    deadline: Deadline,
    what: &str,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    // A little later than the plugin's own deadline, so that its own error comes first.
    let until = deadline.instant() + Duration::from_millis(100);
    tokio::time::timeout_at(until.into(), work)
        .await
        .map_err(|_| {
            Failure::new(
                Reason::DeadlineExceeded,
                format!("{what} did not answer in time"),
            )
        })
}

#[cfg(test)]
mod tests {
    use gateway_core::ExposeSecret as _;

    use super::*;
    use crate::error::with_causes;

    fn credential(headers: &[(&'static str, &str)]) -> Result<(String, String), Failure> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let credential = credential_of(&map, "jwt")?;
        let value = credential.value.expose_secret().to_owned();
        Ok((credential.credential_type, value))
    }

    #[test]
    fn reads_keys_and_bearer_tokens() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(credential(&[]).unwrap(), pair("none", ""));
        assert_eq!(
            credential(&[("x-api-key", "k")]).unwrap(),
            pair("api_key", "k")
        );
        assert_eq!(
            credential(&[("authorization", "bearer  t ")]).unwrap(),
            pair("jwt", "t")
        );
    }

    #[test]
    fn another_scheme_is_a_type_of_its_own() {
        let basic = credential(&[("authorization", "Basic eA==")]).unwrap();
        assert_eq!(basic, ("basic".to_owned(), "eA==".to_owned()));
    }

    #[test]
    fn an_ambiguous_credential_is_refused() {
        let both = [("x-api-key", "k"), ("authorization", "Bearer t")];
        let twice = [("authorization", "Bearer t"), ("authorization", "Bearer u")];
        for headers in [&both[..], &twice, &[("authorization", "t")]] {
            let refusal = credential(headers).unwrap_err();
            assert_eq!(refusal.reason(), Reason::Unauthenticated);
        }
    }

    #[test]
    fn a_caller_who_belongs_to_another_tenant_is_refused_and_not_told_of_it() {
        let tenant: TenantId = "acme".parse().unwrap();
        let of = |own: Option<&str>| Principal {
            tenant_id: own.map(|own| own.parse().unwrap()),
            ..Principal::named("ada".parse().unwrap())
        };
        for own in [None, Some("acme")] {
            assert_eq!(check_tenant(of(own), &tenant).unwrap(), of(own));
        }
        for own in ["zoo", "acme-a", "default", "a"] {
            let refused = check_tenant(of(Some(own)), &tenant).unwrap_err();
            assert_eq!(refused.reason(), Reason::Unauthenticated);
            assert_eq!(refused.to_string(), "not authenticated");
            // As the audit log has it.
            let whole = with_causes(&refused);
            let cause = format!("`ada` belongs to tenant `{own}`");
            assert!(whole.contains(&cause), "{whole}");
        }
    }
}
