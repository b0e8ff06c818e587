//! Members of an IAM request, with the service's validation errors.

use super::Ask;
use crate::refusals::{self, Refused};

/// Refuses parameters that the sandbox does not model, and unknown ones. The first part of a name
/// stands for a list.
pub(super) fn only(ask: Ask<'_>, names: &[&str]) -> Result<(), Refused> {
    let mut given = ask.query.params().keys();
    let other = given.find(|name| {
        let first = name.split('.').next().unwrap_or_default();
        !names.contains(&first)
    });
    other.map_or(Ok(()), |name| {
        let what = format!("parameter {name} of {}", ask.operation);
        Err(refusals::NOT_IMPLEMENTED.with(&[&what]))
    })
}

pub(super) fn optional<'a>(
    ask: Ask<'a>,
    name: &str,
    longest: usize,
    allowed: fn(char) -> bool,
) -> Result<Option<&'a str>, Refused> {
    let Some(text) = ask.query.get(name) else {
        return Ok(None);
    };
    if !(1..=longest).contains(&text.chars().count()) {
        let constraint = format!("Member must have length between 1 and {longest}");
        return Err(invalid(name, text, &constraint));
    }
    if !text.chars().all(allowed) {
        let constraint = "Member must satisfy regular expression pattern";
        return Err(invalid(name, text, constraint));
    }
    Ok(Some(text))
}

pub(super) fn required<'a>(
    ask: Ask<'a>,
    name: &str,
    longest: usize,
    allowed: fn(char) -> bool,
) -> Result<&'a str, Refused> {
    let given = optional(ask, name, longest, allowed)?;
    given.ok_or_else(|| invalid(name, "null", "Member must not be null"))
}

/// Returns whether a name may have this character, `[\w+=,.@-]` (model).
pub(super) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)
}

pub(super) fn anything(_: char) -> bool {
    true
}

pub(super) fn invalid(name: &str, value: &str, constraint: &str) -> Refused {
    let shown: String = value.chars().take(200).collect();
    let mut first = name.chars();
    let member = first
        .next()
        .map(|c| c.to_ascii_lowercase().to_string() + first.as_str());
    refusals::IAM_VALIDATION.with(&[&shown, &member.unwrap_or_default(), constraint])
}
