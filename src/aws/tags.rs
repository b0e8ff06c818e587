//! Tags: those carried over, those asked for, and ours.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};

use crate::command::tag;
use crate::state::State;

/// What AWS lets one resource have.
const MOST: usize = 50;

/// The tags of a copy: the source's (if asked for), then the request's, then ours, the later winning. `aws:` tags cannot be
/// set by anyone, and `amiferry:` tags of a source that is a copy itself would tell of another run.
pub fn of_copy(
    state: &State,
    from: &BTreeMap<String, String>,
    key: &str,
    kind: ResourceType,
) -> TagSpecification {
    let mut ours = state.order.tags.clone();
    ours.insert(tag::RUN.to_owned(), state.run.clone());
    ours.insert(
        tag::SOURCE_IMAGE.to_owned(),
        state.source.image_id.to_string(),
    );
    ours.insert(
        tag::SOURCE_ACCOUNT.to_owned(),
        state.source.account_id.to_string(),
    );
    ours.insert(tag::KEY.to_owned(), key.to_owned());
    let mut all: BTreeMap<String, String> = ours;
    if state.order.copy_tags {
        let carried = from
            .iter()
            .filter(|(name, _)| !name.starts_with("aws:") && !name.starts_with(tag::OURS));
        for (name, value) in carried {
            if all.len() < MOST && !all.contains_key(name) {
                all.insert(name.clone(), value.clone());
            }
        }
    }
    let tags = all
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
