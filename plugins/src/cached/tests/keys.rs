//! No two questions have the same key: not of two tenants, two plugins or two callers.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::memory::Answers;
use super::super::policy::parts_of;
use super::*;

/// Who asks what of which plugin of which tenant. From few letters, so that there is every occasion
/// to mistake one for another.
type Question = (String, String, Vec<String>);

fn question() -> impl Strategy<Value = Question> {
    let parts = proptest::collection::vec("[01a]{0,2}", 0..4);
    ("[01a]", "[01a ]{0,2}", parts)
}

fn principal() -> impl Strategy<Value = Principal> {
    let names = || proptest::collection::vec("[01a]{0,1}", 0..3);
    let metadata = proptest::collection::btree_map("[01a]{0,1}", "[01a]{0,1}", 0..3);
    let ends = proptest::option::of(0_i64..2);
    let tenant = proptest::option::of("[01a]");
    ("[01a]", tenant, names(), names(), metadata, ends).prop_map(
        |(user, tenant, roles, groups, metadata, ends)| Principal {
            user_id: user.parse().unwrap(),
            tenant_id: tenant.map(|tenant| tenant.parse().unwrap()),
            roles,
            groups,
            metadata,
            expires_at: ends.map(|end| Timestamp::from_second(end).unwrap()),
        },
    )
}

fn key((tenant, plugin, parts): &Question) -> [u8; 32] {
    let tenant = tenant.parse().unwrap();
    let answers = Answers::<()>::new(&tenant, plugin, &cache("1h")).unwrap();
    answers.key(parts.iter().map(String::as_str))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn questions_have_one_key_only_if_they_are_the_same(one in question(), other in question()) {
        prop_assert_eq!(key(&one) == key(&other), one == other, "{:?} {:?}", one, other);
    }

    #[test]
    fn callers_are_taken_for_one_only_if_all_that_is_known_of_them_is_the_same(
        callers in proptest::collection::vec(principal(), 2..40)
    ) {
        let mut known: BTreeMap<Vec<String>, &Principal> = BTreeMap::new();
        for caller in &callers {
            let alike = known.entry(parts_of(caller)).or_insert(caller);
            prop_assert_eq!(&**alike, caller);
        }
    }
}

#[test]
fn a_role_is_not_mistaken_for_a_tenant() {
    let ada = Principal::named("ada".parse().unwrap());
    let of_tenant = Principal {
        tenant_id: Some("1".parse().unwrap()),
        ..ada.clone()
    };
    let with_role = Principal {
        roles: vec!["0".to_owned()],
        ..ada
    };
    assert_ne!(parts_of(&of_tenant), parts_of(&with_role));
}

/// Answers by the tenant that asks, which must be its own.
struct OneTenant(TenantId);

#[async_trait]
impl AuthProvider for OneTenant {
    async fn validate_credential(
        &self,
        context: &CallContext,
        credential: &Credential,
    ) -> Result<Authentication, PluginError> {
        assert_eq!(context.tenant, self.0, "it is asked for another tenant");
        let value = credential.value.expose_secret();
        // What is accepted differs from tenant to tenant, and so does whose it is.
        if value.contains(self.0.as_str()) || value == "both" {
            let user = format!("{}: {value}", self.0);
            return Ok(Authentication::Accepted(Principal::named(
                user.parse().unwrap(),
            )));
        }
        let reason = format!("not one of {}", self.0);
        Ok(Authentication::Rejected { reason })
    }
}

const TENANTS: [&str; 3] = ["a", "a-b", "b"];
const CREDENTIALS: [&str; 5] = ["a", "a-b", "b", "both", "none"];

/// What each tenant's provider says, in the order in which it is asked.
async fn answers_to(asked: &[(usize, usize)]) -> Vec<(usize, String)> {
    let providers = TENANTS.map(|tenant| {
        let tenant: TenantId = tenant.parse().unwrap();
        let config = CacheConfig {
            max_entries: Some(2),
            ..cache("1h")
        };
        let provider = Arc::new(OneTenant(tenant.clone()));
        (CachedAuth::around(provider, &tenant, &config), tenant)
    });
    let mut answers = Vec::new();
    for &(number, credential) in asked {
        let (provider, tenant) = &providers[number];
        let context = CallContext {
            tenant: tenant.clone(),
            ..context()
        };
        let credential = Credential {
            credential_type: "api_key".to_owned(),
            value: SecretString::from(CREDENTIALS[credential]),
        };
        let answer = provider.validate_credential(&context, &credential).await;
        answers.push((number, format!("{answer:?}")));
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tenant_is_told_what_it_would_be_told_if_it_were_alone(
        asked in proptest::collection::vec((0..TENANTS.len(), 0..CREDENTIALS.len()), 1..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let together = runtime.block_on(answers_to(&asked));
        for tenant in 0..TENANTS.len() {
            let own: Vec<_> = asked.iter().copied().filter(|(asker, _)| *asker == tenant).collect();
            let alone = runtime.block_on(answers_to(&own));
            let of_it = together.iter().filter(|(asker, _)| *asker == tenant);
            prop_assert!(of_it.eq(&alone));
        }
    }
}
