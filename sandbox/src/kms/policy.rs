//! GetKeyPolicy and PutKeyPolicy: a policy is read and replaced whole, never across accounts.

use std::sync::Arc;

use serde_json::{Value, json};

use super::authorise::{self, Use};
use super::{Ask, keys};
use crate::aws::{Aws, LiveKey, Partition};
use crate::iam::{Kind, Policy};
use crate::refusals::{self, Refused};

/// The longest key policy, in bytes (aws-facts, KMS).
const LONGEST: usize = 32 * 1024;

fn own_key<'a>(aws: &'a mut Aws, ask: Ask<'_>, usage: &Use<'_>) -> Result<&'a LiveKey, Refused> {
    if let Some(name) = ask
        .input
        .text("PolicyName", 128)?
        .filter(|name| *name != "default")
    {
        return Err(refusals::POLICY_NAME.with(&[name]));
    }
    keys::own(aws, ask, usage)
}

pub(super) fn get(aws: &mut Aws, ask: Ask<'_>) -> Result<Value, Refused> {
    ask.input.only("GetKeyPolicy", &["KeyId", "PolicyName"])?;
    let key = own_key(aws, ask, &Use::direct("GetKeyPolicy"))?;
    Ok(json!({"Policy": key.policy_text, "PolicyName": "default"}))
}

pub(super) fn put(aws: &mut Aws, ask: Ask<'_>) -> Result<Value, Refused> {
    let names = [
        "KeyId",
        "PolicyName",
        "Policy",
        "BypassPolicyLockoutSafetyCheck",
    ];
    ask.input.only("PutKeyPolicy", &names)?;
    let text = ask.input.required("Policy", 131_072)?;
    let bypass = ask.input.flag("BypassPolicyLockoutSafetyCheck")?;
    let usage = Use {
        keys: vec![(
            "kms:bypasspolicylockoutsafetycheck",
            vec![bypass.to_string()],
        )],
        ..Use::direct("PutKeyPolicy")
    };
    let mut changed = own_key(aws, ask, &usage)?.clone();
    if changed.managed {
        return Err(refusals::MANAGED_KEY_POLICY.with(&[&changed.arn]));
    }
    changed.policy = Arc::new(parse(aws, ask, text)?);
    if !bypass {
        check_lockout(aws, ask, &changed)?;
    }
    aws.put_key_policy(&changed.arn, text, changed.policy);
    Ok(Value::Null)
}

/// Parses a policy that a call gives; all its principals must exist.
pub(super) fn parse(aws: &Aws, ask: Ask<'_>, text: &str) -> Result<Policy, Refused> {
    if text.len() > LONGEST {
        return Err(refusals::POLICY_TOO_LONG.with(&[&text.len().to_string()]));
    }
    let malformed =
        |error: crate::iam::PolicyError| refusals::POLICY_MALFORMED.with(&[&error.to_string()]);
    let policy = Policy::parse(text).map_err(malformed)?;
    policy.check(Kind::Resource).map_err(malformed)?;
    let named = policy.principals();
    let mut named = named.iter();
    if named.all(|principal| exists(aws, ask.region(), principal)) {
        return Ok(policy);
    }
    Err(refusals::POLICY_UNKNOWN_PRINCIPAL.with(&[]))
}

/// Refuses a policy under which the caller could not put another.
pub(super) fn check_lockout(aws: &Aws, ask: Ask<'_>, key: &LiveKey) -> Result<(), Refused> {
    let again = Use::direct("PutKeyPolicy");
    let allowed = authorise::decide(aws, &ask.call.caller, key, &again);
    allowed.map_err(|_| refusals::POLICY_LOCKOUT.with(&[]))
}

/// Returns whether the principal may be named in a policy or grant of a key in this Region.
/// Accounts, existing roles and users, and sessions of roles may be named. Principals of another
/// partition do not exist.
pub(crate) fn exists(aws: &Aws, region: &str, principal: &str) -> bool {
    let here = Partition::of_region(region);
    let is_account = |id: &str| {
        let known = aws.accounts.contains_key(id);
        known && aws.partition_of(id).name == here.name
    };
    if is_account(principal) {
        return true;
    }
    if !here.has(principal) {
        return false;
    }
    if let Some(named) = aws.principals.get(principal) {
        return named.known_to_kms_at <= aws.now;
    }
    let Some((account, name)) = split(principal) else {
        return false;
    };
    if name == "root" {
        return is_account(account);
    }
    let session = name
        .strip_prefix("assumed-role/")
        .and_then(|rest| rest.split_once('/'));
    session.is_some_and(|(role, _)| {
        let prefix = aws.iam_arn(account, "role/");
        let mut roles = aws.principals.iter();
        roles.any(|(arn, live)| {
            arn.starts_with(&prefix)
                && arn.rsplit('/').next() == Some(role)
                && live.known_to_kms_at <= aws.now
        })
    })
}

/// Returns account and name of an IAM or STS ARN.
fn split(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':').skip(2);
    let service = parts.next()?;
    let (account, name) = (parts.nth(1)?, parts.next()?);
    matches!(service, "iam" | "sts").then_some((account, name))
}
