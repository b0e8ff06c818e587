//! Checks that the endpoint, the credential scope and the operation name the same service and
//! Region.

use crate::aws::{Partition, is_region};
use crate::door::Service;
use crate::refusals::{self, Refused};
use crate::s3::Address;
use crate::wire::Incoming;
use crate::wire::sigv4::Claim;

pub(super) fn check(request: &Incoming, service: Service, claim: &Claim) -> Result<(), Refused> {
    if service == Service::S3 {
        return check_s3(request, claim);
    }
    let mut labels = request.host.split('.');
    let named = match (labels.next(), labels.next(), labels.next()) {
        (Some(_), Some("amazonaws"), _) => Some("us-east-1"),
        (Some(_), Some(region), Some("amazonaws" | "api")) => Some(region),
        _ => None,
    };
    // At an address such as 127.0.0.1, SDKs sign for the client's Region whatever the service.
    let named = match (service, named) {
        (Service::Organizations, Some(_)) => Some(Partition::of_host(&request.host).organizations),
        (Service::Iam, Some(_)) => Some(Partition::of_host(&request.host).iam),
        (_, named) => named,
    };
    let suffix = Partition::of_region(&claim.region).suffix;
    let host = request.host.as_str();
    let elsewhere = host.contains(".amazonaws.") && !host.ends_with(&format!(".{suffix}"));
    let here = named.is_none_or(|region| region == claim.region) && !elsewhere;
    if here && is_region(&claim.region) && claim.service == service.name() {
        return Ok(());
    }
    Err(match service {
        Service::Ec2 => refusals::AUTH_FAILURE.with(&[]),
        Service::Sts | Service::Iam | Service::CloudFormation | Service::AutoScaling => {
            refusals::WRONG_SCOPE.with(&[&request.host, &claim.region])
        }
        Service::Kms
        | Service::Lambda
        | Service::Organizations
        | Service::States
        | Service::Ssm => refusals::KMS_INVALID_SIGNATURE.with(&[]),
        Service::S3 => refusals::S3_MALFORMED_AUTHORIZATION.with(&[]),
    })
}

fn check_s3(request: &Incoming, claim: &Claim) -> Result<(), Refused> {
    if claim.service != "s3" {
        return Err(refusals::S3_WRONG_SERVICE.with(&[&claim.service]));
    }
    let suffix = Partition::of_region(&claim.region).suffix;
    let host = request.host.as_str();
    let elsewhere = host.contains(".amazonaws.") && !host.ends_with(suffix);
    if !is_region(&claim.region) || elsewhere {
        return Err(refusals::S3_MALFORMED_AUTHORIZATION.with(&[]));
    }
    let named = Address::of(request).and_then(|address| address.region);
    match named.filter(|region| *region != claim.region) {
        Some(expected) => Err(refusals::S3_WRONG_REGION
            .with(&[&claim.region, &expected])
            .detail("Region", &expected)
            .detail("x-amz-bucket-region", &expected)),
        None => Ok(()),
    }
}
