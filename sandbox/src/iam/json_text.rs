//! Scalars and lists of them, as the policy grammar mixes them.

use serde_json::Value;

use super::error::PolicyError;

/// Reads one string, or a list of strings with at least one in it.
pub(super) fn strings(value: &Value) -> Result<Vec<String>, PolicyError> {
    list(
        value,
        |item| item.as_str().map(str::to_owned),
        "a string or a list of strings",
    )
}

/// Reads condition values, which may be strings, numbers or booleans.
pub(super) fn scalars(value: &Value) -> Result<Vec<String>, PolicyError> {
    let text = |item: &Value| match item {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(item.to_string()),
        _ => None,
    };
    list(
        value,
        text,
        "a string, number or boolean, or a list of them",
    )
}

fn list(
    value: &Value,
    text: impl Fn(&Value) -> Option<String>,
    expected: &str,
) -> Result<Vec<String>, PolicyError> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    if items.is_empty() {
        return Err(PolicyError::new("", "the list is empty"));
    }
    items
        .iter()
        .map(|item| text(item).ok_or_else(|| PolicyError::new("", format!("must be {expected}"))))
        .collect()
}
