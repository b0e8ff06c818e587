//! The tags of a copy: the source's (if the request says so), then the request's, then ours. A
//! later tag replaces an earlier one. Pure.

use std::collections::BTreeMap;

use crate::command::tag;
use crate::state::{Retag, RunRef};

/// The number of tags that a resource can have.
const MOST: usize = 50;

/// The tags of one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    /// The tags to set.
    pub all: BTreeMap<String, String>,
    /// Names of source tags for which there is no room.
    pub left_out: Vec<String>,
}

/// Chooses the tags of a copy. `from` are the tags of its original. Nobody can set `aws:` tags, and
/// `amiferry:` tags of a source that is a copy itself would name another run.
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

/// Compares the tags of a former request with those of the present one; `None` if they are equal.
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

/// The changes that give an existing copy the tags of the present request.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Changes {
    /// Tags to set, by their names.
    pub set: BTreeMap<String, String>,
    /// Tags to delete, but only while they have these values: any other value is somebody else's.
    pub deleted: BTreeMap<String, String>,
}

impl Changes {
    /// Returns whether a resource with these tags needs no change.
    pub fn are_shown_by(&self, there: &BTreeMap<String, String>) -> bool {
        let mut set = self.set.iter();
        let mut deleted = self.deleted.iter();
        set.all(|(name, value)| there.get(name) == Some(value))
            && deleted.all(|(name, value)| there.get(name) != Some(value))
    }
}

/// Chooses the changes of a copy. `from` are the tags of its original.
///
/// `there` are the tags that the copy shows, which may be a minute old. They decide only whether
/// somebody else has set a tag with the name of a source tag.
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
    use super::*;
    use crate::state::tests::full;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// A source tag without room in the present request is deleted before the request's own tag is
    /// set.
    #[test]
    fn a_request_tag_displaces_a_source_tag_without_room() {
        let mut state = full(1, 1);
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
    fn a_request_with_the_same_tags_changes_none() {
        let asked = tags(&[("stage", "prod")]);
        assert_eq!(retag((&asked, true), (&asked, true)), None);
        assert!(retag((&asked, true), (&asked, false)).is_some());
    }
}
