//! Token buckets per account, Region and action, if the world throttles.
//!
//! Figures: `aws-facts`, EC2 throttling (bucket size / refill per second), KMS request quotas;
//! RunInstances: EC2 developer guide, request throttling.

use super::Service;
use super::recognise::Asked;
use crate::aws::Aws;
use crate::identity::Admitted;
use crate::refusals::{self, Refused};

pub(super) fn take(aws: &mut Aws, asked: &Asked, admitted: &Admitted) -> Result<(), Refused> {
    if !aws.rules.limits.throttling {
        return Ok(());
    }
    let Some((size, refill)) = bucket(asked) else {
        return Ok(());
    };
    let key = (
        admitted.caller.account().to_owned(),
        admitted.region.clone(),
        asked.operation.clone(),
    );
    let (now, speed) = (aws.now, aws.rules.speed);
    let (left, since) = aws.buckets.entry(key).or_insert((size, now));
    let gone = now.duration_since(*since).unwrap_or_default().as_secs_f64() * speed;
    *left = (*left + gone * refill).min(size);
    *since = now;
    if *left < 1.0 {
        return Err(match asked.service {
            Service::Kms => refusals::KMS_THROTTLING.with(&[]),
            _ => refusals::REQUEST_LIMIT_EXCEEDED.with(&[]),
        });
    }
    *left -= 1.0;
    Ok(())
}

fn bucket(asked: &Asked) -> Option<(f64, f64)> {
    let narrowed = || {
        let mut names = asked.params.keys();
        names.any(|name| {
            ["Filter", "SnapshotId", "MaxResults"]
                .iter()
                .any(|p| name.starts_with(p))
        })
    };
    match (asked.service, asked.operation.as_str()) {
        (Service::Ec2, "CopyImage") => Some((100.0, 1.0)),
        (Service::Ec2, "CopySnapshot" | "RegisterImage") => Some((50.0, 5.0)),
        (Service::Ec2, "RunInstances") => Some((5.0, 2.0)),
        (Service::Ec2, "CreateTags" | "DeleteTags") => Some((100.0, 10.0)),
        (Service::Ec2, "DescribeSnapshots") if !narrowed() => Some((50.0, 10.0)),
        (Service::Ec2, name) if name.starts_with("Describe") => Some((100.0, 20.0)),
        (Service::Ec2, _) => Some((100.0, 5.0)),
        (Service::Kms, "CreateGrant" | "RetireGrant" | "RevokeGrant") => Some((50.0, 50.0)),
        _ => None,
    }
}
