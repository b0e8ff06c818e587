//! Times in the ledger's objects: RFC 3339, so that a person can read them; Unix seconds in the
//! code.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// Returns the time as RFC 3339; outside of that format's range, the number itself.
pub fn readable(seconds: i64) -> String {
    DateTime::from_secs(seconds)
        .fmt(Format::DateTime)
        .unwrap_or_else(|_| seconds.to_string())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over the field's own type"
)]
pub fn serialize<S: Serializer>(seconds: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&readable(*seconds))
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    DateTime::from_str(&text, Format::DateTime)
        .map(|time| time.secs())
        .map_err(|_| D::Error::custom(format!("{text:?} is no time: expected RFC 3339")))
}
