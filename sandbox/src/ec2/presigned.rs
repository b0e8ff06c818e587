//! The PresignedUrl of CopySnapshot: a `GET Action=CopySnapshot` to the source Region, signed by
//! the same caller, for the same copy.
//!
//! Source: model, PresignedUrl of CopySnapshot; aws-facts, EC2 copying. The URL is optional; a bad
//! URL fails the copy, not the call.

use std::time::Duration;

use super::Ask;
use crate::aws::{Aws, Partition};
use crate::wire::sigv4::{Claim, SKEW, decode_query};
use crate::wire::time;

/// The longest a presigned URL may live (SigV4 guide).
const LONGEST: u32 = 604_800;

/// Checks the URL. An error is the fault in words for a `StateMessage`.
pub(super) fn check(aws: &Aws, ask: Ask<'_>, url: &str, source_region: &str) -> Result<(), String> {
    let (host, query) = split(url).ok_or("it is not an absolute URL with path / and a query")?;
    check_host(ask, host, source_region)?;
    let query = decode_query(query);
    let get = |name: &str| {
        let found = query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    let claim = Claim::of_query(&query).ok_or("it carries no signature")?;
    if claim.region != source_region || claim.service != "ec2" {
        return Err(format!(
            "it is signed for {} in {}, not for ec2 in {source_region}",
            claim.service, claim.region
        ));
    }
    if claim.access_key != ask.call.access_key || claim.session_token != ask.call.session_token {
        return Err("it is signed by other credentials than the request".to_owned());
    }
    let secret = aws
        .credentials
        .get(&claim.access_key)
        .map(|c| c.secret.as_str());
    if !secret.is_some_and(|secret| claim.proves_url(secret, host, &query)) {
        return Err("its signature does not match".to_owned());
    }
    check_time(aws, &claim, get("X-Amz-Expires"))?;
    let asks = |name: &str, wanted: Option<&str>| match (get(name), wanted) {
        (given, wanted) if given == wanted => Ok(()),
        (given, wanted) => Err(format!("its {name} is {given:?}, the request's {wanted:?}")),
    };
    asks("Action", Some("CopySnapshot"))?;
    asks("DestinationRegion", Some(ask.region()))?;
    for name in ["SourceRegion", "SourceSnapshotId", "KmsKeyId"] {
        asks(name, ask.query.get(name))?;
    }
    let truth = |text: Option<&str>| text.map(str::to_ascii_lowercase);
    if truth(get("Encrypted")) != truth(ask.query.get("Encrypted")) {
        asks("Encrypted", ask.query.get("Encrypted"))?;
    }
    Ok(())
}

fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let (place, query) = rest.split_once('?')?;
    let host = place.strip_suffix('/').unwrap_or(place);
    (!host.is_empty() && !host.contains('/')).then_some((host, query))
}

/// Accepts AWS's own endpoints, and the address at which the sandbox was called.
fn check_host(ask: Ask<'_>, host: &str, source_region: &str) -> Result<(), String> {
    let suffix = Partition::of_region(source_region).suffix;
    let own = [
        format!("ec2.{source_region}.{suffix}"),
        format!("ec2.{source_region}.api.aws"),
        format!("ec2-fips.{source_region}.{suffix}"),
    ];
    let called = ask.call.host.as_str();
    let local = !called.contains("amazonaws.com") && !called.contains("api.aws");
    if own.iter().any(|name| name == host) || (local && host == called) {
        return Ok(());
    }
    Err(format!(
        "its endpoint {host} is not that of {source_region}"
    ))
}

fn check_time(aws: &Aws, claim: &Claim, expires: Option<&str>) -> Result<(), String> {
    let at = time::parse_basic(&claim.at).ok_or("its X-Amz-Date is not a time")?;
    let lives = expires.and_then(|text| text.parse::<u32>().ok());
    let lives = lives.filter(|lives| (1..=LONGEST).contains(lives));
    let lives = lives.ok_or("its X-Amz-Expires is not 1 to 604800 seconds")?;
    if at > aws.now + SKEW {
        return Err("it is not valid yet".to_owned());
    }
    if at + Duration::from_secs(lives.into()) < aws.now {
        return Err("it has expired".to_owned());
    }
    Ok(())
}
