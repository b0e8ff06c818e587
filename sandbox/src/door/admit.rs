//! Admits a call: its signature must prove the caller, whose account and credentials must be valid
//! in the Region.

mod scope;

use std::time::Duration;

use super::Service;
use crate::aws::{Aws, Credential, Partition, is_opt_in};
use crate::identity::Admitted;
use crate::refusals::{self, Refused};
use crate::wire::sigv4::{Claim, SKEW, Unreadable, within_skew};
use crate::wire::{Incoming, time};

pub(super) fn admit(
    aws: &Aws,
    request: &Incoming,
    service: Service,
    claim: &Result<Claim, Unreadable>,
) -> Result<Admitted, Refused> {
    let claim = claim
        .as_ref()
        .map_err(|error| unreadable(service, request, *error))?;
    scope::check(request, service, claim)?;
    let credential = proved(aws, request, service, claim)?;
    in_force(aws, service, claim, credential)?;
    in_region(aws, service, claim, credential)?;
    let partition = aws.partition_of(credential.caller.account());
    let region = match service {
        Service::Organizations => partition.organizations,
        Service::Iam => partition.iam,
        _ => &claim.region,
    };
    Ok(Admitted {
        caller: credential.caller.clone(),
        region: region.to_owned(),
        temporary: credential.caller.principal.role_arn.is_some(),
        access_key: claim.access_key.clone(),
        session_token: claim.session_token.clone(),
        host: request.host.clone(),
        global: is_global_endpoint(&request.host),
    })
}

fn unreadable(service: Service, request: &Incoming, error: Unreadable) -> Refused {
    match (error, service) {
        (Unreadable::Absent, Service::S3) => unsigned(request),
        (Unreadable::Malformed, Service::S3) => refusals::S3_MALFORMED_AUTHORIZATION.with(&[]),
        (Unreadable::Absent, _) => refusals::MISSING_AUTHENTICATION_TOKEN.with(&[]),
        (Unreadable::Malformed, _) => refusals::INCOMPLETE_SIGNATURE.with(&[]),
    }
}

/// Returns the credential that signed the request.
fn proved<'a>(
    aws: &'a Aws,
    request: &Incoming,
    service: Service,
    claim: &Claim,
) -> Result<&'a Credential, Refused> {
    let credential = aws.credentials.get(&claim.access_key);
    let credential = credential.ok_or_else(|| unknown_key(service))?;
    if credential.session_token != claim.session_token {
        return Err(match service {
            Service::S3 => refusals::S3_INVALID_TOKEN.with(&[]),
            _ => unknown_key(service),
        });
    }
    if !claim.proves_request(&credential.secret, request) {
        return Err(bad_signature(service));
    }
    let at = time::parse_basic(&claim.at).ok_or_else(|| bad_signature(service))?;
    if !within_skew(at, aws.now, skew(service)) {
        return Err(skewed(service, &claim.at, aws));
    }
    Ok(credential)
}

/// Refuses a credential that has expired, whose principal is gone or whose account is closed.
fn in_force(
    aws: &Aws,
    service: Service,
    claim: &Claim,
    credential: &Credential,
) -> Result<(), Refused> {
    if credential.expires.is_some_and(|expires| expires <= aws.now) {
        return Err(match service {
            Service::Ec2 => refusals::EC2_REQUEST_EXPIRED.with(&[]),
            Service::Sts | Service::Iam | Service::CloudFormation | Service::AutoScaling => {
                refusals::EXPIRED_TOKEN.with(&[])
            }
            Service::Kms
            | Service::Lambda
            | Service::Organizations
            | Service::States
            | Service::Ssm => refusals::KMS_EXPIRED_TOKEN.with(&[]),
            Service::S3 => refusals::S3_EXPIRED_TOKEN.with(&[]),
        });
    }
    if aws.policies_of(&credential.caller).is_none() {
        return Err(unknown_key(service));
    }
    let account = credential.caller.account();
    let partition = aws.partition_of(account);
    if Partition::of_region(&claim.region).name != partition.name {
        return Err(unknown_key(service));
    }
    if aws.is_closed(account) {
        return Err(match service {
            Service::Ec2 => refusals::ACCOUNT_BLOCKED.with(&[account]),
            Service::Sts | Service::Iam | Service::CloudFormation | Service::AutoScaling => {
                refusals::ACCOUNT_SUSPENDED.with(&[account])
            }
            Service::Kms
            | Service::Lambda
            | Service::Organizations
            | Service::States
            | Service::Ssm => refusals::KMS_ACCOUNT_SUSPENDED.with(&[account]),
            Service::S3 => refusals::S3_ACCOUNT_PROBLEM.with(&[]),
        });
    }
    Ok(())
}

fn is_global_endpoint(host: &str) -> bool {
    host == "sts.amazonaws.com"
}

fn in_region(
    aws: &Aws,
    service: Service,
    claim: &Claim,
    credential: &Credential,
) -> Result<(), Refused> {
    let (region, account) = (claim.region.as_str(), credential.caller.account());
    let live = aws.accounts.get(account);
    let disabled = live.is_some_and(|live| live.disabled_regions.contains(region));
    if disabled {
        return Err(match service {
            Service::Ec2 => refusals::OPT_IN_REQUIRED.with(&[region, account]),
            Service::Sts | Service::Iam | Service::CloudFormation | Service::AutoScaling => {
                refusals::STS_REGION_DISABLED.with(&[account])
            }
            Service::Kms
            | Service::Lambda
            | Service::Organizations
            | Service::States
            | Service::Ssm => refusals::KMS_REGION_DISABLED.with(&[region, account]),
            Service::S3 => refusals::S3_REGION_DISABLED.with(&[region, account]),
        });
    }
    if credential.global && is_opt_in(region) {
        return Err(match service {
            Service::S3 => refusals::S3_INVALID_TOKEN.with(&[]),
            _ => refusals::GLOBAL_TOKEN_IN_OPT_IN_REGION.with(&[region]),
        });
    }
    Ok(())
}

/// Returns the refusal of a request without a signature. The sandbox does not model presigned URLs,
/// and every bucket blocks public access.
fn unsigned(request: &Incoming) -> Refused {
    let presigned = request.query.contains("X-Amz-Signature=");
    if presigned {
        return refusals::NOT_IMPLEMENTED.with(&["presigned URLs of S3"]);
    }
    refusals::S3_ANONYMOUS.with(&[])
}

/// Returns the accepted difference of clocks, which is 15 minutes for S3 (S3 API reference,
/// authenticating requests).
fn skew(service: Service) -> Duration {
    match service {
        Service::S3 => Duration::from_mins(15),
        _ => SKEW,
    }
}

fn unknown_key(service: Service) -> Refused {
    match service {
        Service::Ec2 => refusals::AUTH_FAILURE.with(&[]),
        Service::Sts | Service::Iam | Service::CloudFormation | Service::AutoScaling => {
            refusals::INVALID_CLIENT_TOKEN_ID.with(&[])
        }
        Service::Kms
        | Service::Lambda
        | Service::Organizations
        | Service::States
        | Service::Ssm => refusals::KMS_UNRECOGNIZED_CLIENT.with(&[]),
        Service::S3 => refusals::S3_UNKNOWN_KEY.with(&[]),
    }
}

fn bad_signature(service: Service) -> Refused {
    match service {
        Service::Ec2 => refusals::AUTH_FAILURE.with(&[]),
        Service::Sts | Service::Iam | Service::CloudFormation | Service::AutoScaling => {
            refusals::SIGNATURE_DOES_NOT_MATCH.with(&[])
        }
        Service::Kms
        | Service::Lambda
        | Service::Organizations
        | Service::States
        | Service::Ssm => refusals::KMS_INVALID_SIGNATURE.with(&[]),
        Service::S3 => refusals::S3_SIGNATURE.with(&[]),
    }
}

fn skewed(service: Service, at: &str, aws: &Aws) -> Refused {
    let now = time::iso_seconds(aws.now);
    match service {
        Service::Ec2 => refusals::EC2_REQUEST_EXPIRED.with(&[]),
        Service::Sts | Service::Iam | Service::CloudFormation | Service::AutoScaling => {
            refusals::SIGNATURE_EXPIRED.with(&[at, &now])
        }
        Service::Kms
        | Service::Lambda
        | Service::Organizations
        | Service::States
        | Service::Ssm => refusals::KMS_SIGNATURE_EXPIRED.with(&[at, &now]),
        Service::S3 => refusals::S3_SKEWED.with(&[]),
    }
}
