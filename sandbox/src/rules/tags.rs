//! How long tags may be, and how many.

use std::collections::BTreeMap;

use crate::refusals::{self, Refused};

type Tags = BTreeMap<String, String>;

const MOST: usize = 50;

/// Refuses a key or value that is too short or too long.
pub(crate) fn check_lengths(key: &str, value: &str) -> Result<(), Refused> {
    if (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256 {
        return Ok(());
    }
    Err(refusals::TAG_KEY_LENGTH.with(&[key]))
}

/// Refuses tags that a resource cannot have.
pub(crate) fn check(tags: &Tags) -> Result<(), Refused> {
    let mut each = tags.iter();
    each.try_for_each(|(key, value)| check_lengths(key, value))?;
    within_limit(tags, "it")
}

/// Refuses more tags than a resource may have; AWS's own do not count.
pub(crate) fn within_limit(tags: &Tags, what: &str) -> Result<(), Refused> {
    let users = tags.keys().filter(|key| !key.starts_with("aws:")).count();
    if users > MOST {
        return Err(refusals::TAG_LIMIT.with(&[what]));
    }
    Ok(())
}
