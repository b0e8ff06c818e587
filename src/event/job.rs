//! The input of an execution of the state machine.
//!
//! The machine returns it with every call and never reads it. `ResponseURL`s are kept elsewhere,
//! because many people may read executions.

use serde_json::{Value, json};

use super::custom_resource::CustomResource;
use crate::error::{Error, on_one_line};

const ACCEPTED: &str =
    "must be {\"Distribute\": {request}}, or what this function starts the machine with";

/// Bytes of a caught error that are passed on.
const CAUSE: usize = 2000;

/// The number of invocations at once where the machine says none.
pub const AT_ONCE: u32 = 40;

/// The job of an execution.
#[derive(Debug)]
pub enum Job {
    /// The unchecked request.
    Distribute(Value),
    /// A custom resource, with the key of the object that keeps its ResponseURL, unless the event
    /// contains the URL.
    CustomResource(Box<CustomResource>, Option<String>),
}

impl Job {
    /// Reads the resource of a turn, which has no ResponseURL, and the key of the object that keeps
    /// the URL.
    pub fn resource(turn: &Value) -> Result<(Option<CustomResource>, Option<String>), Error> {
        let job = json!({"CustomResource": turn["CustomResource"],
            "ResponseUrlAt": turn["ResponseUrlAt"]});
        match Self::parse(&job)? {
            Self::CustomResource(resource, url_at) => {
                let mut resource = *resource;
                resource.response_url = None;
                Ok((Some(resource), url_at))
            }
            Self::Distribute(_) => Ok((None, None)),
        }
    }

    /// Reads an execution's input. Fails with `InvalidRequest`.
    pub fn parse(value: &Value) -> Result<Self, Error> {
        match (value.get("Distribute"), value.get("CustomResource")) {
            (Some(request), None) => Ok(Self::Distribute(request.clone())),
            (None, Some(event)) => {
                let url_at = value.get("ResponseUrlAt").and_then(Value::as_str);
                let resource = CustomResource::parse(event)?;
                if url_at.is_some_and(|at| at != resource.url_at()) {
                    // Any other object would be read, used as a URL and deleted.
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

    /// Returns the input of an execution for a custom resource whose ResponseURL is kept in the
    /// bucket.
    pub fn custom_resource(resource: &CustomResource, url_at: &str) -> Value {
        json!({"CustomResource": resource.without_url(), "ResponseUrlAt": url_at})
    }
}

/// A call of the state machine about its execution as a whole.
#[derive(Debug)]
pub struct Call {
    /// The execution's input.
    pub job: Value,
    /// The execution's name.
    pub execution: String,
    /// The last reply about the whole run, if there was one.
    pub last: Value,
    /// The number of invocations that the run may need at once, about.
    pub at_once: u32,
    /// The results of the parts, from the Map.
    pub parts: Value,
    /// The error that the state machine caught.
    pub failed: Option<String>,
}

impl Call {
    /// Reads a call, with its job already taken out of the event. Fails with `InvalidRequest`.
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
            at_once: event
                .get("AtOnce")
                .and_then(Value::as_u64)
                .and_then(|number| u32::try_from(number).ok())
                .filter(|number| *number > 0)
                .unwrap_or(AT_ONCE),
            parts: event.get("Parts").cloned().unwrap_or_default(),
            failed: failed.map(said),
        })
    }
}

/// Returns whether Step Functions could have given this name, or none was given. The name goes into
/// tags and keys of objects, so it must contain no character with a meaning there.
pub fn is_execution_name(name: &str) -> bool {
    name.len() <= 80
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.+=@!'()".contains(&b))
}
