//! Legacy sessions: the session id is a sealed token that holds the session itself, so that a
//! replica needs no memory of it and a restarted gateway goes on with its clients' sessions.

mod home;
mod keys;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::{TenantId, UserId};
use gateway_mcp::json::Fields;
use gateway_mcp::version::Version;
use jiff::Timestamp;
use moka::policy::EvictionPolicy;

pub(crate) use home::ReplicaTag;
pub(crate) use keys::ID_LEN as KEY_ID_LEN;
pub use keys::{KeyError, SessionKeys};

/// How long a session may last. Long, because clients keep sessions open for days; the end is
/// there so that what is remembered of ended sessions is bounded.
const LIFETIME: Duration = Duration::from_hours(7 * 24);

/// How many ended sessions are remembered until they would have expired.
const MAX_TOMBSTONES: u64 = 1_000_000;

/// The format of the sealed token, and the one before it, which did not say where the session is at home.
const FORMAT: u8 = 3;
const FORMAT_WITHOUT_HOME: u8 = 2;

/// Identifies one session while it lasts.
pub(crate) type SessionId = uuid::Uuid;

/// What a client declared that it can be asked for: a JSON object with those of its capabilities,
/// as it wrote them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Callbacks(String);

impl Callbacks {
    /// The capabilities by which servers may ask.
    const KEYS: [&str; 3] = ["sampling", "elicitation", "roots"];

    /// Details beyond this are left out: they travel with every request.
    const MAX_BYTES: usize = 512;

    /// Those of a client's capabilities, a raw JSON object, that its version has.
    pub(crate) fn of(capabilities: &str, version: Version) -> Self {
        let bytes = capabilities.as_bytes();
        let Ok(fields) = Fields::scan(bytes, 0..bytes.len()) else {
            return Self::default();
        };
        let exists = |key: &&&str| **key != "elicitation" || version.has_elicitation();
        let declared = Self::KEYS.iter().filter(exists).filter_map(|key| {
            let value = bytes.get(fields.get(key)?)?;
            let fits = value.len() <= Self::MAX_BYTES && value.starts_with(b"{");
            let value = if fits {
                std::str::from_utf8(value).ok()?
            } else {
                "{}"
            };
            Some(format!("\"{key}\":{value}"))
        });
        Self(format!("{{{}}}", declared.collect::<Vec<_>>().join(",")))
    }

    /// As a JSON object.
    pub(crate) fn as_json(&self) -> &str {
        &self.0
    }

    /// Whether the client can be asked for anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0 == "{}"
    }
}

impl Default for Callbacks {
    fn default() -> Self {
        Self("{}".to_owned())
    }
}

/// One legacy session, as its token holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) user: UserId,
    pub(crate) version: Version,
    pub(crate) callbacks: Callbacks,
    /// The replica that opened it; `None` in an id of the format that did not say.
    pub(crate) home: Option<ReplicaTag>,
}

/// The sealed content: short and read without a parser, because it travels with every request.
struct Claims {
    session: Session,
    /// Seconds since 1970.
    expires: i64,
}

impl Claims {
    /// Id, end and home, then version and user, each behind its length, and what the client can be asked for.
    fn write(&self) -> Option<Vec<u8>> {
        let session = &self.session;
        let (version, user) = (session.version.as_str(), session.user.as_str());
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(session.id.as_bytes());
        bytes.extend_from_slice(&self.expires.to_be_bytes());
        bytes.extend_from_slice(&session.home?.to_bytes());
        for text in [version, user] {
            bytes.extend_from_slice(&u16::try_from(text.len()).ok()?.to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(session.callbacks.0.as_bytes());
        Some(bytes)
    }

    fn read(bytes: &[u8], has_home: bool) -> Option<Self> {
        fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
            let (length, rest) = bytes.split_first_chunk()?;
            let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
            Some((std::str::from_utf8(text).ok()?, rest))
        }
        let (id, rest) = bytes.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (home, rest) = match has_home {
            true => {
                let (home, rest) = rest.split_first_chunk()?;
                (Some(ReplicaTag::from_bytes(*home)), rest)
            }
            false => (None, rest),
        };
        let (version, rest) = text(rest)?;
        let (user, callbacks) = text(rest)?;
        Some(Self {
            session: Session {
                id: SessionId::from_bytes(*id),
                user: user.parse().ok()?,
                version: Version::parse(version)?,
                callbacks: Callbacks(std::str::from_utf8(callbacks).ok()?.to_owned()),
                home,
            },
            expires: i64::from_be_bytes(*expires),
        })
    }
}

/// Seals and opens session ids, and remembers which sessions were ended.
#[derive(Debug)]
pub(crate) struct Sessions {
    keys: ArcSwap<SessionKeys>,
    /// The replica that new sessions are at home at.
    home: ReplicaTag,
    /// Until when, in seconds since 1970, the ids of ended sessions could open something.
    ended: moka::sync::Cache<SessionId, i64>,
}

impl Sessions {
    /// For the replica of this name.
    pub(crate) fn new(keys: SessionKeys, replica: &str) -> Self {
        let keys = ArcSwap::from_pointee(keys);
        let home = ReplicaTag::of(replica);
        Self {
            keys,
            home,
            ended: tombstones(MAX_TOMBSTONES),
        }
    }

    /// Seals with the first of these from now on, and opens with all of them and no others.
    pub(crate) fn replace_keys(&self, keys: Arc<SessionKeys>) {
        self.keys.store(keys);
    }

    /// A new session and its id, which only gateways with the same key can read. `None` when the
    /// system's source of randomness fails.
    pub(crate) fn begin(
        &self,
        tenant: &TenantId,
        user: UserId,
        version: Version,
        callbacks: Callbacks,
    ) -> Option<(Session, String)> {
        let session = Session {
            id: SessionId::new_v4(),
            user,
            version,
            callbacks,
            home: Some(self.home),
        };
        let token = self.seal(tenant, &session)?;
        Some((session, token))
    }

    fn seal(&self, tenant: &TenantId, session: &Session) -> Option<String> {
        let claims = Claims {
            session: session.clone(),
            expires: latest_end(),
        };
        let keys = self.keys.load();
        let key = keys.current();
        let mut sealed = claims.write()?;
        let cipher = key.for_tenant(tenant)?;
        let bound = Aad::from(associated_data(FORMAT, key.id(), tenant));
        let nonce = cipher.seal_in_place_append_tag(bound, &mut sealed).ok()?;
        let mut token = vec![FORMAT];
        token.extend_from_slice(&key.id());
        token.extend_from_slice(nonce.as_ref());
        token.extend_from_slice(&sealed);
        Some(URL_SAFE_NO_PAD.encode(token))
    }

    /// The session of an id. `None` for everything that is not a live session of this tenant:
    /// forged, of another tenant, expired, ended.
    pub(crate) fn find(&self, tenant: &TenantId, id: &str) -> Option<Session> {
        let token = URL_SAFE_NO_PAD.decode(id).ok()?;
        let (format, rest) = token.split_first()?;
        let (key_id, rest) = rest.split_first_chunk::<{ keys::ID_LEN }>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let has_home = match *format {
            FORMAT => true,
            FORMAT_WITHOUT_HOME => false,
            _ => return None,
        };
        let keys = self.keys.load();
        let key = keys.by_id(*key_id)?;
        let cipher = key.for_tenant(tenant)?;
        let bound = Aad::from(associated_data(*format, *key_id, tenant));
        let mut sealed = sealed.to_vec();
        let opened = cipher
            .open_in_place(Nonce::from(nonce), bound, &mut sealed)
            .ok()?;
        let Claims { session, expires } = Claims::read(opened, has_home)?;
        let is_over = expires <= Timestamp::now().as_second();
        (!is_over && !self.ended.contains_key(&session.id)).then_some(session)
    }

    /// Ends a session: its id opens nothing any more. Says until when that has to be remembered.
    pub(crate) fn end(&self, session: SessionId) -> i64 {
        let until = latest_end();
        self.ended.insert(session, until);
        until
    }

    /// Remembers of a session that ended at another replica.
    pub(crate) fn remember_ended(&self, session: SessionId, until: i64) {
        if until > Timestamp::now().as_second() {
            self.ended.insert(session, until.min(latest_end()));
        }
    }

    /// Ended sessions whose ids have not expired, and until when they could open something.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (SessionId, i64)> {
        let now = Timestamp::now().as_second();
        let all = self.ended.iter().map(|(session, until)| (*session, until));
        all.filter(move |(_, until)| *until > now)
    }

    /// By what this replica signs what it sends to others, and the id of that key.
    pub(crate) fn replica_key(&self) -> Option<([u8; KEY_ID_LEN], hmac::Key)> {
        let keys = self.keys.load();
        let key = keys.current();
        Some((key.id(), key.between_replicas()?.clone()))
    }

    /// By what a replica signs that has the key of this id.
    pub(crate) fn replica_key_of(&self, id: [u8; KEY_ID_LEN]) -> Option<hmac::Key> {
        self.keys.load().by_id(id)?.between_replicas().cloned()
    }
}

/// So many ended sessions. The oldest make room: by how often they are asked for, which is the other way to choose, a new
/// one would not be taken in, and the session that was just ended would go on.
fn tombstones(most: u64) -> moka::sync::Cache<SessionId, i64> {
    moka::sync::Cache::builder()
        .max_capacity(most)
        .eviction_policy(EvictionPolicy::lru())
        .time_to_live(LIFETIME)
        .build()
}

/// When a session ends, in seconds since 1970, that is opened now.
fn latest_end() -> i64 {
    let now = Timestamp::now().as_second();
    now.saturating_add_unsigned(LIFETIME.as_secs())
}

fn associated_data(format: u8, key_id: [u8; keys::ID_LEN], tenant: &TenantId) -> Vec<u8> {
    let bound = match format {
        FORMAT_WITHOUT_HOME => &b"mcp session "[..],
        // So that none is read as of another format than the one it was sealed in.
        _ => b"mcp session 3 ",
    };
    [bound, &key_id, tenant.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod isolation;
#[cfg(test)]
mod tests;
