//! Tags on the wire.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};

use crate::state::State;

/// The tags of a copy as EC2 takes them when it is made.
pub fn of_copy(
    state: &State,
    from: &BTreeMap<String, String>,
    key: &str,
    kind: ResourceType,
) -> TagSpecification {
    let tags = crate::tags::of_copy(state, from, key).all;
    let tags = tags
        .into_iter()
        .map(|(name, value)| Tag::builder().key(name).value(value).build())
        .collect();
    TagSpecification::builder()
        .resource_type(kind)
        .set_tags(Some(tags))
        .build()
}

/// EC2's list of tags as a map.
pub fn to_map(tags: &[Tag]) -> BTreeMap<String, String> {
    tags.iter()
        .filter_map(|t| {
            Some((
                t.key()?.to_owned(),
                t.value().unwrap_or_default().to_owned(),
            ))
        })
        .collect()
}
