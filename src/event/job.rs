//! What an execution of the state machine is about: its input. The machine hands it back with every call and never looks into
//! it; `ResponseURL`s are kept elsewhere, because executions can be read by many.

use serde_json::{Value, json};

use super::custom_resource::CustomResource;
use crate::error::Error;

const ACCEPTED: &str =
    "must be {\"Distribute\": {request}}, or what this function starts the machine with";

#[derive(Debug)]
pub enum Job {
    /// The unchecked request.
    Distribute(Value),
    /// With where its ResponseURL is kept, if not in the event itself.
    CustomResource(Box<CustomResource>, Option<String>),
}

impl Job {
    pub fn parse(value: &Value) -> Result<Self, Error> {
        match (value.get("Distribute"), value.get("CustomResource")) {
            (Some(request), None) => Ok(Self::Distribute(request.clone())),
            (None, Some(event)) => {
                let url_at = value.get("ResponseUrlAt").and_then(Value::as_str);
                let resource = CustomResource::parse(event)?;
                Ok(Self::CustomResource(
                    Box::new(resource),
                    url_at.map(str::to_owned),
                ))
            }
            _ => Err(Error::invalid("execution input", ACCEPTED)),
        }
    }

    /// The input of an execution for a custom resource. Without a place to keep the ResponseURL it goes along.
    pub fn custom_resource(resource: &CustomResource, url_at: Option<&str>) -> Value {
        match url_at {
            Some(at) => json!({"CustomResource": resource.without_url(), "ResponseUrlAt": at}),
            None => json!({"CustomResource": resource.to_value()}),
        }
    }
}

/// One call of the state machine about its execution as a whole.
#[derive(Debug)]
pub struct Call {
    /// The execution's input.
    pub job: Value,
    /// The execution's name.
    pub execution: String,
    /// The last reply about the whole, if there was one.
    pub last: Value,
    /// What became of the parts: the Map's result.
    pub parts: Value,
    /// What was caught on the way.
    pub failed: Option<String>,
}

impl Call {
    pub fn parse(job: &Value, event: &Value) -> Self {
        let failed = event.get("Failed").filter(|f| f.get("Error").is_some());
        let said = |f: &Value| {
            let word = |key: &str| f[key].as_str().unwrap_or_default().to_owned();
            format!("{}: {}", word("Error"), word("Cause"))
        };
        Self {
            job: job.clone(),
            execution: event["Execution"].as_str().unwrap_or_default().to_owned(),
            last: event.get("Last").cloned().unwrap_or_default(),
            parts: event.get("Parts").cloned().unwrap_or_default(),
            failed: failed.map(said),
        }
    }
}
