//! Partitions: AWSs that are separate from each other. An account belongs to one partition, its
//! credentials are valid only there, and every ARN names it.
//!
//! Source: AWS general reference, ARNs and service endpoints; IAM and Organizations endpoints and
//! quotas.

use super::Aws;

#[derive(Debug)]
pub(crate) struct Partition {
    pub name: &'static str,
    /// The suffix of the endpoints' names.
    pub suffix: &'static str,
    /// The prefix of the Regions' names; empty for the commercial partition.
    prefix: &'static str,
    /// The Region that requests to IAM are signed for.
    pub iam: &'static str,
    pub organizations: &'static str,
}

static PARTITIONS: [Partition; 3] = [
    Partition {
        name: "aws-cn",
        suffix: "amazonaws.com.cn",
        prefix: "cn-",
        iam: "cn-north-1",
        organizations: "cn-northwest-1",
    },
    Partition {
        name: "aws-us-gov",
        suffix: "amazonaws.com",
        prefix: "us-gov-",
        iam: "us-gov-west-1",
        organizations: "us-gov-west-1",
    },
    Partition {
        name: "aws",
        suffix: "amazonaws.com",
        prefix: "",
        iam: "us-east-1",
        organizations: "us-east-1",
    },
];

impl Partition {
    /// Returns the partition of a Region.
    pub(crate) fn of_region(region: &str) -> &'static Self {
        let mut all = PARTITIONS.iter();
        all.find(|partition| region.starts_with(partition.prefix))
            .unwrap_or(&PARTITIONS[2])
    }

    /// Returns the partition whose endpoints have such names.
    pub(crate) fn of_host(host: &str) -> &'static Self {
        let [china, government, commercial] = &PARTITIONS;
        if host.rsplit('.').next() == Some("cn") {
            return china;
        }
        let governs = host.split('.').any(|label| label.starts_with("us-gov"));
        if governs { government } else { commercial }
    }

    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        PARTITIONS.iter().find(|partition| partition.name == name)
    }

    /// Returns whether the partition has this ARN.
    pub(crate) fn has(&self, arn: &str) -> bool {
        arn.split(':').nth(1) == Some(self.name)
    }
}

/// Returns the ARN of a resource in a Region.
pub(crate) fn regional_arn(service: &str, region: &str, account: &str, resource: &str) -> String {
    let partition = Partition::of_region(region).name;
    format!("arn:{partition}:{service}:{region}:{account}:{resource}")
}

/// Returns whether two Regions are in one partition.
pub(crate) fn are_neighbours(one: &str, other: &str) -> bool {
    super::is_region(one) && Partition::of_region(one).name == Partition::of_region(other).name
}

impl Aws {
    /// Returns the partition of an account; an undeclared account is in the commercial partition.
    pub(crate) fn partition_of(&self, account: &str) -> &'static Partition {
        let live = self.accounts.get(account);
        live.map_or(&PARTITIONS[2], |live| live.partition)
    }
}
