//! Marks: lists of accounts (or of organisations and units) kept in tags. A tag value holds 256 characters, so a long list goes on in
//! tags with a number behind the name.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::Tag;

/// Characters of a tag value.
const LONGEST: usize = 256;

/// The list as tags; `none` if it is empty.
pub fn write<'a>(name: &str, listed: impl IntoIterator<Item = &'a str>) -> Vec<Tag> {
    let mut values: Vec<String> = Vec::new();
    for item in listed {
        match values.last_mut() {
            Some(value) if value.len() + 1 + item.len() <= LONGEST => {
                value.push(',');
                value.push_str(item);
            }
            _ => values.push(item.to_owned()),
        }
    }
    if values.is_empty() {
        values.push("none".to_owned());
    }
    let tags = values.into_iter().enumerate().map(|(n, value)| {
        let key = match n {
            0 => name.to_owned(),
            n => format!("{name}:{n}"),
        };
        Tag::builder().key(key).value(value).build()
    });
    tags.collect()
}

/// What a mark lists; `None` if there is no mark.
pub fn read(name: &str, tags: &BTreeMap<String, String>) -> Option<BTreeSet<String>> {
    tags.get(name)?;
    let values = keys(name, tags).into_iter().filter_map(|key| tags.get(key));
    Some(
        values
            .flat_map(|v| v.split(','))
            .filter(|item| *item != "none" && !item.contains('='))
            .map(str::to_owned)
            .collect(),
    )
}

/// What a mark says of its run: since when, and which execution works on it, if any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Unix seconds; 0 if it does not say.
    pub since: i64,
    pub execution: Option<String>,
}

/// The words of a mark that say so.
pub fn about(since: i64, execution: &str) -> Vec<String> {
    let mut words = vec![format!("since={since}")];
    if !execution.is_empty() {
        words.push(format!("by={execution}"));
    }
    words
}

/// Reads them again.
pub fn read_about(name: &str, tags: &BTreeMap<String, String>) -> About {
    let words = tags.get(name).into_iter().flat_map(|v| v.split(','));
    let mut about = About::default();
    for word in words {
        match word.split_once('=') {
            Some(("since", since)) => about.since = since.parse().unwrap_or_default(),
            Some(("by", execution)) => about.execution = Some(execution.to_owned()),
            _ => {}
        }
    }
    about
}

/// The tags that a mark consists of.
pub fn keys<'a>(name: &str, tags: &'a BTreeMap<String, String>) -> Vec<&'a String> {
    let more = format!("{name}:");
    tags.keys()
        .filter(|key| *key == name || key.starts_with(&more))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_what_it_was_told_however_long() {
        for count in [0, 1, 19, 20, 200] {
            let accounts: Vec<String> = (0..count)
                .map(|n| format!("{:012}", 200_000_000_000_u64 + n))
                .collect();
            let tags = write("amiferry:sharing:abc", accounts.iter().map(String::as_str));
            assert!(tags.iter().all(|t| t.value().unwrap().len() <= 256));
            let map = super::super::tags::to_map(&tags);
            assert_eq!(
                read("amiferry:sharing:abc", &map),
                Some(accounts.iter().cloned().collect())
            );
            assert_eq!(read("amiferry:sharing:ab", &map), None);
            let words = about(1_800_000_000, "amiferry-x");
            let tags = write("m", words.iter().chain(&accounts).map(String::as_str));
            let map = super::super::tags::to_map(&tags);
            assert_eq!(read("m", &map), Some(accounts.iter().cloned().collect()));
            let told = read_about("m", &map);
            assert_eq!(
                (told.since, told.execution.as_deref()),
                (1_800_000_000, Some("amiferry-x"))
            );
        }
    }
}
