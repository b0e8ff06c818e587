//! Buckets, their policies and their first objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{fault, known_region, policy};
use crate::aws::{Aws, LiveBucket, LiveObject};
use crate::iam::{Elements, Kind, Policy};
use crate::rules::buckets::{LONGEST_KEY, is_bucket_name};
use crate::world::{Bucket, WorldError};

pub(super) fn add_bucket(
    aws: &mut Aws,
    account: &str,
    bucket: &Bucket,
    at: &str,
) -> Result<(), WorldError> {
    known_region(aws.partition_of(account), &bucket.region, at)?;
    let name = &bucket.name;
    if !is_bucket_name(name) {
        let why = format!("{name:?} is not 3 to 63 lower-case letters, digits, hyphens and dots");
        return fault(at, "name", why);
    }
    let mut live = LiveBucket {
        account: account.to_owned(),
        region: bucket.region.clone(),
        policy_text: bucket.policy.clone(),
        policy: None,
        objects: BTreeMap::new(),
    };
    if let Some(json) = &bucket.policy {
        live.policy = Some(bucket_policy(
            json,
            &live.arn(name),
            &format!("{at}.policy"),
        )?);
    }
    for (key, content) in &bucket.objects {
        if key.is_empty() || key.len() > LONGEST_KEY {
            let why = format!("{key:?} is not 1 to {LONGEST_KEY} bytes long");
            return fault(at, "objects", why);
        }
        let object = LiveObject::new(Bytes::from(content.clone()), aws.now);
        live.objects.insert(key.clone(), object);
    }
    if aws.s3_buckets.insert(name.clone(), live).is_some() {
        return fault(at, "name", format!("bucket {name} is declared twice"));
    }
    Ok(())
}

/// Parses a policy of this bucket. S3 refuses a policy that names the resources of another bucket
/// (S3 guide, bucket policies).
pub(in crate::aws) fn bucket_policy(
    json: &str,
    bucket_arn: &str,
    at: &str,
) -> Result<Arc<Policy>, WorldError> {
    let parsed = policy(json, Kind::Resource, at)?;
    for statement in parsed.statements() {
        let listed = statement.resources.iter().flat_map(Elements::listed);
        let mut named = listed.map(ToString::to_string);
        let foreign = named.find(|resource| {
            let rest = resource.strip_prefix(bucket_arn);
            resource != "*" && !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if let Some(resource) = foreign {
            let why = format!("resource {resource:?} is neither {bucket_arn} nor in it");
            return Err(WorldError::new(at, why));
        }
    }
    Ok(parsed)
}
