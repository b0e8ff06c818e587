//! The event of a distribution's end, which other programs act on (schemas/event.json).

use serde_json::{Map, Value, json};

use super::{Status, succeeded};
use crate::state::State;

/// An event may have 256 KiB together with everything else in the execution's state.
const MOST_TARGETS: usize = 100;
const TOLD_OF_TARGETS: [&str; 5] = ["AccountId", "Region", "Status", "ImageId", "Cause"];

/// Returns the event of a run that has ended with the result `result`.
pub fn of(state: &State, result: &Value) -> Value {
    let status = Status::of(state).as_str();
    let all: Vec<Value> = result["Targets"]
        .as_array()
        .into_iter()
        .flatten()
        .map(in_short)
        .collect();
    let mut detail = json!({
        "Status": status,
        "RunId": state.run,
        "Mode": if state.order.share.is_some() { "Share" } else { "Copy" },
        "SourceAccountId": state.source.account_id,
        "SourceRegion": state.source.region,
        "SourceImageId": state.source.image_id,
        "TargetCount": all.len(),
        "SucceededCount": state.targets.iter().filter(|t| succeeded(t)).count(),
    });
    // A part of the targets would look like all of them.
    if all.len() <= MOST_TARGETS {
        detail["Targets"] = Value::Array(all);
    }
    event(status, &detail)
}

/// Returns the event of an execution that had no run.
pub fn of_nothing(status: &str, said: &str) -> Value {
    event(status, &json!({"Status": status, "Reason": said}))
}

fn event(status: &str, detail: &Value) -> Value {
    json!({"DetailType": format!("Distribution {status}"), "Detail": detail})
}

fn in_short(target: &Value) -> Value {
    let told = TOLD_OF_TARGETS
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), target.get(*key)?.clone())));
    Value::Object(told.collect::<Map<_, _>>())
}
