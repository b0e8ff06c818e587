//! What arrives, recognised by its shape.

use serde_json::Value;

use crate::error::Error;

pub mod custom_resource;

use custom_resource::CustomResource;

/// The largest payload that Lambda carries asynchronously, and so the largest this function takes.
pub const LARGEST: usize = 1024 * 1024;

const ACCEPTED: &str = "{\"Distribute\": {request}}, {\"State\": {state of the last reply}} or a CloudFormation custom resource event";

#[derive(Debug)]
pub enum Event {
    /// Begin: the unchecked request.
    Distribute(Value),
    /// Go on: the unchecked state.
    Resume(Value),
    /// CloudFormation's own event.
    CustomResource(Box<CustomResource>),
    /// Our own invocation, to go on with a custom resource.
    CustomResourceTurn(Box<Turn>),
    /// A copy ended somewhere: at most a reason to look earlier.
    SnapshotNotification,
}

/// What the function hands itself when its time is up. The ResponseURL stays in CloudFormation's event, out of the state.
#[derive(Debug)]
pub struct Turn {
    pub resource: CustomResource,
    pub state: Value,
    /// CloudFormation has had its answer already (`Wait: false`).
    pub answered: bool,
    /// How many invocations this has taken.
    pub turn: u64,
}

impl Event {
    pub fn parse(value: &Value) -> Result<Self, Error> {
        let Value::Object(object) = value else {
            return Err(Error::invalid("event", format!("must be {ACCEPTED}")));
        };
        if let Some(resource) = object.get("CustomResource") {
            return Ok(Self::CustomResourceTurn(Box::new(Turn {
                resource: CustomResource::parse(resource)?,
                state: object.get("State").cloned().unwrap_or_default(),
                answered: object
                    .get("Answered")
                    .and_then(Value::as_bool)
                    .unwrap_or(false),
                turn: object.get("Turn").and_then(Value::as_u64).unwrap_or(0),
            })));
        }
        if object.contains_key("RequestType")
            && object.contains_key("ResponseURL")
            && object.contains_key("StackId")
        {
            return Ok(Self::CustomResource(Box::new(CustomResource::parse(
                value,
            )?)));
        }
        if object.get("source").and_then(Value::as_str) == Some("aws.ec2") {
            return match object.get("detail-type").and_then(Value::as_str) {
                Some("EBS Snapshot Notification") => Ok(Self::SnapshotNotification),
                other => Err(Error::invalid(
                    "detail-type",
                    format!(
                        "{} is not served in this version",
                        other.unwrap_or("absent")
                    ),
                )),
            };
        }
        match (object.get("Distribute"), object.get("State"), object.len()) {
            (Some(request), None, 1) => Ok(Self::Distribute(request.clone())),
            (None, Some(state), 1) => Ok(Self::Resume(state.clone())),
            (Some(_), Some(_), _) => Err(Error::invalid(
                "State",
                "stands beside Distribute; give one of the two",
            )),
            (None, None, _) => Err(Error::invalid("event", format!("must be {ACCEPTED}"))),
            _ => {
                let other = object
                    .keys()
                    .find(|key| !matches!(key.as_str(), "Distribute" | "State"));
                let shown: String = other
                    .map(String::as_str)
                    .unwrap_or_default()
                    .chars()
                    .take(80)
                    .collect();
                Err(Error::invalid(
                    shown,
                    format!("unknown key; the event must be {ACCEPTED}"),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_recognised_by_shape() {
        assert!(matches!(
            Event::parse(&json!({"Distribute": {}})),
            Ok(Event::Distribute(_))
        ));
        assert!(matches!(
            Event::parse(&json!({"State": {}})),
            Ok(Event::Resume(_))
        ));
        let notification =
            json!({"source": "aws.ec2", "detail-type": "EBS Snapshot Notification", "detail": {}});
        assert!(matches!(
            Event::parse(&notification),
            Ok(Event::SnapshotNotification)
        ));
    }

    #[test]
    fn what_is_none_of_them_is_refused_by_name() {
        for (wrong, key) in [
            (json!([1]), "event"),
            (json!({}), "event"),
            (json!({"Distribute": {}, "State": {}}), "State"),
            (json!({"Distribute": {}, "DryRun": true}), "DryRun"),
            (
                json!({"source": "aws.ec2", "detail-type": "EC2 AMI State Change"}),
                "detail-type",
            ),
            (
                json!({"RequestType": "Create", "ResponseURL": "https://x", "StackId": "y"}),
                "RequestId",
            ),
        ] {
            let error = Event::parse(&wrong).unwrap_err();
            assert!(error.to_string().starts_with(key), "{error}");
            assert_eq!(error.error_type(), "InvalidRequest");
        }
    }
}
