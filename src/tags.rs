//! The tags of a copy: the source's (if asked for), then the request's, then ours, the later winning. Pure.

use std::collections::BTreeMap;

use crate::command::tag;
use crate::state::State;

/// What AWS lets one resource have.
const MOST: usize = 50;

/// The tags of one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    pub all: BTreeMap<String, String>,
    /// Tags of the source for which there is no room.
    pub left_out: Vec<String>,
}

/// Chooses the tags of a copy of what has the tags `from`. `aws:` tags cannot be set by anyone, and `amiferry:` tags of a source
/// that is a copy itself would tell of another run.
pub fn of_copy(state: &State, from: &BTreeMap<String, String>, key: &str) -> Tags {
    let mut all = state.order.tags.clone();
    for (name, value) in [
        (tag::RUN, state.run.as_str()),
        (tag::SOURCE_IMAGE, state.source.image_id.as_str()),
        (tag::SOURCE_ACCOUNT, state.source.account_id.as_str()),
        (tag::KEY, key),
    ] {
        all.insert(name.to_owned(), value.to_owned());
    }
    let mut left_out = Vec::new();
    if state.order.copy_tags {
        let mut carried: Vec<(&String, &String)> = from
            .iter()
            .filter(|(name, _)| !name.starts_with("aws:") && !name.starts_with(tag::OURS))
            .filter(|(name, _)| !state.order.tags.contains_key(*name))
            .collect();
        // The console shows a resource by its Name.
        carried.sort_by_key(|(name, _)| *name != "Name");
        for (name, value) in carried {
            if all.len() < MOST {
                all.insert(name.clone(), value.clone());
            } else {
                left_out.push(name.clone());
            }
        }
    }
    Tags { all, left_out }
}
