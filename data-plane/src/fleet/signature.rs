//! By what a replica knows that another one speaks: a signature over all that is said and over to
//! whom, by a key that only those have who have the session keys.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use moka::sync::Cache;

use crate::session::{KEY_ID_LEN, ReplicaTag, Sessions};

/// The header with the signature. Of an answer: that nothing was done, because there was none that holds.
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("mcp-gateway-replica");

/// How far the clocks of two replicas, and the way between them, may be apart.
const WINDOW: Duration = Duration::from_secs(30);

/// How many signatures are remembered, so that none is taken twice.
const MAX_NONCES: u64 = 1_000_000;

const FORMAT: &str = "1";
const NONCE_LEN: usize = 16;

/// Written on the way itself, and of no meaning to who is spoken to.
const UNSIGNED: [HeaderName; 5] = [
    SIGNATURE,
    HOST,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    CONNECTION,
];

/// All that is said, and to whom.
pub(super) struct Said<'a> {
    pub(super) to: ReplicaTag,
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

/// Why somebody is not listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("there is no signature of a replica")]
    Unsigned,
    #[error("the key is none of the session keys of this replica")]
    UnknownKey,
    #[error("the signature is of another time: do the clocks of the replicas agree?")]
    Stale,
    #[error("the signature is of something else")]
    Forged,
    #[error("the signature was used before")]
    Replayed,
}

/// What a signature says, before it is checked.
pub(super) struct Claim {
    key_id: [u8; KEY_ID_LEN],
    /// In milliseconds since 1970.
    at: i64,
    nonce: [u8; NONCE_LEN],
    from: ReplicaTag,
    mac: Vec<u8>,
}

/// The signatures that were taken of late.
#[derive(Debug)]
pub(super) struct Nonces(Cache<[u8; NONCE_LEN], ()>);

impl Default for Nonces {
    fn default() -> Self {
        let kept = Cache::builder().max_capacity(MAX_NONCES);
        Self(kept.time_to_live(WINDOW * 2).build())
    }
}

/// The value of [`SIGNATURE`] for what `from` says; `None` without a source of randomness.
pub(super) fn sign(sessions: &Sessions, from: ReplicaTag, said: &Said<'_>) -> Option<HeaderValue> {
    let (key_id, key) = sessions.replica_key()?;
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).ok()?;
    let at = Timestamp::now().as_millisecond();
    let mut claim = Claim {
        key_id,
        at,
        nonce,
        from,
        mac: Vec::new(),
    };
    claim.mac = claim.compute(&key, said).as_ref().to_vec();
    claim.to_value()
}

impl Claim {
    fn to_value(&self) -> Option<HeaderValue> {
        let text = format!(
            "{FORMAT}.{}.{}.{}.{}.{}",
            URL_SAFE_NO_PAD.encode(self.key_id),
            self.at,
            URL_SAFE_NO_PAD.encode(self.nonce),
            self.from,
            URL_SAFE_NO_PAD.encode(&self.mac),
        );
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Reads the one signature that there must be, and checks what can be before the body is known.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refused> {
        let mut values = headers.get_all(SIGNATURE).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Refused::Unsigned);
        };
        let claim = value.to_str().ok().and_then(Self::parse);
        let claim = claim.ok_or(Refused::Unsigned)?;
        let age = Timestamp::now().as_millisecond().saturating_sub(claim.at);
        if u128::from(age.unsigned_abs()) > WINDOW.as_millis() {
            return Err(Refused::Stale);
        }
        Ok(claim)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let mut part = || parts.next();
        if part()? != FORMAT {
            return None;
        }
        let claim = Self {
            key_id: URL_SAFE_NO_PAD.decode(part()?).ok()?.try_into().ok()?,
            at: part()?.parse().ok()?,
            nonce: URL_SAFE_NO_PAD.decode(part()?).ok()?.try_into().ok()?,
            from: ReplicaTag::parse(part()?)?,
            mac: URL_SAFE_NO_PAD.decode(part()?).ok()?,
        };
        part().is_none().then_some(claim)
    }

    /// Checks the rest. What passes once does not pass again.
    pub(super) fn check(
        &self,
        sessions: &Sessions,
        nonces: &Nonces,
        said: &Said<'_>,
    ) -> Result<(), Refused> {
        let key = sessions.replica_key_of(self.key_id);
        let key = key.ok_or(Refused::UnknownKey)?;
        let mac = self.compute(&key, said);
        verify_slices_are_equal(mac.as_ref(), &self.mac).map_err(|_| Refused::Forged)?;
        if nonces.0.entry(self.nonce).or_insert(()).is_fresh() {
            Ok(())
        } else {
            Err(Refused::Replayed)
        }
    }

    /// Each part is behind its length, so that none can be read as the end or the start of another.
    fn compute(&self, key: &hmac::Key, said: &Said<'_>) -> hmac::Tag {
        let Said {
            to,
            method,
            path,
            headers,
            body,
        } = said;
        let mut context = hmac::Context::with_key(key);
        let mut add = |part: &[u8]| {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        };
        add(FORMAT.as_bytes());
        add(&self.at.to_be_bytes());
        add(&self.nonce);
        add(&self.from.to_bytes());
        add(&to.to_bytes());
        add(method.as_str().as_bytes());
        add(path.as_bytes());
        // HTTP keeps the order of the values of one name, and of nothing else.
        let mut names: Vec<_> = headers
            .keys()
            .filter(|name| !UNSIGNED.contains(name))
            .collect();
        names.sort_unstable_by_key(|name| name.as_str());
        for name in names {
            for value in headers.get_all(name) {
                add(name.as_str().as_bytes());
                add(value.as_bytes());
            }
        }
        add(b"");
        add(body);
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::SessionKeys;

    struct Scene {
        sessions: Sessions,
        nonces: Nonces,
        headers: HeaderMap,
    }

    const BODY: &[u8] = br#"{"jsonrpc":"2.0"}"#;

    impl Scene {
        fn new() -> Self {
            let mut headers = HeaderMap::new();
            headers.insert("mcp-session-id", HeaderValue::from_static("abc"));
            headers.insert("x-api-key", HeaderValue::from_static("key"));
            Self {
                sessions: Sessions::new(SessionKeys::random().unwrap(), "b"),
                nonces: Nonces::default(),
                headers,
            }
        }

        fn said<'a>(&'a self, path: &'a str, body: &'a [u8]) -> Said<'a> {
            Said {
                to: ReplicaTag::of("b"),
                method: &Method::POST,
                path,
                headers: &self.headers,
                body,
            }
        }

        fn signed(mut self) -> Self {
            let value = sign(
                &self.sessions,
                ReplicaTag::of("a"),
                &self.said("/mcp", BODY),
            );
            self.headers.insert(SIGNATURE, value.unwrap());
            self
        }

        fn check(&self, said: &Said<'_>) -> Result<(), Refused> {
            Claim::of(said.headers)?.check(&self.sessions, &self.nonces, said)
        }
    }

    #[test]
    fn what_a_replica_says_is_taken_once() {
        let scene = Scene::new().signed();
        assert_eq!(scene.check(&scene.said("/mcp", BODY)), Ok(()));
        assert_eq!(
            scene.check(&scene.said("/mcp", BODY)),
            Err(Refused::Replayed)
        );
    }

    #[test]
    fn nothing_of_what_is_signed_can_be_changed() {
        let mut scene = Scene::new().signed();
        let forged = Err(Refused::Forged);
        assert_eq!(scene.check(&scene.said("/t/rival/mcp", BODY)), forged);
        assert_eq!(scene.check(&scene.said("/mcp", b"{}")), forged);
        let said = scene.said("/mcp", BODY);
        let to = ReplicaTag::of("c");
        assert_eq!(scene.check(&Said { to, ..said }), forged);
        let said = scene.said("/mcp", BODY);
        let method = &Method::DELETE;
        assert_eq!(scene.check(&Said { method, ..said }), forged);
        let other = HeaderValue::from_static("of somebody else");
        scene.headers.insert("x-api-key", other);
        assert_eq!(scene.check(&scene.said("/mcp", BODY)), forged);
        scene
            .headers
            .insert("x-api-key", HeaderValue::from_static("key"));
        scene
            .headers
            .append("x-api-key", HeaderValue::from_static("2"));
        assert_eq!(scene.check(&scene.said("/mcp", BODY)), forged);
    }

    #[test]
    fn what_is_written_on_the_way_is_not_signed() {
        let mut scene = Scene::new().signed();
        scene
            .headers
            .insert(HOST, HeaderValue::from_static("127.0.0.1:8815"));
        scene.headers.insert(CONTENT_LENGTH, 17.into());
        assert_eq!(scene.check(&scene.said("/mcp", BODY)), Ok(()));
    }

    #[test]
    fn a_signature_of_another_time_or_key_is_refused() {
        let mut scene = Scene::new();
        let (key_id, key) = scene.sessions.replica_key().unwrap();
        let now = Timestamp::now().as_millisecond();
        for at in [now - 31_000, now + 31_000, i64::MIN, i64::MAX] {
            let mut claim = Claim {
                key_id,
                at,
                nonce: [7; NONCE_LEN],
                from: ReplicaTag::of("a"),
                mac: Vec::new(),
            };
            claim.mac = claim
                .compute(&key, &scene.said("/mcp", BODY))
                .as_ref()
                .to_vec();
            scene.headers.insert(SIGNATURE, claim.to_value().unwrap());
            assert_eq!(
                scene.check(&scene.said("/mcp", BODY)),
                Err(Refused::Stale),
                "{at}"
            );
            scene.headers.remove(SIGNATURE);
        }
        let scene = Scene::new().signed();
        let other = Sessions::new(SessionKeys::random().unwrap(), "b");
        let said = scene.said("/mcp", BODY);
        let checked = Claim::of(&scene.headers)
            .unwrap()
            .check(&other, &scene.nonces, &said);
        assert_eq!(checked, Err(Refused::UnknownKey));
    }

    proptest::proptest! {
        #[test]
        fn whatever_stands_in_the_header_proves_nothing(
            text in "(1[.])?([0-9a-zA-Z_-]{0,24}[.]?){0,8}",
        ) {
            if let Some(claim) = Claim::parse(&text) {
                let scene = Scene::new();
                let said = scene.said("/mcp", BODY);
                proptest::prop_assert!(claim.check(&scene.sessions, &scene.nonces, &said).is_err());
            }
        }
    }

    #[test]
    fn what_is_no_signature_is_none() {
        let mut scene = Scene::new();
        let unsigned = Err(Refused::Unsigned);
        assert_eq!(scene.check(&scene.said("/mcp", BODY)), unsigned);
        for text in [
            "",
            "1",
            "1.a.b.c.d.e",
            "1.....",
            "2.AAAAAA.1.AA.0.AA",
            "1.AAAAAA.1.AA.0.AA.x",
        ] {
            scene.headers.insert(SIGNATURE, text.parse().unwrap());
            assert_eq!(scene.check(&scene.said("/mcp", BODY)), unsigned, "{text}");
        }
        let mut scene = scene.signed();
        let twice = scene.headers.get(SIGNATURE).cloned().unwrap();
        scene.headers.append(SIGNATURE, twice);
        assert_eq!(scene.check(&scene.said("/mcp", BODY)), unsigned);
    }
}
