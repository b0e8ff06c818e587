//! The session policy that narrows `AmiCopyRole` to one run.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::command::tag;
use crate::ids::{AccountId, KeyArn};
use crate::kms;
use crate::policy::publishing;
use crate::service_linked_role::ServiceLinkedRole;
use crate::state::{State, TargetPhase, TargetState};

/// STS's limit for the text of a session policy.
const LONGEST: usize = 2048;
/// The number of characters that were seen to fit. STS also packs the policy into the session's
/// token, with a limit that is not documented.
const COMFORTABLE: usize = 1100;
/// Patterns of the actions in [`kms::USE_BY_EC2`] that are longer: each character counts here.
const DATA_KEYS: &str = "kms:GenerateDataKeyWithout*";
const RE_ENCRYPT: &str = "kms:ReEncrypt*";

/// Returns the session policies of a run in `account`, whatever its role allows: copy into the
/// run's Regions under the run's keys, delete copies of the run's image, and use keys through EC2
/// only.
///
/// The later policies are coarser and shorter, for when STS cannot pack the earlier ones. The first
/// one packs comfortably, with keys and Regions by name, with the keys of whole accounts, or with
/// every Region. If none does, the first is about as short as any of them. The last names actions
/// only.
pub fn session_policies(state: &State, account: &AccountId) -> Vec<String> {
    let whole = keys_of_accounts(state, account);
    // A distribution that became a share removes its copies.
    let removes = |t: &TargetState| t.account_id == *account && t.phase == TargetPhase::Removing;
    let launches_only = state.order.share.is_some() && !state.targets.iter().any(removes);
    let mut policies = if launches_only {
        let named = state.source.keys.iter().map(KeyArn::to_string).collect();
        vec![
            to_let_launch(state, account, &named),
            to_let_launch(state, account, &whole),
        ]
    } else {
        let named = named_keys(state, account);
        let regions = regions(state, account);
        let any = BTreeSet::from(["*"]);
        vec![
            to_copy(state, account, &named, &regions),
            to_copy(state, account, &whole, &regions),
            to_copy(state, account, &whole, &any),
        ]
    };
    let shortest = policies.iter().map(String::len).min().unwrap_or_default();
    // STS would refuse a policy hardly longer than the shortest one no sooner.
    let most = COMFORTABLE.max(shortest + shortest / 10).min(LONGEST);
    policies.push(minimal(state, account, launches_only));
    let mut last = usize::MAX;
    policies
        .into_iter()
        .filter(|policy| {
            let shorter = policy.len() <= most && policy.len() < last;
            last = if shorter { policy.len() } else { last };
            shorter
        })
        .collect()
}

/// Returns the actions that make copies, by the run's way.
fn making(state: &State) -> &'static [&'static str] {
    if state.order.copies_image {
        &["ec2:CopyImage"]
    } else {
        &["ec2:CopySnapshot", "ec2:RegisterImage"]
    }
}

/// Returns the actions of a run without keys and Regions. Deleting stays limited to copies of the
/// run's image: nothing else in the account is at stake.
fn minimal(state: &State, account: &AccountId, launches_only: bool) -> String {
    let mut actions = if launches_only {
        vec![kms::CREATE_GRANT]
    } else {
        let mut actions = making(state).to_vec();
        actions.extend([
            "ec2:CreateTags",
            "ec2:Describe*",
            kms::CREATE_GRANT,
            kms::DECRYPT,
            kms::DESCRIBE_KEY,
            DATA_KEYS,
            RE_ENCRYPT,
        ]);
        actions
    };
    if state.order.has_launch_grants() && !launches_only {
        actions.extend(["kms:ListGrants", "kms:RevokeGrant"]);
    }
    let of_publishing = publishing::statements(state, account);
    let allowed = of_publishing.iter().filter(|statement| !statement.deny);
    actions.extend(allowed.flat_map(|statement| statement.actions.iter().map(|(name, _)| *name)));
    actions.sort_unstable();
    actions.dedup();
    let mut statements = vec![json!({"Effect": "Allow", "Action": actions, "Resource": "*"})];
    if !launches_only {
        statements.push(deleting(state, &json!("*")));
        statements.extend(retagging(state, &json!("*")));
    }
    statements.extend(making_roles(state));
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// Returns the statement that allows deleting copies of the run's image, and nothing else. A
/// removed image may stand on a snapshot that another source image shares, and whose copy has the
/// tag of that image.
fn deleting(state: &State, resource: &Value) -> Value {
    let removes = |t: &TargetState| t.phase == TargetPhase::Removing;
    if state.targets.iter().any(removes) {
        let ours = format!("aws:ResourceTag/{}", tag::SOURCE_ACCOUNT);
        return json!({"Effect": "Allow", "Resource": resource,
            "Action": ["ec2:DeleteSnapshot", "ec2:DeregisterImage"],
            "Condition": {"StringEquals": {ours: state.source.account_id.as_str()}}});
    }
    let ours = format!("aws:ResourceTag/{}", tag::SOURCE_IMAGE);
    json!({"Effect": "Allow", "Resource": resource,
        "Action": ["ec2:DeleteSnapshot", "ec2:DeregisterImage"],
        "Condition": {"StringEquals": {ours: state.source.image_id.as_str()}}})
}

/// Returns the statement that allows deleting tags of copies of the source account's images. An
/// existing copy may belong to another image that shares a snapshot. Making copies includes setting
/// tags.
fn retagging(state: &State, resource: &Value) -> Option<Value> {
    state.order.retag.as_ref()?;
    let ours = format!("aws:ResourceTag/{}", tag::SOURCE_ACCOUNT);
    Some(
        json!({"Effect": "Allow", "Action": "ec2:DeleteTags", "Resource": resource,
            "Condition": {"StringEquals": {ours: state.source.account_id.as_str()}}}),
    )
}

fn regions<'a>(state: &'a State, account: &AccountId) -> BTreeSet<&'a str> {
    let targets = state.targets.iter();
    targets
        .filter(|t| t.account_id == *account)
        .map(|t| t.region.as_str())
        .collect()
}

fn to_copy(
    state: &State,
    account: &AccountId,
    keys: &BTreeSet<String>,
    regions: &BTreeSet<&str>,
) -> String {
    let partition = state.source.region.partition();
    // Snapshots and images have no account in their ARNs, and these actions have no other resource.
    let own: BTreeSet<String> = regions
        .iter()
        .map(|region| format!("arn:{partition}:ec2:{region}::*"))
        .collect();
    let mut copied = own.clone();
    let targets = state.targets.iter().filter(|t| t.account_id == *account);
    for source in targets.map(|t| state.run_ref().copied_from(t).as_str()) {
        if !regions.contains(source) && !regions.contains("*") {
            copied.insert(format!("arn:{partition}:ec2:{source}::snapshot/*"));
            if state.order.copies_image {
                copied.insert(format!("arn:{partition}:ec2:{source}::image/*"));
            }
        }
    }
    let mut made = making(state).to_vec();
    made.push("ec2:CreateTags");
    let mut statements = vec![
        json!({"Effect": "Allow", "Resource": "*",
            "Action": ["ec2:DescribeImage*", "ec2:DescribeSnapshots", kms::DESCRIBE_KEY]}),
        json!({"Effect": "Allow", "Resource": copied,
            "Action": made}),
        deleting(state, &json!(own)),
        json!({"Effect": "Allow", "Resource": keys,
        "Action": [kms::CREATE_GRANT, kms::DECRYPT, DATA_KEYS, RE_ENCRYPT],
        "Condition": {
            "StringLike": {"kms:ViaService": kms::VIA_EC2_ANYWHERE},
            "BoolIfExists": {"kms:GrantIsForAWSResource": "true"},
        }}),
    ];
    statements.extend(retagging(state, &json!(own)));
    if state.order.has_launch_grants() {
        let own = format!(":{account}:key/");
        let of_account: Vec<&String> = keys.iter().filter(|key| key.contains(&own)).collect();
        statements.push(json!({"Effect": "Allow", "Resource": of_account,
            "Action": [kms::CREATE_GRANT, "kms:ListGrants", "kms:RevokeGrant"],
            "Condition": to_linked_roles(partition, account)}));
    }
    statements.extend(making_roles(state));
    statements.extend(publishing(state, account));
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// Returns the statements for publishing, without their names: each character counts.
fn publishing(state: &State, account: &AccountId) -> Vec<Value> {
    let all = publishing::statements(state, account).into_iter();
    all.map(|statement| {
        let mut statement = statement.to_json();
        if let Some(members) = statement.as_object_mut() {
            members.remove("Sid");
        }
        statement
    })
    .collect()
}

/// Returns the statements of a share's session, which exists only for service-linked roles: it
/// makes their grants on the source keys.
fn to_let_launch(state: &State, account: &AccountId, keys: &BTreeSet<String>) -> String {
    let partition = state.source.region.partition();
    let mut statements = vec![
        json!({"Effect": "Allow", "Action": kms::CREATE_GRANT, "Resource": keys,
            "Condition": to_linked_roles(partition, account)}),
    ];
    statements.extend(making_roles(state));
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// Returns the condition that grants which the session asks KMS for directly go to service-linked
/// roles of the account. Only CreateGrant has a grantee.
fn to_linked_roles(partition: &str, account: &AccountId) -> Value {
    let roles = format!("arn:{partition}:iam::{account}:role/aws-service-role/*");
    json!({"StringLikeIfExists": {"kms:GranteePrincipal": roles}})
}

/// Returns the statement that allows creating the service-linked roles of the request, and no
/// others.
fn making_roles(state: &State) -> Option<Value> {
    if !state.order.create_service_linked_roles {
        return None;
    }
    let roles = &state.order.service_linked_roles;
    let services: BTreeSet<&str> = roles.iter().map(ServiceLinkedRole::service).collect();
    Some(
        json!({"Effect": "Allow", "Action": "iam:CreateServiceLinkedRole", "Resource": "*",
            "Condition": {"StringEquals": {"iam:AWSServiceName": services}}}),
    )
}

/// Returns patterns of all keys in the accounts whose keys the run uses; for runs with too many
/// keys to name.
fn keys_of_accounts(state: &State, account: &AccountId) -> BTreeSet<String> {
    let partition = state.source.region.partition();
    let targets = state.targets.iter().filter(|t| t.account_id == *account);
    let keys = targets.flat_map(|target| state.run_ref().copied_keys(target));
    let mut accounts: BTreeSet<AccountId> = keys.map(|key| key.account()).collect();
    if state.order.share.is_none() {
        accounts.insert(account.clone());
    }
    let accounts = accounts.into_iter();
    accounts
        .map(|account| format!("arn:{partition}:kms:*:{account}:key/*"))
        .collect()
}

/// Returns the ARNs of the run's keys that this account works with. A policy cannot name an alias:
/// the account's keys in that Region stand for it.
fn named_keys(state: &State, account: &AccountId) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for target in state.targets.iter().filter(|t| t.account_id == *account) {
        let reached = state.run_ref().copied_keys(target).into_iter();
        keys.extend(reached.map(String::from));
        // A copy that is to be removed may be under another key than the one that the request names
        // now.
        let removing = target.phase == TargetPhase::Removing && state.order.has_launch_grants();
        let (partition, region) = (target.region.partition(), &target.region);
        keys.insert(match target.kms_key_id.arn() {
            Some(key) if !removing => key.into(),
            _ => format!("arn:{partition}:kms:{region}:{account}:key/*"),
        });
    }
    keys
}

#[cfg(test)]
mod tests;
