//! The session policy of a call that keeps and removes old copies.

use serde_json::json;

use crate::command::tag;
use crate::ids::AccountId;

/// Returns the policy of a session in one target: reading, and with `apply` the steps of a removal
/// on copies of this source account's images.
pub fn retention_policy(owner: &AccountId, apply: bool) -> String {
    let mut statements = vec![json!({"Effect": "Allow", "Resource": "*", "Action": [
        "ec2:DescribeImage*",
        "ec2:DescribeInstances",
        "ec2:DescribeLaunchTemplate*",
        "ec2:DescribeLockedSnapshots",
        "ec2:DescribeSnapshots",
        "kms:DescribeKey",
        "ssm:DescribeParameters",
        "ssm:GetParameters",
        "imagebuilder:Get*",
        "imagebuilder:List*",
    ]})];
    if apply {
        let ours = format!("aws:ResourceTag/{}", tag::SOURCE_ACCOUNT);
        statements.push(json!({"Effect": "Allow", "Resource": "*", "Action": [
            "ec2:EnableImageDeprecation",
            "ec2:DisableImage",
            "ec2:DeregisterImage",
            "ec2:DeleteSnapshot",
        ], "Condition": {"StringEquals": {ours: owner.as_str()}}}));
    }
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}
