//! Secrets by reference: a configuration names where a value is, and never holds it.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Where a secret value is to be found, when the data plane needs it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// In an environment variable of the data plane.
    FromEnv(String),
    /// In a file that the data plane can read; one trailing line break is not part of the value.
    FromFile(PathBuf),
    /// In the tenant's credential storage: user `_tenant`, server `_gateway`, and this type.
    FromCredential(String),
}

/// A value of an environment variable or a header: spelt out, or a secret by reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Setting {
    /// The value itself. Not for secrets: it is stored, shown and logged.
    Literal(String),
    /// A secret by reference.
    Secret(SecretRef),
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, because an untagged enum would lose where in the file an error is.
        struct SettingVisitor;

        impl<'de> Visitor<'de> for SettingVisitor {
            type Value = Setting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "text, or one of { from_env: … }, { from_file: … }, { from_credential: … }",
                )
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Setting, E> {
                Ok(Setting::Literal(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Setting, A::Error> {
                SecretRef::deserialize(MapAccessDeserializer::new(map)).map(Setting::Secret)
            }
        }

        deserializer.deserialize_any(SettingVisitor)
    }
}
