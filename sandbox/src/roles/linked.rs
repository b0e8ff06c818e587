//! CreateServiceLinkedRole, for the services that launch instances. Any other service is refused by
//! name.
//!
//! Source: each service's guide on its service-linked roles; model. Only Auto Scaling's takes a
//! suffix.

use super::{Ask, input, written};
use crate::aws::Aws;
use crate::refusals::{self, Refused};

struct Service {
    principal: &'static str,
    role: &'static str,
    takes_suffix: bool,
}

const fn service(principal: &'static str, role: &'static str) -> Service {
    Service {
        principal,
        role,
        takes_suffix: false,
    }
}

static SERVICES: &[Service] = &[
    Service {
        principal: "autoscaling.amazonaws.com",
        role: "AWSServiceRoleForAutoScaling",
        takes_suffix: true,
    },
    service("spot.amazonaws.com", "AWSServiceRoleForEC2Spot"),
    service("spotfleet.amazonaws.com", "AWSServiceRoleForEC2SpotFleet"),
    service("ec2fleet.amazonaws.com", "AWSServiceRoleForEC2Fleet"),
    service(
        "eks-nodegroup.amazonaws.com",
        "AWSServiceRoleForAmazonEKSNodegroup",
    ),
    service("batch.amazonaws.com", "AWSServiceRoleForBatch"),
];

pub(super) fn create(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    input::only(ask, &["AWSServiceName", "CustomSuffix", "Description"])?;
    let principal = input::required(ask, "AWSServiceName", 128, input::is_name)?;
    let suffix = input::optional(ask, "CustomSuffix", 64, input::is_name)?;
    let description = input::optional(ask, "Description", 1000, input::anything)?;
    let known = SERVICES.iter().find(|known| known.principal == principal);
    let service = known.ok_or_else(|| {
        let what = format!("the service-linked role of {principal}");
        refusals::NOT_IMPLEMENTED.with(&[&what])
    })?;
    let name = suffix.map_or_else(
        || service.role.to_owned(),
        |suffix| format!("{}_{suffix}", service.role),
    );
    let account = ask.call.caller.account();
    let resource = format!("role/aws-service-role/{principal}/{name}");
    let arn = aws.iam_arn(account, &resource);
    ask.permit(aws, &arn, &[("iam:awsservicename", principal)])?;
    if suffix.is_some() && !service.takes_suffix {
        return Err(refusals::ROLE_NO_SUFFIX.with(&[principal]));
    }
    if aws.role_named(account, &name).is_some() {
        return Err(refusals::ROLE_NAME_TAKEN.with(&[&name]));
    }
    let arn = aws.link_role(account, principal, &name, description);
    Ok(written(aws, &arn))
}
