//! Tags: in creating calls, and the calls that change them.

use std::collections::BTreeMap;

use super::permit::{self, Facts};
use super::{Ask, RETURN_TRUE};
use crate::aws::Aws;
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::rules::tags::{check_lengths, within_limit};
use crate::wire::query::Query;
use crate::wire::xml::Xml;

type Tags = BTreeMap<String, String>;

/// Returns the tags of `TagSpecification.N` by resource type; refuses any other type.
pub(super) fn specified(query: &Query, types: &[&str]) -> Result<BTreeMap<String, Tags>, Refused> {
    let mut by_type: BTreeMap<String, Tags> = BTreeMap::new();
    for specification in query.structures("TagSpecification") {
        let kind = specification.get("ResourceType").unwrap_or_default();
        if kind.is_empty() {
            return Err(refusals::TAG_RESOURCE_TYPE_MISSING.with(&[]));
        }
        if !types.contains(&kind) {
            return Err(refusals::TAG_RESOURCE_TYPE.with(&[kind]));
        }
        let tags = by_type.entry(kind.to_owned()).or_default();
        for (key, value) in read(&specification)? {
            if tags.insert(key.clone(), value).is_some() {
                return Err(refusals::TAG_DUPLICATE.with(&[&key]));
            }
        }
        within_limit(tags, kind)?;
    }
    Ok(by_type)
}

fn read(query: &Query) -> Result<Vec<(String, String)>, Refused> {
    let mut tags: Vec<(String, String)> = Vec::new();
    for tag in query.structures("Tag") {
        let key = tag.get("Key").unwrap_or_default();
        let value = tag.get("Value").unwrap_or_default();
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(refusals::TAG_RESERVED.with(&[]));
        }
        check_lengths(key, value)?;
        if tags.iter().any(|(known, _)| known == key) {
            return Err(refusals::TAG_DUPLICATE.with(&[key]));
        }
        tags.push((key.to_owned(), value.to_owned()));
    }
    Ok(tags)
}

/// Writes the tags. A resource without tags has no `tagSet`; users of SDKs read `Tags` with a
/// default for that reason.
pub(super) fn write(xml: &mut Xml, tags: &Tags) {
    if tags.is_empty() {
        return;
    }
    xml.list("tagSet", tags, |xml, (key, value)| {
        xml.text("key", key).text("value", value);
    });
}

pub(super) fn create(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let tags: Tags = read(ask.query)?.into_iter().collect();
    if tags.is_empty() {
        return Err(refusals::MISSING_PARAMETER.with(&["Tag"]));
    }
    let resources = resources(aws, ask, &tags)?;
    ask.dry_run()?;
    for id in &resources {
        let mut merged = own_tags(aws, ask, id)?.clone();
        merged.extend(tags.clone());
        within_limit(&merged, id)?;
    }
    for id in &resources {
        change(aws, id, |known| known.extend(tags.clone()));
    }
    Ok(RETURN_TRUE.to_owned())
}

/// Deletes tags. A tag given with a value is deleted only if it has that value; a call without tags
/// deletes all tags of the user.
pub(super) fn delete(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let wanted = ask.query.structures("Tag");
    let named = wanted
        .iter()
        .filter_map(|tag| Some((tag.owned("Key")?, tag.owned("Value"))));
    let named: Vec<(String, Option<String>)> = named.collect();
    if named
        .iter()
        .any(|(key, _)| key.to_ascii_lowercase().starts_with("aws:"))
    {
        return Err(refusals::TAG_RESERVED.with(&[]));
    }
    let keys = named
        .iter()
        .map(|(key, value)| (key.clone(), value.clone().unwrap_or_default()));
    let resources = resources(aws, ask, &keys.collect())?;
    ask.dry_run()?;
    for id in &resources {
        change(aws, id, |tags| {
            if wanted.is_empty() {
                tags.retain(|key, _| key.starts_with("aws:"));
            }
            for (key, value) in &named {
                let other = value
                    .as_ref()
                    .is_some_and(|value| tags.get(key) != Some(value));
                if !other {
                    tags.remove(key);
                }
            }
        });
    }
    Ok(RETURN_TRUE.to_owned())
}

/// Checks the permission for each resource and returns their IDs.
fn resources(aws: &Aws, ask: Ask<'_>, tags: &Tags) -> Result<Vec<String>, Refused> {
    let resources = ask.query.list("ResourceId");
    if resources.is_empty() {
        return Err(refusals::MISSING_PARAMETER.with(&["ResourceId"]));
    }
    for id in &resources {
        let arn = match id.split('-').next() {
            Some("ami") => permit::image_arn(ask.region(), id),
            Some("snap") => permit::snapshot_arn(ask.region(), id),
            _ => return Err(refusals::TAG_RESOURCE_ID.with(&[id])),
        };
        let facts = Facts {
            resource_tags: own_tags(aws, ask, id).ok(),
            request_tags: Some(tags),
            ..Facts::default()
        };
        permit::action(aws, ask, &arn, &facts)?;
    }
    for id in &resources {
        own_tags(aws, ask, id)?;
    }
    Ok(resources)
}

fn own_tags<'a>(aws: &'a Aws, ask: Ask<'_>, id: &str) -> Result<&'a Tags, Refused> {
    if id.starts_with("ami-") {
        ids::image(id)?;
        let image = aws.images.get(id).map(|image| &image.view);
        let image =
            image.filter(|image| image.region == ask.region() && image.owner_id == ask.account());
        return image
            .map(|image| &image.tags)
            .ok_or_else(|| refusals::IMAGE_NOT_FOUND.with(&[id]));
    }
    ids::snapshot(id)?;
    let snapshot = aws.snapshots.get(id).map(|snapshot| &snapshot.view);
    let snapshot = snapshot.filter(|s| s.region == ask.region() && s.owner_id == ask.account());
    snapshot
        .map(|s| &s.tags)
        .ok_or_else(|| refusals::SNAPSHOT_NOT_FOUND.with(&[id]))
}

fn change(aws: &mut Aws, id: &str, change: impl FnOnce(&mut Tags)) {
    if id.starts_with("ami-") {
        aws.change_image(id, |image| change(&mut image.tags));
    } else {
        aws.change_snapshot(id, |snapshot| change(&mut snapshot.tags));
    }
}
