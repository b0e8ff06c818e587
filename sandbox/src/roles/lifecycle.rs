//! CreateRole, DeleteRole and ListRoles. A new role has no path and no permissions boundary.
//!
//! A new role can be assumed at once; as a principal of policies and grants it is known later
//! (IAM guide, eventual consistency). No session carries the tags of its role. Source: model;
//! Service Authorization Reference, AWS IAM. The resource of ListRoles is unproved.

use std::collections::BTreeMap;

use super::{Ask, changeable, input, write, written};
use crate::aws::Aws;
use crate::iam::{Kind, Policy};
use crate::kms;
use crate::refusals::{self, Refused};
use crate::rules::tags;
use crate::wire::xml::Xml;

type Tags = BTreeMap<String, String>;

pub(super) fn create(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let names = [
        "RoleName",
        "AssumeRolePolicyDocument",
        "Description",
        "MaxSessionDuration",
        "Tags",
    ];
    input::only(ask, &names)?;
    let name = input::required(ask, "RoleName", 64, input::is_name)?;
    let document = "AssumeRolePolicyDocument";
    let trust = input::required(ask, document, 131_072, input::anything)?;
    let description = ask.query.get("Description").filter(|text| !text.is_empty());
    if description.is_some_and(|text| text.chars().count() > 1000) {
        let constraint = "Member must have length less than or equal to 1000";
        let given = description.unwrap_or_default();
        return Err(input::invalid("Description", given, constraint));
    }
    let seconds = seconds(ask)?;
    let tags = tags(ask)?;
    let account = ask.call.caller.account();
    permit_creation(aws, ask, name, &tags)?;
    if aws.role_named(account, name).is_some() {
        return Err(refusals::IAM_ROLE_EXISTS.with(&[name]));
    }
    check_trust(aws, ask, trust)?;
    let arn = aws.create_role(account, name, trust, |role| {
        role.description = description.map(str::to_owned);
        role.max_session_seconds = seconds;
        role.tags = tags;
    });
    Ok(written(aws, &arn))
}

fn permit_creation(aws: &Aws, ask: Ask<'_>, name: &str, tags: &Tags) -> Result<(), Refused> {
    let arn = aws.iam_arn(ask.call.caller.account(), &format!("role/{name}"));
    let named = tags.iter().map(|(key, value)| {
        let name = format!("aws:requesttag/{}", key.to_lowercase());
        (name, value.as_str())
    });
    let named: Vec<(String, &str)> = named.collect();
    let values = named.iter().map(|(name, value)| (name.as_str(), *value));
    let keys = tags.keys().map(|key| ("aws:tagkeys", key.as_str()));
    let context: Vec<(&str, &str)> = values.chain(keys).collect();
    ask.permit(aws, &arn, &context)?;
    if tags.is_empty() {
        return Ok(());
    }
    ask.permit_action(aws, "TagRole", &arn, &context)
}

/// Refuses a trust policy that is malformed, or names a principal that does not exist.
fn check_trust(aws: &Aws, ask: Ask<'_>, text: &str) -> Result<(), Refused> {
    let policy = parse(text, Kind::Trust)?;
    let principals = policy.principals();
    let mut unknown = principals
        .iter()
        .filter(|principal| !kms::exists(aws, &ask.call.region, principal));
    unknown.next().map_or(Ok(()), |principal| {
        Err(refusals::IAM_POLICY_PRINCIPAL.with(&[principal]))
    })
}

pub(super) fn parse(text: &str, kind: Kind) -> Result<Policy, Refused> {
    let parsed = Policy::parse(text).and_then(|policy| policy.check(kind).map(|()| policy));
    parsed.map_err(|error| refusals::IAM_POLICY_MALFORMED.with(&[&error.to_string()]))
}

fn seconds(ask: Ask<'_>) -> Result<u32, Refused> {
    let Some(text) = ask.query.get("MaxSessionDuration") else {
        return Ok(3600);
    };
    let seconds = text.parse().ok().filter(|n| (3600..=43_200).contains(n));
    let constraint = "Member must have value between 3600 and 43200";
    seconds.ok_or_else(|| input::invalid("MaxSessionDuration", text, constraint))
}

fn tags(ask: Ask<'_>) -> Result<Tags, Refused> {
    let mut tags = Tags::new();
    for tag in ask.query.structures("Tags.member") {
        let key = tag.get("Key").unwrap_or_default();
        let value = tag.get("Value").unwrap_or_default();
        let reserved = key.to_ascii_lowercase().starts_with("aws:");
        let given = tags.insert(key.to_owned(), value.to_owned());
        if reserved || given.is_some() || tags::check(&tags).is_err() {
            let constraint = "Member must be a valid tag, with a key of its own";
            return Err(input::invalid("Tags", key, constraint));
        }
    }
    Ok(tags)
}

pub(super) fn delete(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    input::only(ask, &["RoleName"])?;
    let arn = changeable(aws, ask)?;
    let role = aws.principals.get(&arn);
    if role.is_some_and(|role| !role.policy_names.is_empty()) {
        return Err(refusals::IAM_DELETE_CONFLICT.with(&[]));
    }
    aws.drop_principal(&arn);
    Ok(String::new())
}

/// Lists the roles of the account, in the order of their ARNs.
pub(super) fn list(aws: &Aws, ask: Ask<'_>) -> Result<String, Refused> {
    input::only(ask, &["Marker", "MaxItems"])?;
    let most = ask.query.get("MaxItems").map(|text| {
        let most = text.parse().ok().filter(|n| (1..=1000).contains(n));
        let constraint = "Member must have value between 1 and 1000";
        most.ok_or_else(|| input::invalid("MaxItems", text, constraint))
    });
    let most: usize = most.transpose()?.unwrap_or(100);
    let offset = ask.query.get("Marker").map(|text| {
        let offset = text.strip_prefix("after-").and_then(|n| n.parse().ok());
        let constraint = "Member must be the marker of an answer";
        offset.ok_or_else(|| input::invalid("Marker", text, constraint))
    });
    let offset: usize = offset.transpose()?.unwrap_or(0);
    let within = aws.iam_arn(ask.call.caller.account(), "role/");
    ask.permit(aws, &within, &[])?;
    let all = aws.principals.keys();
    let own: Vec<&String> = all.filter(|arn| arn.starts_with(&within)).collect();
    let end = offset.saturating_add(most);
    let mut xml = Xml::new();
    xml.element("Roles", |xml| {
        for arn in own.iter().skip(offset).take(most) {
            xml.element("member", |xml| write(xml, aws, arn));
        }
    });
    xml.flag("IsTruncated", end < own.len());
    if end < own.len() {
        xml.text("Marker", format!("after-{end}"));
    }
    Ok(xml.finish())
}
