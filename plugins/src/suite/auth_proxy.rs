//! The suite of `AuthProxy`.

use std::sync::Arc;

use gateway_core::plugin::{AuthProxy, Injection, PluginKind, ProxyRequest};
use gateway_core::{ErrorKind, ExposeSecret, PluginError, SecretString, ServerName, UserId};
use serde_json::Value;

use super::probe::{self, CROWD, context, late_context};
use super::report::{Outcome, Report, Unmet, ensure, failed};

/// What a proxy was set up with.
#[derive(Debug, Clone)]
pub struct Injections {
    /// Requests whose user has a credential, and the headers that each must get.
    pub known: Vec<(ProxyCall, Vec<(String, SecretString)>)>,
    /// A request whose user has no credential.
    pub unknown: ProxyCall,
}

/// An outgoing request, with its own texts.
#[derive(Debug, Clone)]
pub struct ProxyCall {
    /// On whose behalf it is made.
    pub user_id: UserId,
    /// The configured server that it goes to.
    pub server: ServerName,
    /// The URL it goes to.
    pub target_url: String,
    /// The HTTP method.
    pub method: String,
    /// The headers so far.
    pub headers: Vec<(String, String)>,
    /// The JSON-RPC message.
    pub body: String,
}

impl ProxyCall {
    fn request(&self) -> ProxyRequest<'_> {
        ProxyRequest {
            user_id: &self.user_id,
            server: &self.server,
            target_url: &self.target_url,
            method: &self.method,
            headers: &self.headers,
            body: &self.body,
        }
    }
}

/// Runs the suite.
pub async fn auth_proxy(proxy: Arc<dyn AuthProxy>, injections: Injections) -> Report {
    let mut report = Report::new(PluginKind::AuthProxy);
    let injections = Arc::new(injections);
    let subject = || Subject {
        proxy: Arc::clone(&proxy),
        injections: Arc::clone(&injections),
    };
    report
        .case("injects_what_each_request_needs", subject().injects_each())
        .await;
    report
        .case(
            "says_not_found_without_a_credential",
            subject().finds_nothing(),
        )
        .await;
    report
        .case(
            "sets_no_header_of_the_gateways_own",
            subject().leaves_own_headers(),
        )
        .await;
    report
        .case("leaves_the_message_what_it_is", subject().leaves_message())
        .await;
    report
        .case("keeps_users_apart_who_ask_at_once", subject().keeps_apart())
        .await;
    report
        .case("is_usable_after_dropped_calls", subject().survives_drops())
        .await;
    report
        .case(
            "returns_when_the_deadline_has_passed",
            subject().returns_late(),
        )
        .await;
    report
}

#[derive(Clone)]
struct Subject {
    proxy: Arc<dyn AuthProxy>,
    injections: Arc<Injections>,
}

impl Subject {
    async fn inject(&self, call: &ProxyCall) -> Result<Injection, PluginError> {
        self.proxy
            .inject_credentials(&context(), call.request())
            .await
    }

    fn has_known(&self) -> Outcome {
        if self.injections.known.is_empty() {
            return Err(Unmet::NotApplicable(
                "no credential is known that it injects",
            ));
        }
        Ok(())
    }

    async fn injects_each(self) -> Outcome {
        self.injects_each_from(0).await
    }

    /// What is known, each once, beginning with another.
    async fn injects_each_from(self, begin: usize) -> Outcome {
        self.has_known()?;
        let known = &self.injections.known;
        for (call, due) in known.iter().cycle().skip(begin).take(known.len()) {
            let injection = self.inject(call).await?;
            for (name, value) in due {
                let found = injection
                    .headers
                    .iter()
                    .find(|(set, _)| set.eq_ignore_ascii_case(name));
                match found {
                    None => return failed(format!("does not set `{name}`")),
                    Some((_, set)) if set.expose_secret() != value.expose_secret() => {
                        return failed(format!("sets another `{name}` than is due"));
                    }
                    Some(_) => {}
                }
                let text = format!("{injection:?}");
                ensure(!text.contains(value.expose_secret()), || {
                    format!("the injection prints the value of `{name}`")
                })?;
            }
        }
        Ok(())
    }

    async fn finds_nothing(self) -> Outcome {
        probe::refused(
            self.inject(&self.injections.unknown).await,
            ErrorKind::NotFound,
        )
    }

    async fn leaves_own_headers(self) -> Outcome {
        const OWN: [&str; 9] = [
            "host",
            "content-length",
            "connection",
            "keep-alive",
            "proxy-authorization",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ];
        self.has_known()?;
        for (call, _) in &self.injections.known {
            for (name, _) in self.inject(call).await?.headers {
                let name = name.to_ascii_lowercase();
                let own = OWN.contains(&name.as_str()) || name.starts_with("mcp-");
                ensure(!own, || format!("sets `{name}`"))?;
            }
        }
        Ok(())
    }

    async fn leaves_message(self) -> Outcome {
        self.has_known()?;
        for (call, _) in &self.injections.known {
            let Some(body) = self.inject(call).await?.body else {
                continue;
            };
            let (Ok(before), Ok(after)) = (
                serde_json::from_str::<Value>(&call.body),
                serde_json::from_str::<Value>(&body),
            ) else {
                return failed("the new body is no JSON");
            };
            for field in [
                "/jsonrpc",
                "/id",
                "/method",
                "/params/name",
                "/params/uri",
                "/params/_meta",
            ] {
                ensure(before.pointer(field) == after.pointer(field), || {
                    format!("the new body has another `{field}`")
                })?;
            }
        }
        Ok(())
    }

    async fn keeps_apart(self) -> Outcome {
        self.has_known()?;
        // Everyone begins elsewhere: who gets another's answer shows.
        probe::all_at_once((0..CROWD).map(|begin| self.clone().injects_each_from(begin))).await
    }

    async fn survives_drops(self) -> Outcome {
        let context = context();
        let unknown = &self.injections.unknown;
        for call in self
            .injections
            .known
            .iter()
            .map(|(call, _)| call)
            .chain([unknown])
        {
            let inject = || self.proxy.inject_credentials(&context, call.request());
            probe::drop_halfway(inject).await;
        }
        if !self.injections.known.is_empty() {
            self.clone().injects_each().await?;
        }
        self.finds_nothing().await
    }

    async fn returns_late(self) -> Outcome {
        let context = late_context();
        let request = self.injections.unknown.request();
        probe::returns_late(self.proxy.inject_credentials(&context, request)).await
    }
}
