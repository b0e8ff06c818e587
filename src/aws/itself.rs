//! The function invokes itself.

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use serde_json::Value;

use super::{Aws, refusal};
use crate::error::Refusal;

impl Aws {
    /// Invokes the function asynchronously with this payload.
    pub async fn invoke_itself(&self, function: String, payload: &Value) -> Result<(), Refusal> {
        let sent = self
            .lambda()
            .invoke()
            .function_name(&function)
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(payload.to_string()))
            .send()
            .await;
        sent.map_err(|e| refusal("Invoke", &self.here(), &function, &e))?;
        Ok(())
    }
}
