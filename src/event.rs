//! Events, recognised by their shapes.

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::ids::{AccountId, ImageId, Region};

pub mod custom_resource;
pub mod job;
pub mod response_hosts;

use custom_resource::CustomResource;
use job::{Call, Job};

/// Bytes of the largest payload that Lambda carries, and so of the largest that this function
/// accepts.
pub const LARGEST: usize = 6 * 1024 * 1024;

/// The number of invocations of one run; the function never invokes itself so often.
const MOST_TURNS: u64 = 1000;

const ACCEPTED: &str = "{\"Distribute\": {request}}, {\"Preflight\": {request}}, {\"Policies\": \
    {request}}, {\"State\": {state of the last reply}}, {\"StateAt\": …}, {\"Promote\": …}, \
    {\"Rollback\": …}, {\"Retain\": …}, {\"Enroll\": …}, {\"Sweep\": {}}, a CloudFormation custom \
    resource event, or an EventBridge event of EC2 AMI State Change or EBS Snapshot Notification";

/// An event for this function.
#[derive(Debug)]
pub enum Event {
    /// Begin a run, with the unchecked request.
    Distribute(Value),
    /// Run the preflight and change nothing, with the unchecked request.
    Preflight(Value),
    /// Return the policies that an unchecked request needs.
    Policies(Value),
    /// Continue a run.
    Resume {
        /// The `State` of the last reply, or its `StateAt`; unchecked.
        last: Value,
        /// Whether this need not be the only call with the state.
        repeated: bool,
    },
    /// An event that CloudFormation sent.
    CustomResource(Box<CustomResource>),
    /// An invocation of the function by itself, to continue a run that no state machine drives.
    Turn(Box<Turn>),
    /// The state machine begins, or continues its beginning.
    Open(Box<Call>),
    /// The state machine ends.
    Conclude(Box<Call>),
    /// Close openings that outlived their runs; without `apply`, only tell of them.
    Sweep {
        /// Whether anything is changed.
        apply: bool,
    },
    /// Keep and remove old copies, with the unchecked rule.
    Retain(Value),
    /// Move a parameter to the value of another, with the unchecked move.
    Promote(Value),
    /// Move a parameter back, with the unchecked move.
    Rollback(Value),
    /// Give the channels to targets that have none yet, with the unchecked call.
    Enroll(Value),
    /// An execution of a state machine failed: close what it left open.
    ExecutionEnded {
        /// The ARN of the state machine.
        machine: String,
        /// The name of the execution.
        name: String,
    },
    /// An image changed its state.
    Image(ImageChange),
    /// A copy ended in this account and Region, which is at most a reason to look earlier.
    SnapshotNotification {
        /// The account of the copy.
        account: AccountId,
        /// The Region of the copy.
        region: Region,
    },
}

/// An `EC2 AMI State Change` event of EventBridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageChange {
    /// The image that changed.
    pub image: ImageId,
    /// The Region of the image.
    pub region: Region,
    /// The new state: `available`, `failed`, `deregistered` or `disabled`.
    pub state: String,
}

/// The payload of an invocation of the function by itself, sent when its time is up.
///
/// A turn never contains a ResponseURL, because payloads of asynchronous invocations end in queues.
/// The bucket keeps the URL.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The custom resource that waits for an answer, if there is one.
    pub resource: Option<CustomResource>,
    /// The key of the object that contains the resource's ResponseURL.
    pub url_at: Option<String>,
    /// The state; `Null` if the resource's event must be handled from its beginning.
    pub state: Value,
    /// Whether CloudFormation has its answer already (`Wait: false`).
    pub answered: bool,
    /// The number of invocations so far.
    pub turn: u64,
}

impl Event {
    /// Recognises an event. Fails with `InvalidRequest` for any other shape.
    pub fn parse(value: &Value) -> Result<Self, Error> {
        let Value::Object(object) = value else {
            return Err(Error::invalid("event", format!("must be {ACCEPTED}")));
        };
        if let Some(turn) = object.get("Turn") {
            let (resource, url_at) = match object.get("CustomResource") {
                Some(_) => Job::resource(value)?,
                None => (None, None),
            };
            return Ok(Self::Turn(Box::new(Turn {
                resource,
                url_at,
                state: object.get("State").cloned().unwrap_or_default(),
                answered: object.get("Answered") == Some(&Value::Bool(true)),
                turn: turn.as_u64().filter(|n| *n <= MOST_TURNS).ok_or_else(|| {
                    Error::invalid(
                        "Turn",
                        "must be a small number, as this function sends it to itself",
                    )
                })?,
            })));
        }
        if let Some(job) = object.get("Open") {
            return Call::parse(job, value).map(|call| Self::Open(Box::new(call)));
        }
        if let Some(job) = object.get("Conclude") {
            return Call::parse(job, value).map(|call| Self::Conclude(Box::new(call)));
        }
        if let (Some(request), 1) = (object.get("Preflight"), object.len()) {
            return Ok(Self::Preflight(request.clone()));
        }
        if let (Some(rule), 1) = (object.get("Retain"), object.len()) {
            return Ok(Self::Retain(rule.clone()));
        }
        if let (Some(wanted), 1) = (object.get("Promote"), object.len()) {
            return Ok(Self::Promote(wanted.clone()));
        }
        if let (Some(wanted), 1) = (object.get("Rollback"), object.len()) {
            return Ok(Self::Rollback(wanted.clone()));
        }
        if let (Some(call), 1) = (object.get("Enroll"), object.len()) {
            return Ok(Self::Enroll(call.clone()));
        }
        if let Some(sweep) = object.get("Sweep") {
            let apply = sweep["Apply"] != false && sweep["Apply"] != "false";
            return Ok(Self::Sweep { apply });
        }
        if object.contains_key("RequestType")
            && object.contains_key("ResponseURL")
            && object.contains_key("StackId")
        {
            let resource = CustomResource::parse(value)?;
            if resource.response_url.is_none() {
                return Err(Error::invalid("ResponseURL", "must be an https URL"));
            }
            return Ok(Self::CustomResource(Box::new(resource)));
        }
        if let Some(source) = object.get("source").and_then(Value::as_str) {
            return of_eventbridge(source, value);
        }
        task(object)
    }
}

/// Reads EventBridge's envelope, and ignores fields that AWS may add to it.
fn of_eventbridge(source: &str, event: &Value) -> Result<Event, Error> {
    let text = |pointer: &str| {
        let found = event.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    match (source, text("/detail-type").as_str()) {
        ("aws.ec2", "EC2 AMI State Change") => Ok(Event::Image(ImageChange {
            image: ImageId::parse(&text("/detail/ImageId"))
                .map_err(|e| Error::invalid("detail.ImageId", e.to_string()))?,
            region: Region::parse(&text("/region"))
                .map_err(|e| Error::invalid("region", e.to_string()))?,
            state: text("/detail/State"),
        })),
        ("aws.ec2", "EBS Snapshot Notification") => Ok(Event::SnapshotNotification {
            account: AccountId::parse(&text("/account"))
                .map_err(|e| Error::invalid("account", e.to_string()))?,
            region: Region::parse(&text("/region"))
                .map_err(|e| Error::invalid("region", e.to_string()))?,
        }),
        ("aws.states", "Step Functions Execution Status Change") => Ok(Event::ExecutionEnded {
            machine: text("/detail/stateMachineArn"),
            name: text("/detail/name"),
        }),
        (_, other) => {
            let shown = |text: &str| text.chars().take(80).collect::<String>();
            let (other, source) = (shown(other), shown(source));
            Err(Error::invalid(
                "detail-type",
                format!(
                    "{other:?} of {source:?} is not one this function serves; the event must be \
                     {ACCEPTED}"
                ),
            ))
        }
    }
}

/// Reads a task or a direct call.
fn task(object: &Map<String, Value>) -> Result<Event, Error> {
    if let (Some(request), 1) = (object.get("Policies"), object.len()) {
        return Ok(Event::Policies(request.clone()));
    }
    // The state machine says how often it has tried; nobody else says that this is the only call.
    let (repeated, keys) = match object
        .get("Retries")
        .filter(|_| object.contains_key("State") || object.contains_key("StateAt"))
    {
        Some(retries) => {
            let wrong = || Error::invalid("Retries", "must be the number of earlier tries, from 0");
            (retries.as_u64().ok_or_else(wrong)? != 0, object.len() - 1)
        }
        None => (true, object.len()),
    };
    let at = object.get_key_value("StateAt");
    if object.contains_key("State") && at.is_some() {
        let problem = "stands beside State; give one of the two";
        return Err(Error::invalid("StateAt", problem));
    }
    let state = object.get_key_value("State").or(at);
    match (object.get("Distribute"), state, keys) {
        (Some(request), None, 1) => Ok(Event::Distribute(request.clone())),
        (None, Some((name, state)), 1) => Ok(Event::Resume {
            last: json!({name: state}),
            repeated,
        }),
        (Some(_), Some(_), _) => Err(Error::invalid(
            "State",
            "stands beside Distribute; give one of the two",
        )),
        (None, None, _) => Err(Error::invalid("event", format!("must be {ACCEPTED}"))),
        _ => {
            let other = object
                .keys()
                .find(|key| !matches!(key.as_str(), "Distribute" | "State" | "StateAt"));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_event_is_recognised_by_its_shape() {
        assert!(matches!(
            Event::parse(&json!({"Distribute": {}})),
            Ok(Event::Distribute(_))
        ));
        assert!(matches!(
            Event::parse(&json!({"Policies": {}})),
            Ok(Event::Policies(_))
        ));
        assert!(matches!(
            Event::parse(&json!({"State": {}})),
            Ok(Event::Resume { repeated: true, .. })
        ));
        for wrong in [
            json!({"State": {}, "Retries": "0"}),
            json!({"State": {}, "Retries": -1}),
            json!({"Distribute": {}, "Retries": 0}),
        ] {
            let refused = Event::parse(&wrong).unwrap_err().to_string();
            assert!(refused.contains("Retries"), "{refused}");
        }
        for (retries, expected) in [(json!(0), false), (json!(1), true)] {
            let event = Event::parse(&json!({"State": {}, "Retries": retries}));
            assert!(
                matches!(event, Ok(Event::Resume { repeated, .. }) if repeated == expected),
                "{retries}"
            );
        }
        let notification = json!({"source": "aws.ec2", "detail-type": "EBS Snapshot Notification",
            "account": "222222222222",
            "region": "us-east-1", "detail": {"anything": "else"}});
        assert!(matches!(
            Event::parse(&notification),
            Ok(Event::SnapshotNotification { account, region })
                if account.as_str() == "222222222222" && region.as_str() == "us-east-1"
        ));
        let change = json!({"source": "aws.ec2", "detail-type": "EC2 AMI State Change",
            "region": "us-west-2",
            "detail": {"ImageId": "ami-0a1b2c3d4e5f60718", "State": "available",
            "ErrorMessage": ""}});
        assert!(
            matches!(Event::parse(&change), Ok(Event::Image(image)) if image.state == "available")
        );
        assert!(matches!(
            Event::parse(&json!({"Sweep": {}})),
            Ok(Event::Sweep { apply: true })
        ));
        assert!(matches!(
            Event::parse(&json!({"Sweep": {"Apply": false}})),
            Ok(Event::Sweep { apply: false })
        ));
        let failed = json!({"Conclude": {}, "Execution": "x",
            "Failed": {"Error": "Throttled", "Cause": "y"}});
        assert!(matches!(
            Event::parse(&failed),
            Ok(Event::Conclude(call)) if call.failed.as_deref() == Some("Throttled: y")
        ));
    }

    #[test]
    fn an_event_of_no_known_shape_is_refused_by_name() {
        for (wrong, key) in [
            (json!([1]), "event"),
            (json!({}), "event"),
            (json!({"Distribute": {}, "State": {}}), "State"),
            (json!({"Distribute": {}, "DryRun": true}), "DryRun"),
            (json!({"Distribute": {}, "Policies": {}}), "Policies"),
            (
                json!({"source": "aws.ec2", "detail-type": "EC2 AMI State Change",
                "detail": {"ImageId": "x"}}),
                "detail.ImageId",
            ),
            (
                json!({"source": "aws.ec2",
                "detail-type": "EC2 Instance State-change Notification"}),
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
