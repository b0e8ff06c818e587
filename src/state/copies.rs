//! The JSON of a target's copies: snapshot IDs without `snap-`, joined by commas, and an empty
//! place for each missing copy. An ID takes eighteen bytes instead of twenty-five.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

use super::MOST_REMEMBERED_COPIES;
use crate::ids::SnapshotId;

pub fn none(copies: &[Option<SnapshotId>]) -> bool {
    copies.len() > MOST_REMEMBERED_COPIES || copies.iter().all(Option::is_none)
}

#[expect(clippy::ptr_arg, reason = "serde hands over the field's own type")]
pub fn serialize<S: Serializer>(
    copies: &Vec<Option<SnapshotId>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let short: Vec<&str> = copies
        .iter()
        .map(|copy| copy.as_ref().map_or("", SnapshotId::short))
        .collect();
    serializer.serialize_str(&short.join(","))
}

pub fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Option<SnapshotId>>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.split(',')
        .map(|short| match short {
            "" => Ok(None),
            short => SnapshotId::parse(&format!("snap-{short}"))
                .map(Some)
                .map_err(D::Error::custom),
        })
        .collect()
}
