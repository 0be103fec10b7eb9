//! The contract's tools, answered by a plugin in memory: what `plugin serve` serves.

mod audit_sink;
mod auth_provider;
mod auth_proxy;
mod credential_storage;
mod mcp_provisioner;
mod policy_evaluator;
mod telemetry;

use std::time::Duration;

use async_trait::async_trait;
use gateway_core::plugin::{PluginKind, Plugins};
use gateway_core::{
    CallContext, Deadline, ErrorKind, PluginError, RequestId, TenantId, TraceContext,
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use std::sync::Arc;

/// How long one call may take: whoever calls gives up before.
const LONGEST: Duration = Duration::from_secs(60);

/// A JSON object.
pub type Object = Map<String, Value>;

/// One tool, as `tools/list` has it.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Its name in the contract.
    pub name: &'static str,
    /// What it does, for people and models.
    pub description: &'static str,
    /// The JSON Schema of its arguments.
    pub input_schema: Object,
    /// The JSON Schema of its structured content; `None`: it only says that it is done.
    pub output_schema: Option<Object>,
    /// Whether it changes nothing.
    pub is_read_only: bool,
}

/// What a call is answered with.
#[derive(Debug)]
pub enum Answer {
    /// The structured content; an empty object where it is only done.
    Done(Object),
    /// The tool failed, which `isError` says; the structured content says of which kind that is.
    Failed {
        /// The kind, as [`ErrorKind::as_str`] has it.
        kind: ErrorKind,
        /// Why, without a secret.
        message: String,
    },
    /// There is no such tool.
    Unknown,
    /// The arguments are not what the schema says.
    Invalid(String),
}

/// One plugin, as its tools.
#[async_trait]
trait Tools: Send + Sync {
    fn list(&self) -> Vec<Tool>;

    /// `Ok(None)`: there is no such tool.
    async fn call(&self, name: &str, call: Call) -> Result<Option<Object>, Refused>;
}

/// A plugin that is served.
pub struct PluginTools(Box<dyn Tools>);

/// What a tool is called with.
struct Call {
    arguments: Value,
    trace: TraceContext,
}

/// Why a call has no result.
enum Refused {
    Arguments(String),
    Plugin(PluginError),
    /// The plugin says no, which is no failure of its own.
    Said {
        kind: ErrorKind,
        message: String,
    },
}

impl From<PluginError> for Refused {
    fn from(error: PluginError) -> Self {
        Self::Plugin(error)
    }
}

impl std::fmt::Debug for PluginTools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginTools").finish_non_exhaustive()
    }
}

impl PluginTools {
    /// The tools of one of a tenant's plugins.
    pub fn of(kind: PluginKind, plugins: &Plugins) -> Self {
        Self(match kind {
            PluginKind::AuthProvider => {
                Box::new(auth_provider::Serve(Arc::clone(&plugins.auth_provider)))
            }
            PluginKind::CredentialStorage => Box::new(credential_storage::Serve(Arc::clone(
                &plugins.credential_storage,
            ))),
            PluginKind::AuthProxy => Box::new(auth_proxy::Serve(Arc::clone(&plugins.auth_proxy))),
            PluginKind::AuditSink => Box::new(audit_sink::Serve(Arc::clone(&plugins.audit_sink))),
            PluginKind::PolicyEvaluator => Box::new(policy_evaluator::Serve(Arc::clone(
                &plugins.policy_evaluator,
            ))),
            PluginKind::McpProvisioner => {
                Box::new(mcp_provisioner::Serve(Arc::clone(&plugins.mcp_provisioner)))
            }
            PluginKind::Telemetry => {
                Box::new(telemetry::Serve::new(Arc::clone(&plugins.telemetry)))
            }
        })
    }

    /// All of them.
    pub fn list(&self) -> Vec<Tool> {
        self.0.list()
    }

    /// Calls one. Dropped halfway, it is as if the plugin's method had been.
    pub async fn call(&self, name: &str, arguments: Object, trace: TraceContext) -> Answer {
        let arguments = Value::Object(arguments);
        match self.0.call(name, Call { arguments, trace }).await {
            Ok(Some(given)) => Answer::Done(given),
            Ok(None) => Answer::Unknown,
            Err(Refused::Arguments(why)) => Answer::Invalid(why),
            Err(Refused::Said { kind, message }) => Answer::Failed { kind, message },
            Err(Refused::Plugin(error)) => {
                tracing::warn!(tool = name, %error, "a call failed");
                Answer::Failed {
                    kind: error.kind(),
                    message: error.to_string(),
                }
            }
        }
    }
}

impl Call {
    /// The arguments, of whatever else they are beside.
    fn read<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        let read = serde_path_to_error::deserialize(&self.arguments);
        read.map_err(|error| {
            // The words of the error may quote a value.
            Refused::Arguments(format!(
                "`{}` is missing, or not as the schema says",
                error.path()
            ))
        })
    }

    /// What the call is for.
    fn context(&self, tenant: Option<TenantId>) -> CallContext {
        let id = RequestId::new(uuid::Uuid::now_v7().to_string());
        let mut context =
            CallContext::new(tenant.unwrap_or_default(), Deadline::after(LONGEST), id);
        context.trace = self.trace.clone();
        context
    }
}

/// A result as an object.
fn object(result: &impl Serialize) -> Result<Object, Refused> {
    match serde_json::to_value(result) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Refused::Plugin(PluginError::new(
            ErrorKind::Internal,
            "the result cannot be written",
        ))),
    }
}

/// The schema of a type, whole in itself.
fn schema<T: JsonSchema>() -> Object {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<T>();
    let mut schema = std::mem::take(schema.ensure_object());
    schema.remove("$schema");
    schema.remove("title");
    schema.entry("type").or_insert(json!("object"));
    schema
}
