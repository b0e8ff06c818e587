//! The policies of the targets' keys: whole policies, for keys that are made for a distribution.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::copy_role::{LETTING_LAUNCH, at_target_key};
use super::{Document, Purpose, Run, USE_BY_EC2, by_ec2, by_role, only_grants, through_ec2};
use crate::kms::LAUNCHING;
use crate::policy::statement::Statement;
use crate::state::TargetState;

const WHY: &str = "the account goes on to administer its key, and is not locked out";
/// The actions of the key's administrators: none uses the key. Only the copy role asks for grants
/// or makes them.
const ADMINISTRATION: [&str; 17] = [
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListKeyPolicies",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
];

pub fn documents(run: &Run<'_>) -> Vec<Document> {
    if run.is_share() {
        return Vec::new();
    }
    // Several roles of an account may copy under one key.
    let mut keys: BTreeMap<(&str, &str, &str), BTreeSet<String>> = BTreeMap::new();
    let targets = run.state.targets.iter();
    for target in targets.filter(|t| !t.kms_key_id.is_aws_ebs()) {
        let key = (
            target.account_id.as_str(),
            target.region.as_str(),
            target.kms_key_id.as_str(),
        );
        let role = target.role_name.arn(run.partition(), &target.account_id);
        keys.entry(key).or_default().insert(role);
    }
    let targets = run.state.targets.iter();
    let mut documents = Vec::new();
    for target in targets {
        let key = (
            target.account_id.as_str(),
            target.region.as_str(),
            target.kms_key_id.as_str(),
        );
        let Some(roles) = keys.remove(&key) else {
            continue;
        };
        let roles: Vec<String> = roles.into_iter().collect();
        documents.push(Document {
            purpose: Purpose::TargetKey,
            account: target.account_id.clone(),
            region: Some(target.region.to_string()),
            resource: target.kms_key_id.to_string(),
            statements: statements(run, target, &roles),
        });
    }
    documents
}

/// Returns the policy of a target's key that these roles copy under.
fn statements(run: &Run<'_>, target: &TargetState, roles: &[String]) -> Vec<Statement> {
    let root = run.root(&target.account_id);
    let statement = |statement: Statement| statement.to([root.clone()]).on(["*"]);
    let administer = ADMINISTRATION.map(|action| (action, WHY));
    let mut statements = vec![
        statement(Statement::allow("Administration", &administer)),
        statement(Statement::allow(
            "LookAfterIt",
            &[
                ("kms:DescribeKey", WHY),
                ("kms:ListGrants", WHY),
                ("kms:RevokeGrant", WHY),
            ],
        ))
        .when(json!({"ArnNotEquals": {"aws:PrincipalArn": roles}})),
        statement(Statement::allow("CopyRole", &at_target_key(run)))
            .when(by_role(json!({}), roles)),
    ];
    let by_ec2 = by_role(by_ec2([target.region.as_str()]), roles);
    let sids = ["CopyRoleByEC2", "CopyRoleGrantsByEC2"];
    statements.extend(through_ec2(sids, &USE_BY_EC2, by_ec2).map(&statement));
    if run.has_roles() {
        let linked = run.linked_roles([&target.account_id]);
        let condition = only_grants(&LAUNCHING, linked.into_iter().collect());
        let grant = statement(Statement::allow("LetLaunch", &[LETTING_LAUNCH]));
        statements.push(grant.when(by_role(condition, roles)));
    }
    statements
}
