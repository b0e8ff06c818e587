//! Identifiers of what an image is published to.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{InvalidId, Region, is_resource_id};

/// The beginning of the names of groups that test a launch.
pub const TEST_PREFIX: &str = "amiferry-test-";

/// Returns whether a name is that of a launch test's group.
pub fn is_test_group(name: &str) -> bool {
    let digits = name.strip_prefix(TEST_PREFIX);
    digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

checked_text!(
    /// The ID of an EC2 launch template.
    LaunchTemplateId,
    "a launch template ID (lt- and 8 or 17 hexadecimal digits)",
    |text| is_resource_id(text, "lt-")
);

checked_text!(
    /// The name of an EC2 launch template.
    LaunchTemplateName,
    "a launch template name (3-128 of A-Za-z0-9().-/_)",
    |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"().-/_".contains(&b);
        (3..=128).contains(&text.len()) && text.bytes().all(plain)
    }
);

checked_text!(
    /// The ID of an Availability Zone, which is the same in every account: `usw2-az1`.
    ZoneId,
    "the ID of an Availability Zone such as usw2-az1 (not its name, which differs by account)",
    |text| {
        let plain = |part: &str| {
            let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            !part.is_empty() && part.bytes().all(alphanumeric)
        };
        let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        text.len() <= 24
            && text
                .split_once("-az")
                .is_some_and(|(region, zone)| plain(region) && number(zone))
    }
);

checked_text!(
    /// The ID of an EC2 instance.
    InstanceId,
    "an instance ID (i- and 8 or 17 hexadecimal digits)",
    |text| is_resource_id(text, "i-")
);

checked_text!(
    /// An EC2 instance type.
    InstanceType,
    "an instance type such as t3.micro",
    |text| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        text.len() <= 32
            && text.split_once('.').is_some_and(|(family, size)| {
                let good = |part: &str| !part.is_empty() && part.bytes().all(plain);
                good(family) && good(size)
            })
    }
);

checked_text!(
    /// The ID of a subnet.
    SubnetId,
    "a subnet ID (subnet- and 8 or 17 hexadecimal digits)",
    |text| is_resource_id(text, "subnet-")
);

checked_text!(
    /// The name of an instance profile, without its path.
    InstanceProfileName,
    "the name of an instance profile (1-128 of A-Za-z0-9+=,.@_-, without a path)",
    |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
        (1..=128).contains(&text.len()) && text.bytes().all(plain)
    }
);

checked_text!(
    /// The ARN of an organization, or of one of its units.
    AudienceArn,
    "the ARN of an organization or unit \
     (arn:aws:organizations::<account>:organization/o-… or …:ou/o-…/ou-…)",
    |text| {
        let mut parts = text.splitn(6, ':');
        let is_arn = parts.next() == Some("arn")
            && parts.next().is_some_and(|p| p.starts_with("aws"))
            && parts.next() == Some("organizations")
            && parts.next() == Some("");
        let account = parts.next().unwrap_or_default();
        let resource = parts.next().unwrap_or_default();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"/-".contains(&b);
        is_arn
            && account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && (resource.starts_with("organization/o-") || resource.starts_with("ou/o-"))
            && resource.len() <= 120
            && resource.bytes().all(plain)
    }
);

/// The direction words of Region names, and their letters in the IDs of zones.
const DIRECTIONS: [(&str, &str); 9] = [
    ("northeast", "ne"),
    ("northwest", "nw"),
    ("southeast", "se"),
    ("southwest", "sw"),
    ("north", "n"),
    ("south", "s"),
    ("east", "e"),
    ("west", "w"),
    ("central", "c"),
];

impl ZoneId {
    /// Returns whether the zone is in this Region. IDs of zones begin with the Region's name in
    /// short: `apse2-az1` is in `ap-southeast-2`, `usgw1-az1` in `us-gov-west-1`.
    pub fn is_in(&self, region: &Region) -> bool {
        let (mut short, mut parts) = (String::new(), region.as_str().split('-'));
        short.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let direction = DIRECTIONS.iter().find(|(word, _)| *word == part);
            match (direction, part) {
                (Some((_, letters)), _) => short.push_str(letters),
                (None, "gov") => short.push('g'),
                (None, other) => short.push_str(other),
            }
        }
        let region = self.as_str().split("-az").next();
        region == Some(short.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_in_the_region_that_its_id_abbreviates() {
        for (zone, region) in [
            ("usw2-az1", "us-west-2"),
            ("use1-az6", "us-east-1"),
            ("apse2-az3", "ap-southeast-2"),
            ("apne1-az4", "ap-northeast-1"),
            ("aps1-az1", "ap-south-1"),
            ("euc1-az2", "eu-central-1"),
            ("mes1-az1", "me-south-1"),
            ("mec1-az1", "me-central-1"),
            ("cac1-az1", "ca-central-1"),
            ("usgw1-az1", "us-gov-west-1"),
            ("cnn1-az1", "cn-north-1"),
            ("cnnw1-az1", "cn-northwest-1"),
        ] {
            let (zone, home) = (ZoneId::parse(zone).unwrap(), Region::parse(region).unwrap());
            assert!(zone.is_in(&home), "{zone} {home}");
            assert!(!zone.is_in(&Region::parse("us-west-1").unwrap()), "{zone}");
        }
    }

    #[test]
    fn identifiers_of_other_things_are_refused() {
        assert!(LaunchTemplateId::parse("lt-0123456789abcdef0").is_ok());
        assert!(LaunchTemplateId::parse("ami-0123456789abcdef0").is_err());
        assert!(ZoneId::parse("us-west-2a").is_err());
        assert!(InstanceType::parse("t3.micro").is_ok());
        assert!(InstanceType::parse("t3").is_err());
        let unit = "arn:aws:organizations::111111111111:ou/o-abcdefghij/ou-ab12-11111111";
        assert!(AudienceArn::parse(unit).is_ok());
        assert!(AudienceArn::parse("arn:aws:iam::111111111111:root").is_err());
        assert!(InstanceProfileName::parse("path/name").is_err());
    }
}
