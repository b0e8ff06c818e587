//! Finding keys, DescribeKey, ListAliases, ListKeys and ListResourceTags.

use serde_json::{Value, json};

use super::Ask;
use super::authorise::{self, Use};
use crate::aws::{self, Aws, LiveKey, Partition, key_arn};
use crate::iam::Context;
use crate::refusals::{self, Refused};
use crate::rules::key_specs;
use crate::rules::key_states::UNUSABLE;
use crate::wire::time;

/// Returns the ARN of the key that `KeyId` names in this Region: by an ID or alias of the caller's
/// account, or by an ARN of any account.
pub(super) fn find(
    aws: &mut Aws,
    ask: Ask<'_>,
    given: &str,
    aliases: bool,
) -> Result<String, Refused> {
    let (account, name) = match given.strip_prefix("arn:") {
        Some(rest) => foreign(ask, given, rest)?,
        None => (ask.account(), given),
    };
    if name == "alias/aws/ebs" && account == ask.account() {
        aws::managed_key(aws, account, ask.region());
    }
    let arn = if name.starts_with("alias/") {
        if !aliases {
            return Err(refusals::KEY_INVALID_ID.with(&[given]));
        }
        let alias = (account.to_owned(), ask.region().to_owned(), name.to_owned());
        let not_found = || {
            let arn = aws::regional_arn("kms", ask.region(), account, name);
            refusals::ALIAS_NOT_FOUND.with(&[&arn])
        };
        aws.aliases.get(&alias).cloned().ok_or_else(not_found)?
    } else {
        let id = name.strip_prefix("key/").unwrap_or(name);
        key_arn(ask.region(), account, id)
    };
    get(aws, &arn)?;
    Ok(arn)
}

pub(super) fn get<'a>(aws: &'a Aws, arn: &str) -> Result<&'a LiveKey, Refused> {
    aws.keys
        .get(arn)
        .ok_or_else(|| refusals::KEY_NOT_FOUND.with(&[arn]))
}

/// Returns the key that `KeyId` names, if it belongs to the caller's account and the caller may use
/// it in this way.
pub(super) fn own<'a>(
    aws: &'a mut Aws,
    ask: Ask<'_>,
    usage: &Use<'_>,
) -> Result<&'a LiveKey, Refused> {
    let arn = find(aws, ask, ask.input.required("KeyId", 2048)?, false)?;
    let key = get(aws, &arn)?;
    if key.account != ask.account() {
        let action = format!("kms:{}", usage.operation);
        let caller = &ask.call.caller.principal.arn;
        return Err(refusals::KEY_FOREIGN.with(&[caller, &action, &key.arn]));
    }
    authorise::check(aws, &ask.call.caller, key, usage)?;
    Ok(key)
}

/// Returns account and name of an ARN; a key of another Region is refused.
fn foreign<'a>(ask: Ask<'_>, given: &'a str, rest: &'a str) -> Result<(&'a str, &'a str), Refused> {
    let here = Partition::of_region(ask.region()).name;
    let parts: Vec<&str> = rest.splitn(5, ':').collect();
    match parts[..] {
        [own, "kms", region, account, name] if own == here && region == ask.region() => {
            Ok((account, name))
        }
        [own, "kms", region, _, _] if own == here => Err(refusals::KEY_INVALID_ARN.with(&[region])),
        _ => Err(refusals::KEY_INVALID_ARN.with(&[given])),
    }
}

/// Refuses a key in every state but `Enabled`.
pub(super) fn enabled(key: &LiveKey) -> Result<(), Refused> {
    match UNUSABLE.iter().find(|(state, _)| *state == key.state) {
        Some(("Disabled", _)) => Err(refusals::KEY_DISABLED.with(&[&key.arn])),
        Some((_, words)) => Err(refusals::KEY_INVALID_STATE.with(&[&key.arn, words])),
        None => Ok(()),
    }
}

pub(super) fn describe(aws: &mut Aws, ask: Ask<'_>) -> Result<Value, Refused> {
    ask.input.only("DescribeKey", &["KeyId", "GrantTokens"])?;
    let tokens = ask.input.texts("GrantTokens")?;
    let arn = find(aws, ask, ask.input.required("KeyId", 2048)?, true)?;
    let key = get(aws, &arn)?;
    let usage = Use {
        grant_tokens: &tokens,
        ..Use::direct("DescribeKey")
    };
    authorise::check(aws, &ask.call.caller, key, &usage)?;
    Ok(json!({"KeyMetadata": metadata(aws, key)}))
}

/// Returns the metadata of a key as DescribeKey and CreateKey answer with them.
pub(super) fn metadata(aws: &Aws, key: &LiveKey) -> Value {
    let mut metadata = json!({
        "AWSAccountId": key.account,
        "KeyId": key.id,
        "Arn": key.arn,
        "CreationDate": time::epoch(key.created),
        "Enabled": key.state == "Enabled",
        "Description": key.description,
        "KeyUsage": key.usage,
        "KeyState": key.state,
        "Origin": "AWS_KMS",
        "KeyManager": if key.managed { "AWS" } else { "CUSTOMER" },
        "CustomerMasterKeySpec": key.spec,
        "KeySpec": key.spec,
        "MultiRegion": key.is_multi_region(),
    });
    for (member, algorithms) in key_specs::algorithms(&key.spec, &key.usage) {
        metadata[member] = algorithms;
    }
    if key.is_multi_region() {
        metadata["MultiRegionConfiguration"] = multi_region(aws, key);
    }
    if let Some(at) = key.deleted_at {
        metadata["DeletionDate"] = json!(time::epoch(at));
    }
    metadata
}

/// Returns the primary and its replicas (model, MultiRegionConfiguration).
fn multi_region(aws: &Aws, key: &LiveKey) -> Value {
    let all = aws.keys.values();
    let same = all.filter(|other| other.account == key.account && other.id == key.id);
    let shown = |other: &LiveKey| json!({"Arn": other.arn, "Region": other.region});
    let (primary, replicas): (Vec<_>, Vec<_>) =
        same.partition(|other| other.region == key.primary_region);
    let is_primary = key.region == key.primary_region;
    json!({
        "MultiRegionKeyType": if is_primary { "PRIMARY" } else { "REPLICA" },
        "PrimaryKey": primary.first().map(|primary| shown(primary)),
        "ReplicaKeys": replicas.into_iter().map(shown).collect::<Vec<_>>(),
    })
}

pub(super) fn list_aliases(aws: &mut Aws, ask: Ask<'_>) -> Result<Value, Refused> {
    ask.input
        .only("ListAliases", &["KeyId", "Limit", "Marker"])?;
    let limit = ask.input.number("Limit", 1000)?.unwrap_or(50);
    let offset = marker(ask)?;
    let (account, region) = (ask.account(), ask.region());
    ask.permit(aws, "kms:ListAliases", "*", Context::new())?;
    let of_key = match ask.input.text("KeyId", 2048)? {
        Some(given) => Some(find(aws, ask, given, false)?),
        None => None,
    };
    aws::managed_key(aws, account, region);
    let aliases = aws.aliases.iter().filter(|((owner, at, _), arn)| {
        owner == account && at == region && of_key.as_ref().is_none_or(|wanted| wanted == *arn)
    });
    let all: Vec<Value> = aliases
        .map(|((_, _, name), arn)| {
            json!({
                "AliasName": name,
                "AliasArn": aws::regional_arn("kms", region, account, name),
                "TargetKeyId": arn.rsplit('/').next(),
            })
        })
        .collect();
    Ok(page("Aliases", all, offset, limit))
}

/// Lists all keys of the account in the Region, those of AWS included.
pub(super) fn list(aws: &Aws, ask: Ask<'_>) -> Result<Value, Refused> {
    ask.input.only("ListKeys", &["Limit", "Marker"])?;
    let limit = ask.input.number("Limit", 1000)?.unwrap_or(100);
    let offset = marker(ask)?;
    ask.permit(aws, "kms:ListKeys", "*", Context::new())?;
    let all = aws.keys.values();
    let own = all.filter(|key| key.account == ask.account() && key.region == ask.region());
    let shown = own.map(|key| json!({"KeyId": key.id, "KeyArn": key.arn}));
    Ok(page("Keys", shown.collect(), offset, limit))
}

pub(super) fn list_tags(aws: &mut Aws, ask: Ask<'_>) -> Result<Value, Refused> {
    let names = ["KeyId", "Limit", "Marker"];
    ask.input.only("ListResourceTags", &names)?;
    let limit = ask.input.number("Limit", 50)?.unwrap_or(50);
    let offset = marker(ask)?;
    let key = own(aws, ask, &Use::direct("ListResourceTags"))?;
    let tags = key.tags.iter();
    let shown = tags.map(|(key, value)| json!({"TagKey": key, "TagValue": value}));
    Ok(page("Tags", shown.collect(), offset, limit))
}

pub(super) fn marker(ask: Ask<'_>) -> Result<usize, Refused> {
    let Some(marker) = ask.input.text("Marker", 1024)? else {
        return Ok(0);
    };
    let offset = marker.strip_prefix("after-").and_then(|n| n.parse().ok());
    offset.ok_or_else(|| refusals::MARKER_INVALID.with(&[marker]))
}

pub(super) fn page(name: &str, all: Vec<Value>, offset: usize, limit: usize) -> Value {
    let end = offset.saturating_add(limit);
    let more = end < all.len();
    let items: Vec<Value> = all.into_iter().skip(offset).take(limit).collect();
    let mut answer = json!({name: items, "Truncated": more});
    if more {
        answer["NextMarker"] = json!(format!("after-{end}"));
    }
    answer
}
