//! What several fuzz targets need: other ways to read the same bytes, and to cut them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Cuts `text` into pieces whose sizes are drawn from `seed`; most are small, some are empty.
pub fn pieces(text: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut state = u32::from(seed) + 1;
    let mut rest = text;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let drawn = (state >> 24) as usize;
        let size = if drawn < 200 { drawn % 5 } else { drawn };
        let (piece, after) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// The members of a JSON object in their order, repeated keys and all.
#[derive(Debug)]
pub struct Members(pub Vec<(String, Box<RawValue>)>);

impl Members {
    /// `None` where something else than an object is written.
    pub fn of(text: &[u8]) -> Option<Members> {
        serde_json::from_slice(text).ok()
    }

    /// The value of a key that no other key is like, as parsed.
    pub fn value(&self, key: &str) -> Option<Value> {
        let (_, raw) = self.0.iter().find(|(name, _)| name == key)?;
        serde_json::from_str(raw.get()).ok()
    }

    /// How many keys some reader would take for this one.
    pub fn count_alike(&self, key: &str) -> usize {
        let alike = |name: &str| name.to_uppercase() == key.to_uppercase();
        let alike = |name: &str| alike(name) || alike(&name.to_lowercase());
        self.0.iter().filter(|(name, _)| alike(name)).count()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
