//! The session policy of a call that moves parameters.

use serde_json::json;

use crate::state::TargetState;

/// Returns the policy of a session in one target: reading these parameters and, with `apply`,
/// writing the last of them.
pub fn channel_policy(target: &TargetState, names: &[String], apply: bool) -> String {
    let arn = |name: &String| {
        let (region, account) = (&target.region, &target.account_id);
        let path = name.trim_start_matches('/');
        format!(
            "arn:{}:ssm:{region}:{account}:parameter/{path}",
            region.partition()
        )
    };
    let arns: Vec<String> = names.iter().map(arn).collect();
    let mut statements = vec![
        json!({"Effect": "Allow", "Action": "ec2:DescribeImages", "Resource": "*"}),
        json!({"Effect": "Allow", "Action": "ssm:GetParameterHistory", "Resource": arns}),
    ];
    if apply {
        statements.push(json!({"Effect": "Allow", "Action": "ssm:PutParameter",
            "Resource": arns.last()}));
    }
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}
