//! The suite of `AuthProvider`.

use std::sync::Arc;

use gateway_core::plugin::{AuthProvider, Authentication, PluginKind};
use gateway_core::{Credential, ExposeSecret, SecretString, UserId};

use super::probe::{self, CROWD, SECRET, context, late_context};
use super::report::{Outcome, Report, Unmet, ensure, failed};

/// What a provider was set up with.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    /// Credentials that it accepts, and whose each is.
    pub accepted: Vec<(Credential, UserId)>,
    /// Credentials that it rejects.
    pub rejected: Vec<Credential>,
}

/// Runs the suite.
pub async fn auth_provider(provider: Arc<dyn AuthProvider>, accounts: Accounts) -> Report {
    let mut report = Report::new(PluginKind::AuthProvider);
    let accounts = Arc::new(accounts);
    let subject = || Subject {
        provider: Arc::clone(&provider),
        accounts: Arc::clone(&accounts),
    };
    report
        .case("knows_whose_each_good_credential_is", subject().accepts())
        .await;
    report
        .case(
            "rejects_bad_credentials_without_repeating_them",
            subject().rejects(),
        )
        .await;
    report
        .case("answers_hostile_credentials", subject().survives_hostile())
        .await;
    report
        .case(
            "keeps_callers_apart_who_ask_at_once",
            subject().keeps_apart(),
        )
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
    provider: Arc<dyn AuthProvider>,
    accounts: Arc<Accounts>,
}

impl Subject {
    async fn is_accepted(&self, credential: &Credential, user: &UserId) -> Outcome {
        let secret = credential.value.expose_secret();
        match self
            .provider
            .validate_credential(&context(), credential)
            .await
        {
            Ok(Authentication::Accepted(principal)) => ensure(principal.user_id == *user, || {
                format!(
                    "takes the credential of `{user}` for that of `{}`",
                    principal.user_id
                )
            }),
            Ok(Authentication::Rejected { reason }) if repeats(&reason, secret) => {
                failed("the reason repeats the credential")
            }
            Ok(Authentication::Rejected { reason }) => {
                failed(format!("rejects the credential of `{user}`: {reason}"))
            }
            Err(error) => {
                probe::prints_no_secret(&error, secret)?;
                Err(error.into())
            }
        }
    }

    async fn is_rejected(&self, credential: &Credential) -> Outcome {
        let secret = credential.value.expose_secret();
        match self
            .provider
            .validate_credential(&context(), credential)
            .await
        {
            Ok(Authentication::Rejected { reason }) => ensure(!repeats(&reason, secret), || {
                "the reason repeats the credential".to_owned()
            }),
            Ok(Authentication::Accepted(principal)) => failed(format!(
                "takes a bad credential for that of `{}`",
                principal.user_id
            )),
            Err(error) => {
                probe::prints_no_secret(&error, secret)?;
                Err(error.into())
            }
        }
    }

    async fn accepts(self) -> Outcome {
        if self.accounts.accepted.is_empty() {
            return Err(Unmet::NotApplicable("no good credential is known"));
        }
        for (credential, user) in &self.accounts.accepted {
            // Twice, because an answer may come from a cache the second time.
            self.is_accepted(credential, user).await?;
            self.is_accepted(credential, user).await?;
        }
        Ok(())
    }

    async fn rejects(self) -> Outcome {
        if self.accounts.rejected.is_empty() {
            return Err(Unmet::NotApplicable("no bad credential is known"));
        }
        for credential in &self.accounts.rejected {
            self.is_rejected(credential).await?;
            self.is_rejected(credential).await?;
        }
        Ok(())
    }

    /// Whether it accepts, rejects or fails is its own affair; it must answer and print nothing.
    async fn survives_hostile(self) -> Outcome {
        let values = [
            String::new(),
            SECRET.to_owned(),
            format!("{SECRET}\r\nx-injected: 1"),
            format!("{SECRET}\0"),
            format!("{{\"{SECRET}\": ["),
            SECRET.repeat(4096),
        ];
        for credential_type in ["api_key", "jwt", "", "no such type", "\u{202e}"] {
            for value in &values {
                let credential = Credential {
                    credential_type: credential_type.to_owned(),
                    value: SecretString::from(value.as_str()),
                };
                let answer = self
                    .provider
                    .validate_credential(&context(), &credential)
                    .await;
                match answer {
                    Ok(Authentication::Rejected { reason }) if reason.contains(SECRET) => {
                        return failed("the reason repeats the credential");
                    }
                    Ok(_) => {}
                    Err(error) => probe::prints_no_secret(&error, SECRET)?,
                }
            }
        }
        Ok(())
    }

    async fn keeps_apart(self) -> Outcome {
        let Accounts { accepted, rejected } = &*self.accounts;
        if accepted.is_empty() && rejected.is_empty() {
            return Err(Unmet::NotApplicable("no credential is known"));
        }
        // Everyone begins elsewhere: who gets another's answer shows.
        let everyone = (0..CROWD).map(|begin| {
            let subject = self.clone();
            async move {
                let Accounts { accepted, rejected } = &*subject.accounts;
                let good = accepted
                    .iter()
                    .map(|(credential, user)| (credential, Some(user)));
                let all: Vec<_> = good
                    .chain(rejected.iter().map(|credential| (credential, None)))
                    .collect();
                for (credential, user) in all.iter().cycle().skip(begin).take(all.len()) {
                    match user {
                        Some(user) => subject.is_accepted(credential, user).await?,
                        None => subject.is_rejected(credential).await?,
                    }
                }
                Ok(())
            }
        });
        probe::all_at_once(everyone).await
    }

    async fn survives_drops(self) -> Outcome {
        let context = context();
        for (credential, user) in &self.accounts.accepted {
            probe::drop_halfway(|| self.provider.validate_credential(&context, credential)).await;
            self.is_accepted(credential, user).await?;
        }
        for credential in &self.accounts.rejected {
            probe::drop_halfway(|| self.provider.validate_credential(&context, credential)).await;
            self.is_rejected(credential).await?;
        }
        Ok(())
    }

    async fn returns_late(self) -> Outcome {
        let context = late_context();
        let none = Credential::none();
        probe::returns_late(self.provider.validate_credential(&context, &none)).await
    }
}

fn repeats(text: &str, secret: &str) -> bool {
    !secret.is_empty() && text.contains(secret)
}
