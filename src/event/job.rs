//! What an execution of the state machine is about: its input. The machine hands it back with every call and never looks into
//! it; `ResponseURL`s are kept elsewhere, because executions can be read by many.

use serde_json::{Value, json};

use super::custom_resource::CustomResource;
use crate::error::{Error, on_one_line};

const ACCEPTED: &str =
    "must be {\"Distribute\": {request}}, or what this function starts the machine with";

/// Bytes of what was caught that are told on.
const CAUSE: usize = 2000;

#[derive(Debug)]
pub enum Job {
    /// The unchecked request.
    Distribute(Value),
    /// With where its ResponseURL is kept, if not in the event itself.
    CustomResource(Box<CustomResource>, Option<String>),
}

impl Job {
    /// Returns the resource of a turn, without a ResponseURL, and where that is kept.
    pub fn resource(turn: &Value) -> Result<(Option<CustomResource>, Option<String>), Error> {
        let job = json!({"CustomResource": turn["CustomResource"], "ResponseUrlAt": turn["ResponseUrlAt"]});
        match Self::parse(&job)? {
            Self::CustomResource(resource, url_at) => {
                let mut resource = *resource;
                resource.response_url = None;
                Ok((Some(resource), url_at))
            }
            Self::Distribute(_) => Ok((None, None)),
        }
    }

    pub fn parse(value: &Value) -> Result<Self, Error> {
        match (value.get("Distribute"), value.get("CustomResource")) {
            (Some(request), None) => Ok(Self::Distribute(request.clone())),
            (None, Some(event)) => {
                let url_at = value.get("ResponseUrlAt").and_then(Value::as_str);
                let resource = CustomResource::parse(event)?;
                if url_at.is_some_and(|at| at != resource.url_at()) {
                    // Another's URL, or no URL at all: it would be read, used and thrown away.
                    return Err(Error::invalid(
                        "ResponseUrlAt",
                        "is not where this event's ResponseURL is kept",
                    ));
                }
                Ok(Self::CustomResource(
                    Box::new(resource),
                    url_at.map(str::to_owned),
                ))
            }
            _ => Err(Error::invalid("execution input", ACCEPTED)),
        }
    }

    /// The input of an execution for a custom resource, whose ResponseURL is kept in the bucket.
    pub fn custom_resource(resource: &CustomResource, url_at: &str) -> Value {
        json!({"CustomResource": resource.without_url(), "ResponseUrlAt": url_at})
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
    pub fn parse(job: &Value, event: &Value) -> Result<Self, Error> {
        let execution = event["Execution"].as_str().unwrap_or_default();
        if !is_execution_name(execution) {
            return Err(Error::invalid(
                "Execution",
                "must be the name of an execution (at most 80 letters, digits and -_.+=@!'())",
            ));
        }
        let failed = event.get("Failed").filter(|f| f.get("Error").is_some());
        let said = |f: &Value| {
            let word = |key: &str| f[key].as_str().unwrap_or_default().to_owned();
            on_one_line(&format!("{}: {}", word("Error"), word("Cause")), CAUSE)
        };
        Ok(Self {
            job: job.clone(),
            execution: execution.to_owned(),
            last: event.get("Last").cloned().unwrap_or_default(),
            parts: event.get("Parts").cloned().unwrap_or_default(),
            failed: failed.map(said),
        })
    }
}

/// Whether Step Functions could have given this name, or none was given. It stands in tags and in keys of objects, so it holds
/// nothing that would mean something there.
pub fn is_execution_name(name: &str) -> bool {
    name.len() <= 80
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.+=@!'()".contains(&b))
}
