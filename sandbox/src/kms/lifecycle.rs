//! CreateKey and ScheduleKeyDeletion. A new key is symmetric, and its material is KMS's own.
//!
//! Source: model; KMS guide, permissions for tagging and for the default key policy.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::authorise::Use;
use super::{Ask, keys, policy};
use crate::aws::{Aws, key_arn};
use crate::iam::Context;
use crate::refusals::{self, Refused};
use crate::rules::key_specs;
use crate::wire::time;

type Tags = BTreeMap<String, String>;

const MOST_TAGS: usize = 50;
const DAY: Duration = Duration::from_hours(24);

pub(super) fn create(aws: &mut Aws, ask: Ask<'_>) -> Result<Value, Refused> {
    let names = [
        "Policy",
        "Description",
        "Tags",
        "BypassPolicyLockoutSafetyCheck",
    ];
    ask.input.only("CreateKey", &names)?;
    let description = ask.input.text_between("Description", 0, 8192)?;
    let given = ask.input.text("Policy", 131_072)?;
    let bypass = ask.input.flag("BypassPolicyLockoutSafetyCheck")?;
    let tags = tags(ask)?;
    let context = context(&tags, bypass);
    ask.permit(aws, "kms:CreateKey", "*", context.clone())?;
    if !tags.is_empty() {
        let any = key_arn(ask.region(), ask.account(), "*");
        ask.permit(aws, "kms:TagResource", &any, context)?;
    }
    if let Some(text) = given {
        policy::parse(aws, ask, text)?;
    }
    let (account, region) = (ask.account(), ask.region());
    let description = description.unwrap_or_default();
    let arn = aws.create_key(account, region, description, given, tags);
    // The default policy leaves its caller in.
    if given.is_some() && !bypass {
        let checked = policy::check_lockout(aws, ask, keys::get(aws, &arn)?);
        if checked.is_err() {
            aws.keys.remove(&arn);
        }
        checked?;
    }
    Ok(json!({"KeyMetadata": keys::metadata(aws, keys::get(aws, &arn)?)}))
}

fn context(tags: &Tags, bypass: bool) -> Context {
    let mut context = Context::new();
    let mut put = |key: &str, values: Vec<String>| context.insert(key.to_owned(), values);
    put(
        "kms:bypasspolicylockoutsafetycheck",
        vec![bypass.to_string()],
    );
    put("kms:keyorigin", vec!["AWS_KMS".to_owned()]);
    put("kms:keyspec", vec![key_specs::SYMMETRIC.to_owned()]);
    put("kms:keyusage", vec![key_specs::ENCRYPT_DECRYPT.to_owned()]);
    put("kms:multiregion", vec!["false".to_owned()]);
    for (key, value) in tags {
        let name = format!("aws:requesttag/{}", key.to_lowercase());
        put(&name, vec![value.clone()]);
    }
    if !tags.is_empty() {
        put("aws:tagkeys", tags.keys().cloned().collect());
    }
    context
}

fn tags(ask: Ask<'_>) -> Result<Tags, Refused> {
    let mut tags = Tags::new();
    for tag in ask.input.list("Tags")? {
        tag.only("CreateKey.Tags", &["TagKey", "TagValue"])?;
        let key = tag.required("TagKey", 128)?;
        let value = tag.text_between("TagValue", 0, 256)?.unwrap_or_default();
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(refusals::KEY_TAGS.with(&["tag keys that begin with aws: are reserved"]));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(refusals::KEY_TAGS.with(&[&format!("the tag key {key} is given twice")]));
        }
    }
    if tags.len() > MOST_TAGS {
        return Err(refusals::KEY_TAGS.with(&["a key has at most 50 tags"]));
    }
    Ok(tags)
}

/// Schedules the deletion of a key, which cannot be used from now on.
pub(super) fn schedule_deletion(aws: &mut Aws, ask: Ask<'_>) -> Result<Value, Refused> {
    let names = ["KeyId", "PendingWindowInDays"];
    ask.input.only("ScheduleKeyDeletion", &names)?;
    let days = ask.input.number_between("PendingWindowInDays", 7, 30)?;
    let days = u32::try_from(days.unwrap_or(30)).unwrap_or(30);
    let usage = Use {
        keys: vec![(
            "kms:schedulekeydeletionpendingwindowindays",
            vec![days.to_string()],
        )],
        ..Use::direct("ScheduleKeyDeletion")
    };
    let key = keys::own(aws, ask, &usage)?;
    if key.state == "PendingDeletion" {
        return Err(refusals::KEY_INVALID_STATE.with(&[&key.arn, "pending deletion"]));
    }
    let arn = key.arn.clone();
    let at = aws.now + DAY * days;
    aws.schedule_key_deletion(&arn, at);
    Ok(json!({
        "KeyId": arn,
        "DeletionDate": time::epoch(at),
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": days,
    }))
}
