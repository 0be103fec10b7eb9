//! The suite of `CredentialStorage`.

use std::sync::Arc;

use gateway_core::plugin::{CredentialStorage, PluginKind};
use gateway_core::{
    CredentialKey, ErrorKind, ExposeSecret, PluginError, SecretString, TenantId, UserId,
};

use super::probe::{self, CROWD, SECRET, context, context_of, late_context};
use super::report::{Outcome, Report, Unmet, ensure, failed};
use super::tidy::TidyStorage;

/// What a storage does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// It keeps it.
    Everything,
    /// It refuses it, and has nothing.
    Nothing,
}

/// Runs the suite, with users of its own in the tenants `default` and `suite-other`.
pub async fn credential_storage(storage: Arc<dyn CredentialStorage>, keeping: Keeping) -> Report {
    let mut report = Report::new(PluginKind::CredentialStorage);
    let tidy = Arc::new(TidyStorage::new(storage));
    let subject = || Subject {
        storage: Arc::clone(&tidy) as _,
        keeping,
    };
    report
        .case("has_nothing_of_an_unknown_user", subject().has_nothing())
        .await;
    report
        .case("removes_what_is_not_there", subject().removes_nothing())
        .await;
    report
        .case(
            "refuses_to_store_where_nothing_is_kept",
            subject().refuses(),
        )
        .await;
    report
        .case(
            "gives_back_the_last_value_until_it_is_removed",
            subject().keeps(),
        )
        .await;
    report
        .case("keeps_values_of_any_text_and_size", subject().keeps_any())
        .await;
    report
        .case("keeps_tenants_and_users_apart", subject().keeps_apart())
        .await;
    report
        .case("lists_by_server_and_type", subject().lists())
        .await;
    report
        .case(
            "keeps_values_whole_that_come_at_once",
            subject().keeps_whole(),
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
    tidy.clean().await;
    report
}

#[derive(Clone)]
struct Subject {
    storage: Arc<dyn CredentialStorage>,
    keeping: Keeping,
}

fn key(user: &UserId, server: &str, credential_type: &str) -> CredentialKey {
    CredentialKey {
        user_id: user.clone(),
        server: server.to_owned(),
        credential_type: credential_type.to_owned(),
    }
}

impl Subject {
    async fn store(&self, key: &CredentialKey, value: &str) -> Result<(), PluginError> {
        self.storage
            .store(&context(), key, SecretString::from(value))
            .await
    }

    /// Holds the storage to having this value. Values are not repeated in a finding.
    async fn has(&self, tenant: &TenantId, key: &CredentialKey, due: Option<&str>) -> Outcome {
        let found = self.storage.retrieve(&context_of(tenant), key).await?;
        let what = format!("`{}` of server `{}`", key.credential_type, key.server);
        match (found.as_ref().map(|value| value.expose_secret()), due) {
            (Some(found), Some(due)) => ensure(found == due, || {
                format!("has another value for {what} than was stored")
            }),
            (Some(_), None) => failed(format!("has a value for {what} where there is none")),
            (None, Some(_)) => failed(format!("has no value for {what}")),
            (None, None) => Ok(()),
        }
    }

    fn keeps_everything(&self) -> Outcome {
        match self.keeping {
            Keeping::Everything => Ok(()),
            Keeping::Nothing => Err(Unmet::NotApplicable("it keeps nothing")),
        }
    }

    async fn has_nothing(self) -> Outcome {
        let user = probe::unique_user()?;
        self.has(&TenantId::default(), &key(&user, "files", "bearer"), None)
            .await?;
        let listed = self.storage.list(&context(), &user).await?;
        ensure(listed.is_empty(), || {
            format!("lists {} credentials", listed.len())
        })
    }

    async fn removes_nothing(self) -> Outcome {
        let key = key(&probe::unique_user()?, "files", "bearer");
        self.storage.delete(&context(), &key).await?;
        Ok(self.storage.delete(&context(), &key).await?)
    }

    async fn refuses(self) -> Outcome {
        if self.keeping == Keeping::Everything {
            return Err(Unmet::NotApplicable("it keeps everything"));
        }
        let key = key(&probe::unique_user()?, "files", "bearer");
        probe::refused(self.store(&key, SECRET).await, ErrorKind::Unsupported)?;
        self.has(&TenantId::default(), &key, None).await
    }

    async fn keeps(self) -> Outcome {
        self.keeps_everything()?;
        let key = key(&probe::unique_user()?, "files", "bearer");
        for value in ["first", SECRET, SECRET] {
            self.store(&key, value).await?;
            self.has(&TenantId::default(), &key, Some(value)).await?;
        }
        self.storage.delete(&context(), &key).await?;
        self.has(&TenantId::default(), &key, None).await?;
        self.removes_nothing().await
    }

    async fn keeps_any(self) -> Outcome {
        self.keeps_everything()?;
        let user = probe::unique_user()?;
        let long = "x".repeat(1 << 15);
        for value in [
            " ",
            "\n",
            "a\r\nb\n",
            "\"\\'",
            "ß\u{202e}",
            "{\"a\":1}",
            &long,
        ] {
            let key = key(&user, "files", "bearer");
            self.store(&key, value).await?;
            self.has(&TenantId::default(), &key, Some(value)).await?;
            self.storage.delete(&context(), &key).await?;
        }
        Ok(())
    }

    async fn keeps_apart(self) -> Outcome {
        self.keeps_everything()?;
        let (ada, bob) = (probe::unique_user()?, probe::unique_user()?);
        let (own, other) = (
            TenantId::default(),
            probe::named::<TenantId>("suite-other")?,
        );
        let (of_ada, of_bob) = (key(&ada, "files", "bearer"), key(&bob, "files", "bearer"));
        self.store(&of_ada, SECRET).await?;
        self.has(&own, &of_bob, None).await?;
        self.has(&other, &of_ada, None).await?;
        let listed = self.storage.list(&context_of(&other), &ada).await?;
        ensure(listed.is_empty(), || {
            "lists another tenant's credentials".to_owned()
        })?;
        self.storage
            .store(&context_of(&other), &of_ada, SecretString::from("other"))
            .await?;
        self.has(&own, &of_ada, Some(SECRET)).await?;
        self.storage.delete(&context_of(&other), &of_ada).await?;
        self.has(&own, &of_ada, Some(SECRET)).await?;
        Ok(self.storage.delete(&context(), &of_ada).await?)
    }

    async fn lists(self) -> Outcome {
        self.keeps_everything()?;
        let user = probe::unique_user()?;
        let due = [
            ("calendar", "bearer"),
            ("files", "api_key"),
            ("files", "bearer"),
            ("web", "x"),
        ];
        for (server, credential_type) in due.iter().rev() {
            self.store(&key(&user, server, credential_type), SECRET)
                .await?;
        }
        let listed = self.storage.list(&context(), &user).await?;
        for (server, credential_type) in due {
            self.storage
                .delete(&context(), &key(&user, server, credential_type))
                .await?;
        }
        let found: Vec<_> = listed
            .iter()
            .map(|entry| (entry.server.as_str(), entry.credential_type.as_str()))
            .collect();
        ensure(found == due, || {
            format!("lists {found:?} where {due:?} is due")
        })
    }

    async fn keeps_whole(self) -> Outcome {
        self.keeps_everything()?;
        let user = probe::unique_user()?;
        let shared = key(&user, "shared", "bearer");
        // Values of different lengths: a mixture of two would show.
        let values: Vec<_> = (0..CROWD).map(|n| format!("{n}-").repeat(n + 1)).collect();
        let stores = values.iter().enumerate().map(|(n, value)| {
            let (subject, value) = (self.clone(), value.clone());
            let (own, shared) = (key(&user, &format!("own-{n}"), "bearer"), shared.clone());
            async move {
                subject.store(&own, &value).await?;
                subject.store(&shared, &value).await?;
                subject
                    .has(&TenantId::default(), &own, Some(&value))
                    .await?;
                Ok(subject.storage.delete(&context(), &own).await?)
            }
        });
        probe::all_at_once(stores).await?;
        self.has_one_of(&shared, &values).await?;
        Ok(self.storage.delete(&context(), &shared).await?)
    }

    async fn has_one_of(&self, key: &CredentialKey, values: &[String]) -> Outcome {
        let found = self.storage.retrieve(&context(), key).await?;
        let Some(found) = found else {
            return failed("has no value where several were stored");
        };
        ensure(
            values.iter().any(|value| value == found.expose_secret()),
            || "has a value that nobody stored".to_owned(),
        )
    }

    async fn survives_drops(self) -> Outcome {
        let key = key(&probe::unique_user()?, "files", "bearer");
        let context = context();
        if self.keeping == Keeping::Nothing {
            probe::drop_halfway(|| self.storage.retrieve(&context, &key)).await;
            return self.has_nothing().await;
        }
        self.store(&key, "old").await?;
        probe::drop_halfway(|| {
            self.storage
                .store(&context, &key, SecretString::from("new"))
        })
        .await;
        self.has_one_of(&key, &["old".to_owned(), "new".to_owned()])
            .await?;
        probe::drop_halfway(|| self.storage.delete(&context, &key)).await;
        probe::drop_halfway(|| self.storage.retrieve(&context, &key)).await;
        Ok(self.storage.delete(&context, &key).await?)
    }

    async fn returns_late(self) -> Outcome {
        let key = key(&probe::unique_user()?, "files", "bearer");
        let late = late_context();
        probe::returns_late(self.storage.retrieve(&late, &key)).await?;
        probe::returns_late(self.storage.store(&late, &key, SecretString::from(SECRET))).await?;
        probe::returns_late(self.storage.list(&late, &key.user_id)).await?;
        probe::returns_late(self.storage.delete(&late, &key)).await?;
        Ok(self.storage.delete(&context(), &key).await?)
    }
}
