//! The targets of a run that goes on, for callers that show its progress.

use serde_json::{Value, json};

use super::target;
use crate::error::Error;
use crate::state::State;

/// Returns the targets of a `State` in its order. A target that has ended is as the reply of the
/// run will list it. Any other has its phase as `Status`, and the percentage of its copies as
/// `Progress`. Fails with `InvalidState`.
pub fn targets(state: &Value) -> Result<Vec<Value>, Error> {
    let state = State::open(state)?;
    let each = state.targets.iter().map(|of| {
        if of.phase.is_terminal() {
            return target(&state, of);
        }
        json!({
            "AccountId": of.account_id,
            "Region": of.region,
            "Status": of.phase,
            "Progress": of.work.progress,
        })
    });
    Ok(each.collect())
}
