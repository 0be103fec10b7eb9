//! What servers are told when they ask: yes, and whatever fits.

use rmcp::model::{
    ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationCapability,
    ErrorData, FormElicitationCapability, JsonObject,
};
use rmcp::service::RequestContext;
use rmcp::{ClientHandler, RoleClient};
use serde_json::Value;

use super::values;

#[derive(Debug)]
pub(super) struct Answers;

impl ClientHandler for Answers {
    fn get_info(&self) -> ClientConfig {
        let mut info = ClientConfig::default();
        let form = FormElicitationCapability::new().with_schema_validation(true);
        info.capabilities.elicitation = Some(ElicitationCapability::new().with_form(form));
        info
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let form = match &request {
            ElicitRequestParams::FormElicitationParams {
                requested_schema, ..
            } => values::form(&object(requested_schema)?),
            _ => JsonObject::new(),
        };
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(Value::Object(form)))
    }
}

fn object(schema: &impl serde::Serialize) -> Result<JsonObject, ErrorData> {
    match serde_json::to_value(schema) {
        Ok(Value::Object(schema)) => Ok(schema),
        Ok(_) => Err(ErrorData::internal_error("the schema is no object", None)),
        Err(error) => Err(ErrorData::internal_error(error.to_string(), None)),
    }
}
