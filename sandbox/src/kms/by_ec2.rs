//! The uses of keys by EC2 while it copies a snapshot or launches an instance for a caller. Every
//! call carries the caller's permissions and `kms:ViaService`.
//!
//! Source: EBS guide, encryption permissions; aws-facts, KMS. The Region of `ViaService` is the
//! key's own, unless the world says that a copy between Regions names its destination (unproved).

use super::authorise::{self, Use};
use crate::aws::{Aws, Caller, LiveKey, Partition, key_arn};
use crate::model::Snapshot;

/// The operations that EC2 uses. The guide lists the same for the key of the source and the key of
/// the result, for copies and for volumes.
const USING: &[&str] = &[
    "DescribeKey",
    "CreateGrant",
    "Decrypt",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
];

/// Returns whether a copy or volume made for this caller in the Region can read the snapshot.
pub(crate) fn may_read(
    aws: &Aws,
    caller: &Caller,
    region: &str,
    key: &str,
    source: &Snapshot,
) -> bool {
    let via = (!aws.rules.facts.via_source_region).then_some(region);
    let id = source.encryption_context_id.as_deref();
    may(aws, caller, key, via, id)
}

/// Returns whether a copy or volume made for this caller can be encrypted under the key.
pub(crate) fn may_write(aws: &Aws, caller: &Caller, key: &str) -> bool {
    may(aws, caller, key, None, None)
}

/// Decides on all uses of a key. `via` is the Region that `kms:ViaService` names in place of the
/// key's own.
fn may(aws: &Aws, caller: &Caller, key: &str, via: Option<&str>, ebs_id: Option<&str>) -> bool {
    let usable = |key: &&LiveKey| key.state == "Enabled" && key.is_symmetric();
    let Some(key) = aws.keys.get(key).filter(usable) else {
        return false;
    };
    let grants = authorise::granted_to(key, caller);
    USING.iter().all(|operation| {
        let usage = Use {
            via_ec2: Some(via.unwrap_or(&key.region)),
            ebs_id,
            ..Use::direct(operation)
        };
        authorise::decide_by(aws, caller, key, &usage, &grants).is_ok()
    })
}

/// Finds a key by ID, ARN, alias or alias ARN, for use in this Region.
pub(crate) fn find(aws: &mut Aws, caller: &Caller, region: &str, key: &str) -> Option<String> {
    if key == "alias/aws/ebs" {
        return Some(crate::aws::managed_key(aws, caller.account(), region));
    }
    let arn = if key.starts_with("alias/") {
        let alias = (
            caller.account().to_owned(),
            region.to_owned(),
            key.to_owned(),
        );
        aws.aliases.get(&alias)?.clone()
    } else if key.starts_with("arn:") {
        let own = format!("arn:{}:kms:", Partition::of_region(region).name);
        let rest = key.strip_prefix(&own)?;
        let mut parts = rest.splitn(3, ':');
        let (at, account, name) = (parts.next()?, parts.next()?, parts.next()?);
        if at != region {
            return None;
        }
        let alias = (account.to_owned(), region.to_owned(), name.to_owned());
        aws.aliases
            .get(&alias)
            .cloned()
            .unwrap_or_else(|| key.to_owned())
    } else {
        key_arn(region, caller.account(), key)
    };
    aws.keys.contains_key(&arn).then_some(arn)
}
