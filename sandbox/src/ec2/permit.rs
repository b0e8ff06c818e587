//! Checks that the caller's policies allow an EC2 action on a resource, with the condition keys of
//! EC2.
//!
//! Source: Service Authorization Reference, Amazon EC2. EC2 has no resource policies.

use std::collections::BTreeMap;

use super::Ask;
use crate::aws::{Aws, regional_arn};
use crate::iam::Context;
use crate::identity::{self, Verdict};
use crate::refusals::{self, Refused};

/// The values of the condition keys of a request and its resource.
#[derive(Default)]
pub(super) struct Facts<'a> {
    pub resource_tags: Option<&'a BTreeMap<String, String>>,
    pub request_tags: Option<&'a BTreeMap<String, String>>,
    pub owner: Option<&'a str>,
    /// Further keys, in lower case.
    pub keys: Vec<(&'static str, Vec<String>)>,
}

pub(super) fn snapshot_arn(region: &str, id: &str) -> String {
    regional_arn("ec2", region, "", &format!("snapshot/{id}"))
}

/// Returns the ARN of a volume, which has an account, unlike that of an image or a snapshot.
pub(super) fn volume_arn(ask: Ask<'_>, id: &str) -> String {
    regional_arn("ec2", ask.region(), ask.account(), &format!("volume/{id}"))
}

pub(super) fn image_arn(region: &str, id: &str) -> String {
    regional_arn("ec2", region, "", &format!("image/{id}"))
}

/// Checks the permission for the action of this call.
pub(super) fn action(
    aws: &Aws,
    ask: Ask<'_>,
    resource: &str,
    facts: &Facts<'_>,
) -> Result<(), Refused> {
    other_action(aws, ask, &ask.action(), resource, facts)
}

/// Checks the permission to tag a new resource: `ec2:CreateTags` on it, with `ec2:CreateAction`.
pub(super) fn tagging(
    aws: &Aws,
    ask: Ask<'_>,
    resource: &str,
    tags: &BTreeMap<String, String>,
) -> Result<(), Refused> {
    if tags.is_empty() {
        return Ok(());
    }
    let facts = Facts {
        request_tags: Some(tags),
        keys: vec![("ec2:createaction", vec![ask.operation.to_owned()])],
        ..Facts::default()
    };
    other_action(aws, ask, "ec2:CreateTags", resource, &facts)
}

pub(super) fn other_action(
    aws: &Aws,
    ask: Ask<'_>,
    action: &str,
    resource: &str,
    facts: &Facts<'_>,
) -> Result<(), Refused> {
    let caller = &ask.call.caller;
    let verdict = identity::decide(aws, caller, action, resource, &context(ask, facts));
    if verdict == Verdict::Allowed {
        return Ok(());
    }
    let reason = verdict.reason(action);
    let arn = &caller.principal.arn;
    // Only a caller with sts:DecodeAuthorizationMessage can decode the message.
    let encoded = hex::encode(format!("{arn} {action} {resource}"));
    Err(refusals::UNAUTHORIZED_OPERATION.with(&[arn, action, resource, &reason, &encoded]))
}

fn context(ask: Ask<'_>, facts: &Facts<'_>) -> Context {
    let mut context = Context::new();
    let mut put = |key: String, values: Vec<String>| context.insert(key.to_lowercase(), values);
    for key in ["aws:requestedregion", "ec2:region"] {
        put(key.to_owned(), vec![ask.region().to_owned()]);
    }
    for (key, value) in facts.resource_tags.into_iter().flatten() {
        put(format!("aws:resourcetag/{key}"), vec![value.clone()]);
        put(format!("ec2:resourcetag/{key}"), vec![value.clone()]);
    }
    for (key, value) in facts.request_tags.into_iter().flatten() {
        put(format!("aws:requesttag/{key}"), vec![value.clone()]);
    }
    if let Some(tags) = facts.request_tags {
        put("aws:tagkeys".to_owned(), tags.keys().cloned().collect());
    }
    if let Some(owner) = facts.owner {
        put("ec2:owner".to_owned(), vec![owner.to_owned()]);
    }
    for (key, values) in &facts.keys {
        put((*key).to_owned(), values.clone());
    }
    context
}
