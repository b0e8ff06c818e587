//! Members of a JSON request, as every service that speaks JSON reads them.

use serde_json::Value;

use crate::refusals::{self, Refused};

/// Returns a member that is given; null stands for one that is not.
pub(crate) fn given<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    body.get(name).filter(|value| !value.is_null())
}

/// Refuses members that the sandbox does not model, and unknown members.
pub(crate) fn only(body: &Value, operation: &str, names: &[&str]) -> Result<(), Refused> {
    let given = body.as_object().into_iter().flatten();
    let mut others =
        given.filter(|(name, value)| !value.is_null() && !names.contains(&name.as_str()));
    others.next().map_or(Ok(()), |(name, _)| {
        Err(refusals::NOT_IMPLEMENTED.with(&[&format!("parameter {name} of {operation}")]))
    })
}
