//! The identifiers of AWS, each checked once, when it enters.
//!
//! Past this module, no code asks again whether an account ID has twelve digits.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is no such identifier. The message names the accepted form and at most 80 characters
/// of the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{got} is not {accepted}")]
pub struct InvalidId {
    got: String,
    accepted: &'static str,
}

impl InvalidId {
    fn new(got: &str, accepted: &'static str) -> Self {
        let shown: String = got.chars().take(80).collect();
        let cut = if shown.len() < got.len() { "…" } else { "" };
        Self {
            got: format!("{shown:?}{cut}"),
            accepted,
        }
    }
}

/// Defines a checked text type: `parse` is the only way to make a value.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $accepted:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text`. The error names the accepted form.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> bool = $check;
                if !check(text) {
                    return Err(InvalidId::new(text, $accepted));
                }
                Ok(Self(text.to_owned()))
            }

            /// Returns the text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

mod publish;

pub use publish::{
    AudienceArn, InstanceId, InstanceProfileName, InstanceType, LaunchTemplateId,
    LaunchTemplateName, SubnetId, TEST_PREFIX, ZoneId, is_test_group,
};

checked_text!(
    /// An AWS account ID.
    AccountId,
    "an AWS account ID (12 digits; quote it, as a number loses its leading zeros)",
    |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
);

checked_text!(
    /// A Region name such as `us-west-2` or `us-gov-east-1`.
    Region,
    "a Region name such as us-west-2",
    is_region
);

checked_text!(
    /// An AMI ID.
    ImageId,
    "an AMI ID (ami- and 8 or 17 hexadecimal digits)",
    |text| is_resource_id(text, "ami-")
);

checked_text!(
    /// An EBS snapshot ID.
    SnapshotId,
    "a snapshot ID (snap- and 8 or 17 hexadecimal digits)",
    |text| is_resource_id(text, "snap-")
);

checked_text!(
    /// The name of an IAM role, with its path if it has one (`path/name`).
    RoleName,
    "an IAM role name (1-64 of A-Za-z0-9+=,.@_-, with an optional path before it)",
    is_role_name
);

checked_text!(
    /// An external ID for `AssumeRole`.
    ExternalId,
    "an external ID (2-1224 of A-Za-z0-9+=,.@:/_-)",
    |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@:/\\_-".contains(&b);
        (2..=1224).contains(&text.len()) && text.bytes().all(plain)
    }
);

checked_text!(
    /// A KMS key as a user may name it: key ID, key ARN, alias name or alias ARN.
    KeyRef,
    "a KMS key (key ID, key ARN, alias/name or alias ARN)",
    is_key_ref
);

checked_text!(
    /// The ARN of a KMS key. The ARN of an alias is none: the alias may point to another key
    /// tomorrow.
    KeyArn,
    "the ARN of a KMS key (arn:aws:kms:<Region>:<account>:key/<key ID>)",
    is_key_arn
);

checked_text!(
    /// An organization of AWS Organizations.
    OrganizationId,
    "an organization ID (o- and 10 to 32 lower-case letters or digits)",
    |text| {
        let good = |rest: &str| (10..=32).contains(&rest.len()) && is_lower_alphanumeric(rest);
        text.strip_prefix("o-").is_some_and(good)
    }
);

checked_text!(
    /// An organizational unit, or the root of an organization.
    OrganizationalUnitId,
    "an organizational unit or root ID (ou-<root>-<unit> or r-<root>)",
    is_unit_id
);

impl Region {
    /// Returns the partition of this Region, as ARNs contain it.
    pub fn partition(&self) -> &'static str {
        if self.0.starts_with("cn-") {
            "aws-cn"
        } else if self.0.starts_with("us-gov-") {
            "aws-us-gov"
        } else {
            "aws"
        }
    }
}

impl KeyRef {
    /// Returns partition, Region and account of a key named by ARN; `None` for an ID or an alias
    /// name.
    pub fn home(&self) -> Option<(&str, &str, &str)> {
        let (home, _) = home_and_resource(&self.0)?;
        Some(home)
    }

    /// Returns the ARN of the key itself; `None` for an ID or an alias.
    pub fn arn(&self) -> Option<KeyArn> {
        KeyArn::parse(&self.0).ok()
    }

    /// Returns the alias of the key that EBS uses if a target names no key.
    pub fn aws_ebs() -> Self {
        Self("alias/aws/ebs".to_owned())
    }

    /// Returns whether this is `alias/aws/ebs`, which means the same as no key.
    pub fn is_aws_ebs(&self) -> bool {
        self.0 == "alias/aws/ebs"
    }
}

impl From<KeyArn> for KeyRef {
    fn from(arn: KeyArn) -> Self {
        Self(arn.0)
    }
}

impl KeyArn {
    /// Returns the Region of the key.
    pub fn region(&self) -> Region {
        Region(self.part(3))
    }

    /// Returns the account that owns the key.
    pub fn account(&self) -> AccountId {
        AccountId(self.part(4))
    }

    /// Returns whether the key is in this account and Region.
    pub fn is_in(&self, account: &AccountId, region: &Region) -> bool {
        let partition = region.partition();
        let own = format!("arn:{partition}:kms:{region}:{account}:");
        self.0.starts_with(&own)
    }

    fn part(&self, index: usize) -> String {
        let part = self.0.split(':').nth(index);
        part.unwrap_or_default().to_owned()
    }
}

impl RoleName {
    /// Returns the ARN of this role in `account`.
    pub fn arn(&self, partition: &str, account: &AccountId) -> String {
        format!("arn:{partition}:iam::{account}:role/{}", self.0)
    }
}

impl ImageId {
    /// Returns an ID that stands for an image of which the ID is unknown.
    pub fn unknown() -> Self {
        Self("ami-00000000000000000".to_owned())
    }
}

impl SnapshotId {
    /// Returns the ID without `snap-`, as the step state keeps it.
    pub fn short(&self) -> &str {
        &self.0["snap-".len()..]
    }
}

fn is_resource_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| {
        matches!(digits.len(), 8 | 17)
            && digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn is_lower_alphanumeric(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Accepts the form of `ParentId` in the Organizations API reference, `ListAccountsForParent`.
fn is_unit_id(text: &str) -> bool {
    let part = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && is_lower_alphanumeric(text)
    };
    if let Some(root) = text.strip_prefix("r-") {
        return part(root, 4..=32);
    }
    text.strip_prefix("ou-")
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(root, unit)| part(root, 4..=32) && part(unit, 8..=32))
}

fn is_region(text: &str) -> bool {
    let mut parts = text.rsplit('-');
    let number = parts
        .next()
        .is_some_and(|n| (1..=2).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()));
    let words: Vec<&str> = parts.collect();
    number
        && text.len() <= 32
        && (2..=4).contains(&words.len())
        && words
            .iter()
            .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
}

fn is_role_name(text: &str) -> bool {
    let name = text.rsplit('/').next().unwrap_or_default();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
    (1..=64).contains(&name.len())
        && text.len() <= 512
        && !text.starts_with('/')
        && !text.contains("//")
        && text.bytes().all(|b| allowed(b) || b == b'/')
}

/// Splits the ARN of a KMS resource: partition, Region and account, then the resource.
fn home_and_resource(text: &str) -> Option<((&str, &str, &str), &str)> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "kms", region, account, resource] = parts[..] else {
        return None;
    };
    let is_arn = matches!(partition, "aws" | "aws-cn" | "aws-us-gov")
        && is_region(region)
        && AccountId::parse(account).is_ok();
    is_arn.then_some(((partition, region, account), resource))
}

fn is_key_arn(text: &str) -> bool {
    let id = home_and_resource(text).and_then(|(_, resource)| resource.strip_prefix("key/"));
    id.is_some_and(is_key_id)
}

fn is_key_ref(text: &str) -> bool {
    let of_alias = home_and_resource(text).is_some_and(|(_, resource)| is_alias(resource));
    of_alias || is_key_arn(text) || is_alias(text) || is_key_id(text)
}

fn is_alias(text: &str) -> bool {
    text.strip_prefix("alias/").is_some_and(|name| {
        (1..=250).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"/_-".contains(&b))
    })
}

fn is_key_id(text: &str) -> bool {
    let hex = |t: &str, n: usize| t.len() == n && t.bytes().all(|b| b.is_ascii_hexdigit());
    match text.strip_prefix("mrk-") {
        Some(digits) => hex(digits, 32),
        None => {
            let groups: Vec<&str> = text.split('-').collect();
            groups.len() == 5
                && groups
                    .iter()
                    .zip([8, 4, 4, 4, 12])
                    .all(|(group, n)| hex(group, n))
        }
    }
}

#[cfg(test)]
mod tests;
