//! `record-counter`, `record-histogram` and `record-gauge`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::plugin::Telemetry;
use gateway_core::{ErrorKind, PluginError};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Object, Refused, Tool, Tools, schema};

const COUNTER: &str = "record-counter";
const HISTOGRAM: &str = "record-histogram";
const GAUGE: &str = "record-gauge";

/// How many names of measurements and attributes there may be: each stays in memory.
const MAX_NAMES: usize = 4096;

pub(super) struct Serve {
    telemetry: Arc<dyn Telemetry>,
    names: Mutex<HashSet<&'static str>>,
}

#[expect(
    clippy::disallowed_types,
    reason = "never held while waiting, and poisoning is not asked about"
)]
type Mutex<T> = std::sync::Mutex<T>;

#[derive(Deserialize, JsonSchema)]
struct Measurement<T> {
    /// What is measured; the unit stands at the end, such as `_seconds`.
    name: String,
    value: T,
    /// What tells it from others of its name.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// A name, its value, its attributes.
type Measured<T> = (&'static str, T, Vec<(&'static str, String)>);

impl Serve {
    pub(super) fn new(telemetry: Arc<dyn Telemetry>) -> Self {
        Self {
            telemetry,
            names: Mutex::default(),
        }
    }

    /// A name as the trait takes it: of a small set, and there for good.
    fn name(&self, name: &str) -> Result<&'static str, Refused> {
        let mut names = self
            .names
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(known) = names.get(name) {
            return Ok(known);
        }
        if names.len() >= MAX_NAMES {
            return Err(Refused::Plugin(PluginError::new(
                ErrorKind::ResourceExhausted,
                format!("there are {MAX_NAMES} names already"),
            )));
        }
        let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
        names.insert(name);
        Ok(name)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, call: &Call) -> Result<Measured<T>, Refused> {
        let Measurement {
            name,
            value,
            attributes,
        } = call.read()?;
        let attributes = attributes.into_iter();
        let attributes = attributes.map(|(key, value)| Ok((self.name(&key)?, value)));
        let attributes = attributes.collect::<Result<Vec<_>, Refused>>()?;
        Ok((self.name(&name)?, value, attributes))
    }
}

fn borrowed<'a>(attributes: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    let attributes = attributes.iter();
    attributes
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

#[async_trait]
impl Tools for Serve {
    fn list(&self) -> Vec<Tool> {
        vec![
            Tool {
                name: COUNTER,
                description: "Adds to a counter.",
                input_schema: schema::<Measurement<u64>>(),
                output_schema: None,
                is_read_only: false,
            },
            Tool {
                name: HISTOGRAM,
                description: "Adds an observation to a histogram.",
                input_schema: schema::<Measurement<f64>>(),
                output_schema: None,
                is_read_only: false,
            },
            Tool {
                name: GAUGE,
                description: "Sets a gauge.",
                input_schema: schema::<Measurement<i64>>(),
                output_schema: None,
                is_read_only: false,
            },
        ]
    }

    async fn call(&self, name: &str, call: Call) -> Result<Option<Object>, Refused> {
        let telemetry = &self.telemetry;
        match name {
            COUNTER => {
                let (name, value, attributes) = self.read(&call)?;
                telemetry.record_counter(name, value, &borrowed(&attributes));
            }
            HISTOGRAM => {
                let (name, value, attributes) = self.read(&call)?;
                telemetry.record_histogram(name, value, &borrowed(&attributes));
            }
            GAUGE => {
                let (name, value, attributes) = self.read(&call)?;
                telemetry.record_gauge(name, value, &borrowed(&attributes));
            }
            _ => return Ok(None),
        }
        Ok(Some(Object::new()))
    }
}
