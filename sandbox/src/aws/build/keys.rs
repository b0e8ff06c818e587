//! Keys, their aliases, and the key that AWS makes itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{fault, known_region, policy};
use crate::aws::ids::uuid_of;
use crate::aws::{Aws, LiveKey, Partition, regional_arn};
use crate::iam::{Kind, Policy};
use crate::rules::key_specs;
use crate::rules::key_states::UNUSABLE;
use crate::world::{Account, Key, WorldError};

pub(in crate::aws) fn add_key(
    aws: &mut Aws,
    account: &str,
    key: &Key,
    at: &str,
) -> Result<(), WorldError> {
    known_region(aws.partition_of(account), &key.region, at)?;
    if key.id.is_empty()
        || !key
            .id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    {
        return fault(at, "id", format!("{:?} is not a key ID", key.id));
    }
    let state = key.state.clone().unwrap_or_else(|| "Enabled".to_owned());
    if state != "Enabled" && !UNUSABLE.iter().any(|(known, _)| *known == state) {
        let known: Vec<&str> = UNUSABLE.iter().map(|(known, _)| *known).collect();
        let why = format!(
            "{state:?} is neither Enabled nor one of {}",
            known.join(", ")
        );
        return fault(at, "state", why);
    }
    let (spec, usage) = spec_and_usage(key, at)?;
    let default = || default_key_policy(&aws.iam_arn(account, "root")).to_string();
    let policy_text = key.policy.clone().unwrap_or_else(default);
    // The first declared key of an ID is the primary.
    let mut known = aws.keys.values();
    let first = known.find(|known| known.account == account && known.id == key.id);
    let primary_region = first.map_or_else(|| key.region.clone(), |it| it.primary_region.clone());
    let live = LiveKey {
        arn: key_arn(&key.region, account, &key.id),
        primary_region,
        account: account.to_owned(),
        region: key.region.clone(),
        id: key.id.clone(),
        description: key.description.clone(),
        state,
        spec,
        usage,
        managed: false,
        created: aws.now,
        deleted_at: None,
        tags: BTreeMap::new(),
        policy: policy(&policy_text, Kind::Resource, &format!("{at}.policy"))?,
        policy_text,
        grants: Vec::new(),
        revoked: Vec::new(),
    };
    add_aliases(aws, account, key, &live.arn, at)?;
    if aws.keys.insert(live.arn.clone(), live).is_some() {
        return fault(at, "id", format!("key {} is declared twice", key.id));
    }
    Ok(())
}

fn add_aliases(
    aws: &mut Aws,
    account: &str,
    key: &Key,
    arn: &str,
    at: &str,
) -> Result<(), WorldError> {
    for alias in &key.aliases {
        if !alias.starts_with("alias/") || alias.starts_with("alias/aws/") {
            return fault(
                at,
                "aliases",
                format!("{alias:?} is not alias/… of a customer key"),
            );
        }
        let name = (account.to_owned(), key.region.clone(), alias.clone());
        if aws.aliases.insert(name, arn.to_owned()).is_some() {
            return fault(at, "aliases", format!("{alias} is declared twice"));
        }
    }
    Ok(())
}

fn spec_and_usage(key: &Key, at: &str) -> Result<(String, String), WorldError> {
    let spec = key.spec.as_deref().unwrap_or(key_specs::SYMMETRIC);
    let usages = key_specs::usages(spec);
    let Some(first) = usages.first() else {
        return fault(
            at,
            "spec",
            format!("{spec:?} is not a key spec that the sandbox models"),
        );
    };
    let usage = key.usage.as_deref().unwrap_or(first);
    if !usages.contains(&usage) {
        let why = format!("{usage:?} is not one of {}", usages.join(", "));
        return fault(at, "usage", why);
    }
    Ok((spec.to_owned(), usage.to_owned()))
}

pub(super) fn add_default_keys(
    aws: &mut Aws,
    account: &Account,
    at: &str,
) -> Result<(), WorldError> {
    for (region, key) in &account.ebs_default_keys {
        known_region(aws.partition_of(&account.id), region, at)?;
        let arn = find_key(aws, &account.id, region, key, at)?;
        if let Some(live) = aws.accounts.get_mut(&account.id) {
            live.ebs_default_keys.insert(region.clone(), arn);
        }
    }
    Ok(())
}

/// Returns the ARN of `aws/ebs` in this account and Region, made at first use, as AWS does.
pub(crate) fn managed_key(aws: &mut Aws, account: &str, region: &str) -> String {
    let id = uuid_of(&format!("aws/ebs {account} {region}"));
    let arn = key_arn(region, account, &id);
    let text = managed_key_policy(account, region, &aws.iam_arn(account, "root")).to_string();
    if let (false, Ok(policy)) = (aws.keys.contains_key(&arn), Policy::parse(&text)) {
        let live = LiveKey {
            arn: arn.clone(),
            account: account.to_owned(),
            region: region.to_owned(),
            id,
            primary_region: region.to_owned(),
            description: "Default key that protects my EBS volumes when no other key is defined"
                .to_owned(),
            state: "Enabled".to_owned(),
            spec: key_specs::SYMMETRIC.to_owned(),
            usage: key_specs::ENCRYPT_DECRYPT.to_owned(),
            managed: true,
            created: aws.now,
            deleted_at: None,
            tags: BTreeMap::new(),
            policy_text: text,
            policy: Arc::new(policy),
            grants: Vec::new(),
            revoked: Vec::new(),
        };
        aws.keys.insert(arn.clone(), live);
        let alias = (
            account.to_owned(),
            region.to_owned(),
            "alias/aws/ebs".to_owned(),
        );
        aws.aliases.insert(alias, arn.clone());
    }
    arn
}

pub(crate) fn key_arn(region: &str, account: &str, id: &str) -> String {
    regional_arn("kms", region, account, &format!("key/{id}"))
}

/// Returns the policy that lets the account's IAM policies decide (KMS guide, default key policy).
fn default_key_policy(root: &str) -> Value {
    json!({"Version": "2012-10-17", "Id": "key-default-1", "Statement": [{
        "Sid": "Enable IAM User Permissions", "Effect": "Allow",
        "Principal": {"AWS": root},
        "Action": "kms:*", "Resource": "*",
    }]})
}

/// Returns the policy of `aws/ebs`: the account may use the key, only through EC2 (KMS guide, AWS
/// managed keys).
fn managed_key_policy(account: &str, region: &str, root: &str) -> Value {
    let suffix = Partition::of_region(region).suffix;
    json!({"Version": "2012-10-17", "Id": "auto-ebs-2", "Statement": [
        {
            "Sid": "Allow access through EBS for all principals in the account that are \
                    authorized to use EBS",
            "Effect": "Allow", "Principal": {"AWS": "*"},
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*",
                       "kms:CreateGrant", "kms:DescribeKey"],
            "Resource": "*",
            "Condition": {"StringEquals": {
                "kms:CallerAccount": account, "kms:ViaService": format!("ec2.{region}.{suffix}"),
            }},
        },
        {
            "Sid": "Allow direct access to key metadata to the account",
            "Effect": "Allow", "Principal": {"AWS": root},
            "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
            "Resource": "*",
        },
    ]})
}

/// Returns the ARN of a key named by ARN, ID or alias; `alias/aws/ebs` always exists.
pub(super) fn find_key(
    aws: &mut Aws,
    account: &str,
    region: &str,
    key: &str,
    at: &str,
) -> Result<String, WorldError> {
    if key == "alias/aws/ebs" {
        return Ok(managed_key(aws, account, region));
    }
    let alias = (account.to_owned(), region.to_owned(), key.to_owned());
    let by_alias = aws.aliases.get(&alias).cloned();
    let arn = by_alias.unwrap_or_else(|| {
        if key.starts_with("arn:") {
            key.to_owned()
        } else {
            key_arn(region, account, key)
        }
    });
    // A foreign or vanished key is a world worth testing; a misspelt name is not.
    if key.starts_with("arn:") || aws.keys.contains_key(&arn) {
        return Ok(arn);
    }
    Err(WorldError::new(
        at,
        format!("{key:?} is no key of account {account} in {region}"),
    ))
}
