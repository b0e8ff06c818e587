//! The tags of a copy: the source's (if asked for), then the request's, then ours, the later
//! winning. Pure.

use std::collections::BTreeMap;

use crate::command::tag;
use crate::state::{Retag, RunRef};

/// What AWS lets one resource have.
const MOST: usize = 50;

/// The tags of one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    pub all: BTreeMap<String, String>,
    /// Tags of the source for which there is no room.
    pub left_out: Vec<String>,
}

/// Chooses the tags of a copy of what has the tags `from`. `aws:` tags cannot be set by anyone, and
/// `amiferry:` tags of a source that is a copy itself would tell of another run.
pub fn of_copy(run: RunRef<'_>, from: &BTreeMap<String, String>, key: &str) -> Tags {
    chosen(run, &run.order.tags, run.order.copy_tags, from, key)
}

fn chosen(
    run: RunRef<'_>,
    asked: &BTreeMap<String, String>,
    copy_tags: bool,
    from: &BTreeMap<String, String>,
    key: &str,
) -> Tags {
    let mut all = asked.clone();
    for (name, value) in [
        (tag::RUN, run.id),
        (tag::SOURCE_IMAGE, run.source.image_id.as_str()),
        (tag::SOURCE_ACCOUNT, run.source.account_id.as_str()),
        (tag::KEY, key),
    ] {
        all.insert(name.to_owned(), value.to_owned());
    }
    let mut left_out = Vec::new();
    if copy_tags {
        let mut carried: Vec<(&String, &String)> = from
            .iter()
            .filter(|(name, _)| !name.starts_with("aws:") && !name.starts_with(tag::OURS))
            .filter(|(name, _)| !asked.contains_key(*name))
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

/// Compares what a former request and the present one ask for; `None` if they ask for the same.
pub fn retag(
    former: (&BTreeMap<String, String>, bool),
    present: (&BTreeMap<String, String>, bool),
) -> Option<Retag> {
    let names = former.0.keys().chain(present.0.keys());
    let changed = names.filter(|name| former.0.get(*name) != present.0.get(*name));
    let retag = Retag {
        former: changed
            .map(|name| (name.clone(), former.0.get(name).cloned()))
            .collect(),
        copy_tags: former.1,
    };
    (!retag.former.is_empty() || former.1 != present.1).then_some(retag)
}

/// The changes that give one copy the tags of the present request.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Changes {
    pub set: BTreeMap<String, String>,
    /// Deleted only while they have these values: any other value is somebody else's.
    pub deleted: BTreeMap<String, String>,
}

impl Changes {
    /// Whether a resource with these tags shows nothing left to change.
    pub fn are_shown_by(&self, there: &BTreeMap<String, String>) -> bool {
        let mut set = self.set.iter();
        let mut deleted = self.deleted.iter();
        set.all(|(name, value)| there.get(name) == Some(value))
            && deleted.all(|(name, value)| there.get(name) != Some(value))
    }
}

/// Chooses what to change on a copy of what has the tags `from`. `there` is what the copy shows,
/// which may be a minute old: it decides only whether somebody else has a tag of the same name as
/// one of the source.
pub fn changes(
    run: RunRef<'_>,
    retag: &Retag,
    from: &BTreeMap<String, String>,
    there: &BTreeMap<String, String>,
) -> Changes {
    let order = run.order;
    let mut formerly = order.tags.clone();
    for (name, value) in &retag.former {
        match value {
            Some(value) => formerly.insert(name.clone(), value.clone()),
            None => formerly.remove(name),
        };
    }
    let former = chosen(run, &formerly, retag.copy_tags, from, "").all;
    let present = of_copy(run, from, "").all;
    let foreign = |name: &String| {
        let value = there.get(name);
        value.is_some() && value != former.get(name) && value != present.get(name)
    };
    let set = present
        .iter()
        .filter(|(name, value)| former.get(*name) != Some(value))
        .filter(|(name, _)| order.tags.contains_key(*name) || !foreign(name));
    let deleted = former
        .iter()
        .filter(|(name, _)| !present.contains_key(*name));
    let owned = |(name, value): (&String, &String)| (name.clone(), value.clone());
    Changes {
        set: set.map(owned).collect(),
        deleted: deleted.map(owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::Region;
    use crate::plan::distribute;
    use crate::request::{Defaults, Request};
    use crate::source::tests::example;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// A source tag that the present request leaves no room for is deleted before the request's own
    /// tag is set.
    #[test]
    fn a_tag_of_the_request_displaces_one_of_the_source_where_there_is_no_room() {
        let defaults = Defaults {
            region: Region::parse("us-west-2").unwrap(),
            account: None,
        };
        let request = json!({"SourceImageId": "ami-0a1b2c3d4e5f60718", "Targets": [{"AccountId": "222222222222"}]});
        let request = Request::parse(&request, &defaults).unwrap();
        let mut state = distribute(&request, &example(), "0123456789abcdef", 0).unwrap();
        let from: BTreeMap<String, String> = (0..MOST)
            .map(|n| (format!("source-{n:02}"), "s".to_owned()))
            .collect();
        state.order.tags = BTreeMap::new();
        let there = of_copy(state.run_ref(), &from, "").all;
        state.order.tags = tags(&[("stage", "prod")]);
        let retag = retag((&BTreeMap::new(), true), (&state.order.tags, true)).unwrap();
        let changes = changes(state.run_ref(), &retag, &from, &there);
        assert_eq!(changes.set, tags(&[("stage", "prod")]));
        assert_eq!(changes.deleted, tags(&[("source-45", "s")]));
        assert!(!changes.are_shown_by(&there));
        assert!(changes.are_shown_by(&of_copy(state.run_ref(), &from, "").all));
    }

    #[test]
    fn requests_that_ask_for_the_same_tags_change_none() {
        let asked = tags(&[("stage", "prod")]);
        assert_eq!(retag((&asked, true), (&asked, true)), None);
        assert!(retag((&asked, true), (&asked, false)).is_some());
    }
}
