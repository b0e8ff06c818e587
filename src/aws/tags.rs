//! Tags on the wire.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};

use crate::state::RunRef;

/// Returns the tags of a copy as EC2 takes them for a new resource.
pub fn of_copy(
    run: RunRef<'_>,
    from: &BTreeMap<String, String>,
    key: &str,
    kind: ResourceType,
) -> TagSpecification {
    specification(crate::tags::of_copy(run, from, key).all, kind)
}

/// Returns these tags as EC2 takes them for a new resource of this type.
pub fn specification(
    tags: impl IntoIterator<Item = (String, String)>,
    kind: ResourceType,
) -> TagSpecification {
    TagSpecification::builder()
        .resource_type(kind)
        .set_tags(Some(list(tags)))
        .build()
}

/// Returns these pairs as EC2's list of tags.
pub fn list(tags: impl IntoIterator<Item = (String, String)>) -> Vec<Tag> {
    let tag = |(name, value)| Tag::builder().key(name).value(value).build();
    tags.into_iter().map(tag).collect()
}

/// Returns EC2's list of tags as a map.
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
