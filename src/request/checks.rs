//! The checks of a request's values.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::Fields;
use super::{MAX_TARGETS, Target};
use crate::error::Error;
use crate::ids::{AccountId, KeyRef, Region};
use crate::service_linked_role::ServiceLinkedRole;

/// The tags that a resource can have (50), less the four of this project.
const MAX_TAGS: usize = 46;

/// The number of service-linked roles of one request: more than an account launches by, and few
/// enough for a state.
const MAX_SERVICE_LINKED_ROLES: usize = 8;

pub(super) const WORDS_OF_COPY: [&str; 9] = [
    "TargetKmsKeyIds",
    "ReencryptKmsKeyId",
    "StagingKmsKeyIds",
    "TargetRegions",
    "Name",
    "Tags",
    "CopyCompletionMinutes",
    "Publish",
    "Strategy",
];

/// Refuses keys without a meaning in this mode, because their effect would be missed.
pub(super) fn refuse_words_of(
    other: &str,
    fields: &mut Fields,
    words: &[&str],
) -> Result<(), Error> {
    match words.iter().find(|word| fields.has(word)) {
        None => Ok(()),
        Some(word) => Err(Error::invalid(*word, format!("goes with Mode: {other}"))),
    }
}

/// Reads the keys of staged copies by their Regions.
pub(super) fn staging_keys(
    fields: &mut Fields,
    source: &Region,
) -> Result<BTreeMap<Region, KeyRef>, Error> {
    let mut keys = BTreeMap::new();
    for (region, key) in fields.map("StagingKmsKeyIds")? {
        let at = format!("StagingKmsKeyIds.{region}");
        let region =
            Region::parse(&region).map_err(|said| Error::invalid(&at, said.to_string()))?;
        let key = KeyRef::parse(&key).map_err(|said| Error::invalid(&at, said.to_string()))?;
        if region == *source {
            let problem = "is SourceRegion, where the targets copy from the source itself; for an \
                           image under aws/ebs name ReencryptKmsKeyId";
            return Err(Error::invalid(&at, problem));
        }
        if region.partition() != source.partition() {
            let problem = format!("is not in the partition of {source}, which nothing leaves");
            return Err(Error::invalid(&at, problem));
        }
        keys.insert(region, key);
    }
    Ok(keys)
}

/// Reads the service-linked roles that need the key, and whether missing ones are created.
pub(super) fn service_linked_roles(
    fields: &mut Fields,
) -> Result<(Vec<ServiceLinkedRole>, bool), Error> {
    let names = fields.list("ServiceLinkedRoles")?.unwrap_or_default();
    let mut asked = Vec::new();
    let mut roles = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let key = || format!("ServiceLinkedRoles[{i}]");
        let role = ServiceLinkedRole::parse(name).map_err(|said| Error::invalid(key(), said))?;
        if asked.contains(&role) {
            return Err(Error::invalid(key(), format!("names {role} a second time")));
        }
        asked.push(role.clone());
        for launching in role.launching() {
            if !roles.contains(&launching) {
                roles.push(launching);
            }
        }
    }
    if roles.len() > MAX_SERVICE_LINKED_ROLES {
        let problem = format!(
            "has {} items; at most {MAX_SERVICE_LINKED_ROLES} are accepted",
            roles.len()
        );
        return Err(Error::invalid("ServiceLinkedRoles", problem));
    }
    let create = fields.flag("CreateServiceLinkedRoles")?.unwrap_or(false);
    if create && roles.is_empty() {
        return Err(Error::invalid(
            "CreateServiceLinkedRoles",
            "goes with ServiceLinkedRoles, which names them",
        ));
    }
    Ok((roles, create))
}

pub(super) fn parse_completion_minutes(text: &str) -> Result<u16, &'static str> {
    // A template may compute a whole number that ends in `.0`.
    let minutes: u16 = text
        .strip_suffix(".0")
        .unwrap_or(text)
        .parse()
        .map_err(|_| "must be a number of minutes, in steps of 15, from 15 to 2880")?;
    if minutes.is_multiple_of(15) && (15..=2880).contains(&minutes) {
        Ok(minutes)
    } else {
        Err("must be a number of minutes, in steps of 15, from 15 to 2880")
    }
}

pub(super) fn check_count(count: usize) -> Result<(), Error> {
    if count <= MAX_TARGETS {
        return Ok(());
    }
    let problem = format!("has {count} targets; at most {MAX_TARGETS} go into one run");
    Err(Error::invalid("Targets", problem))
}

/// Checks the targets of a request. `lender` is the source account of a share, if it is known.
pub(super) fn check_targets(
    targets: &[Target],
    source_region: &Region,
    lender: Option<&AccountId>,
) -> Result<(), Error> {
    check_count(targets.len())?;
    let mut seen = BTreeSet::new();
    for (i, target) in targets.iter().enumerate() {
        let key = |name: &str| format!("Targets[{i}].{name}");
        if lender == Some(&target.account) {
            return Err(Error::invalid(
                key("AccountId"),
                shared_with_itself(&target.account),
            ));
        }
        if !seen.insert((&target.account, &target.region)) {
            let twice = format!(
                "{} in {} is named twice; each account and Region once",
                target.account, target.region
            );
            return Err(Error::invalid(key("AccountId"), twice));
        }
        if target.region.partition() != source_region.partition() {
            let problem = format!(
                "{} is in partition {}, the source in {}: images cannot cross partitions",
                target.region,
                target.region.partition(),
                source_region.partition()
            );
            return Err(Error::invalid(key("Region"), problem));
        }
        if let Some(problem) = key_problem(target) {
            return Err(Error::invalid(key("KmsKeyId"), problem));
        }
    }
    Ok(())
}

/// Returns why a target cannot use its key: a key named by ARN must be the target's own.
fn key_problem(target: &Target) -> Option<String> {
    let (partition, region, account) = target.key.home()?;
    let own = (
        target.region.partition(),
        target.region.as_str(),
        target.account.as_str(),
    );
    if (partition, region, account) == own {
        return None;
    }
    let replica = match target.key.as_str().split_once(":key/mrk-") {
        Some((_, id)) if account == target.account.as_str() => {
            format!(" (mrk-{id} names the replica there, if it has one)")
        }
        _ => String::new(),
    };
    Some(format!(
        "{} belongs to account {account} in {region}; the key of this target must be in account \
         {} in {}{replica}",
        target.key, target.account, target.region
    ))
}

/// Returns the problem of a share with the source account. The problem is found before any call if
/// the function knows its account, and otherwise with the image's owner.
pub fn shared_with_itself(account: &AccountId) -> String {
    format!("{account} is the source account itself, which may launch from its image anyway")
}

/// Checks EC2's rules for tags. Control characters are refused as well, because XML cannot carry
/// them back.
pub fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Error> {
    if tags.len() > MAX_TAGS {
        return Err(Error::invalid(
            "Tags",
            format!(
                "has {} tags; at most {MAX_TAGS} fit beside the ones this function adds",
                tags.len()
            ),
        ));
    }
    for (name, value) in tags {
        let key = || format!("Tags.{}", name.chars().take(80).collect::<String>());
        if name.is_empty() || name.chars().count() > 128 {
            return Err(Error::invalid(key(), "a tag key has 1 to 128 characters"));
        }
        if value.chars().count() > 256 {
            return Err(Error::invalid(
                key(),
                "a tag value has at most 256 characters",
            ));
        }
        let unwritable = |c: char| {
            c.is_control() && !matches!(c, '\t' | '\n' | '\r')
                || matches!(c, '\u{fffe}' | '\u{ffff}')
        };
        if name.contains(char::is_control)
            || name.contains(unwritable)
            || value.contains(unwritable)
        {
            return Err(Error::invalid(
                key(),
                "holds a control character, which a tag cannot carry",
            ));
        }
        let lower = name.to_ascii_lowercase();
        if lower.starts_with("aws:") || lower.starts_with("amiferry:") {
            return Err(Error::invalid(
                key(),
                "keys that begin with aws: or amiferry: are reserved",
            ));
        }
    }
    Ok(())
}
