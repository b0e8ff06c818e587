//! KMS as this system names it: the parts of an ARN, the actions of EC2 and of service-linked roles
//! on a key, and the values of `kms:ViaService`. Grants, policies, sessions and preflight use these
//! lists, so none of them can allow what another forgets.

/// Delegates operations on a key to a grantee.
pub const CREATE_GRANT: &str = "kms:CreateGrant";
/// Decrypts data, such as a data key.
pub const DECRYPT: &str = "kms:Decrypt";
/// Returns a key's metadata.
pub const DESCRIBE_KEY: &str = "kms:DescribeKey";
/// Encrypts data, such as a data key.
pub const ENCRYPT: &str = "kms:Encrypt";
/// Makes a data key.
pub const GENERATE_DATA_KEY: &str = "kms:GenerateDataKey";
/// Makes a data key and returns it encrypted only.
pub const GENERATE_DATA_KEY_WITHOUT_PLAINTEXT: &str = "kms:GenerateDataKeyWithoutPlaintext";
/// Decrypts data that another key then encrypts.
pub const RE_ENCRYPT_FROM: &str = "kms:ReEncryptFrom";
/// Encrypts data that another key decrypted.
pub const RE_ENCRYPT_TO: &str = "kms:ReEncryptTo";

/// The actions by which EBS reads and writes data keys for a copy or a volume (EBS user guide,
/// permissions for encryption).
pub const USE_BY_EC2: [&str; 4] = [
    DECRYPT,
    GENERATE_DATA_KEY_WITHOUT_PLAINTEXT,
    RE_ENCRYPT_FROM,
    RE_ENCRYPT_TO,
];

/// All actions of EC2 on a key in the name of a copy role, or of an account that launches (EBS user
/// guide, permissions for encryption; EC2 user guide, sharing an AMI with encrypted snapshots).
/// `ReEncrypt*` is no grant operation.
pub const COPYING: [&str; 6] = [
    DESCRIBE_KEY,
    CREATE_GRANT,
    DECRYPT,
    GENERATE_DATA_KEY_WITHOUT_PLAINTEXT,
    RE_ENCRYPT_FROM,
    RE_ENCRYPT_TO,
];

/// All actions that EC2 Auto Scaling documents for its role (EC2 Auto Scaling user guide, required
/// KMS key policy); Spot documents the same. A grant made by virtue of another grant may allow no
/// more than that grant, so a principal that creates grants for such roles needs all of them.
pub const LAUNCHING: [&str; 8] = [
    DESCRIBE_KEY,
    CREATE_GRANT,
    DECRYPT,
    GENERATE_DATA_KEY_WITHOUT_PLAINTEXT,
    RE_ENCRYPT_FROM,
    RE_ENCRYPT_TO,
    ENCRYPT,
    GENERATE_DATA_KEY,
];

/// The pattern of `kms:ViaService` for EC2 in every Region.
pub const VIA_EC2_ANYWHERE: &str = "ec2.*";

/// Returns the grant operation of an action: the action without `kms:`.
pub fn operation(action: &str) -> &str {
    action.strip_prefix("kms:").unwrap_or(action)
}

/// Returns `kms:ViaService` of a call that EC2 makes in this Region.
pub fn via_ec2(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("ec2.{region}.amazonaws.com{suffix}")
}

/// The parts of an ARN, as they stand between its colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arn<'a> {
    /// Such as `aws` or `aws-cn`.
    pub partition: &'a str,
    /// Such as `kms` or `iam`.
    pub service: &'a str,
    /// Empty for a global service.
    pub region: &'a str,
    /// The account ID; empty where the service names none.
    pub account: &'a str,
    /// Everything after the account, colons included.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Splits an ARN; `None` for any other text.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next() != Some("arn") {
            return None;
        }
        Some(Self {
            partition: parts.next()?,
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        })
    }

    /// Returns the pattern that matches this ARN in every account.
    pub fn in_any_account(&self) -> String {
        let Self {
            partition,
            service,
            region,
            resource,
            ..
        } = self;
        format!("arn:{partition}:{service}:{region}:*:{resource}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_for_any_account_keeps_the_colons_of_the_resource() {
        let arn = Arn::parse("arn:aws:lambda:us-west-2:111111111111:function:f:live").unwrap();
        let pattern = "arn:aws:lambda:us-west-2:*:function:f:live";
        assert_eq!(arn.in_any_account(), pattern);
    }

    #[test]
    fn ec2_calls_kms_under_the_domain_of_its_partition() {
        assert_eq!(via_ec2("us-west-2"), "ec2.us-west-2.amazonaws.com");
        assert_eq!(via_ec2("cn-north-1"), "ec2.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn every_action_has_its_grant_operation() {
        let operations: Vec<&str> = LAUNCHING.into_iter().map(operation).collect();
        assert!(operations.iter().all(|name| !name.contains(':')));
        assert!(USE_BY_EC2.iter().all(|action| COPYING.contains(action)));
        assert!(COPYING.iter().all(|action| LAUNCHING.contains(action)));
    }
}
