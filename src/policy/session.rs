//! The session policy that narrows `AmiCopyRole` to one run.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::command::tag;
use crate::ids::AccountId;
use crate::service_linked_role::ServiceLinkedRole;
use crate::state::{State, TargetPhase};

/// STS's limit for the text of a session policy.
const LONGEST: usize = 2048;
/// Regions named one by one.
const MOST_REGIONS: usize = 12;

/// What a session in `account` may do for this run, whatever its role allows: copies of this run's snapshots under its keys
/// in its Regions, and deletions of nothing but copies of this image.
pub fn session_policy(state: &State, account: &AccountId) -> String {
    let lasting = state.order.share.is_some();
    let policy = if lasting {
        to_let_launch(state, account, &state.source.keys.iter().cloned().collect())
    } else {
        with_keys(state, account, &named_keys(state, account), MOST_REGIONS)
    };
    if policy.len() <= LONGEST {
        return policy;
    }
    // Very many keys: by account instead of one by one.
    let partition = state.source.region.partition();
    let mut accounts: BTreeSet<String> = state
        .source
        .keys
        .iter()
        .filter_map(|key| key.split(':').nth(4).map(str::to_owned))
        .collect();
    accounts.insert(account.to_string());
    let keys: BTreeSet<String> = accounts
        .iter()
        .map(|a| format!("arn:{partition}:kms:*:{a}:key/*"))
        .collect();
    if lasting {
        return to_let_launch(state, account, &keys);
    }
    let policy = with_keys(state, account, &keys, MOST_REGIONS);
    if policy.len() <= LONGEST {
        policy
    } else {
        with_keys(state, account, &keys, 0)
    }
}

fn with_keys(
    state: &State,
    account: &AccountId,
    keys: &BTreeSet<String>,
    most_regions: usize,
) -> String {
    let partition = state.source.region.partition();
    let regions: BTreeSet<&str> = state
        .targets
        .iter()
        .filter(|t| t.account_id == *account)
        .map(|t| t.region.as_str())
        .collect();
    let regions: Vec<&str> = if regions.len() > most_regions {
        vec!["*"]
    } else {
        regions.into_iter().collect()
    };
    let resources = |kind: &str| -> Vec<String> {
        regions
            .iter()
            .map(|r| format!("arn:{partition}:ec2:{r}::{kind}/*"))
            .collect()
    };
    let own: Vec<Value> = resources("snapshot")
        .into_iter()
        .chain(resources("image"))
        .map(Value::from)
        .collect();
    let mut copied = own.clone();
    copied.push(format!("arn:{partition}:ec2:{}::snapshot/*", state.source.region).into());
    copied.dedup();
    let ours = format!("aws:ResourceTag/{}", tag::SOURCE_IMAGE);
    let mut policy = json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["ec2:DescribeImages", "ec2:DescribeImageAttribute", "ec2:DescribeSnapshots"], "Resource": "*"},
            {"Effect": "Allow", "Action": ["ec2:CopySnapshot", "ec2:RegisterImage", "ec2:CreateTags"], "Resource": copied},
            {"Effect": "Allow", "Action": ["ec2:DeleteSnapshot", "ec2:DeregisterImage"], "Resource": own,
             "Condition": {"StringEquals": {ours: state.source.image_id.as_str()}}},
            {"Effect": "Allow", "Action": ["kms:DescribeKey", "kms:CreateGrant", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKeyWithoutPlaintext"],
             "Resource": keys},
        ]
    });
    if !state.order.service_linked_roles.is_empty() {
        let own = format!(":{account}:key/");
        let of_account: Vec<&String> = keys.iter().filter(|key| key.contains(&own)).collect();
        add(
            &mut policy,
            json!({"Effect": "Allow", "Action": ["kms:ListGrants", "kms:RevokeGrant"], "Resource": of_account}),
        );
        add_making_roles(state, account, &mut policy);
    }
    policy.to_string()
}

/// A share's own session, which there is for service-linked roles only: grants on the source keys.
fn to_let_launch(state: &State, account: &AccountId, keys: &BTreeSet<String>) -> String {
    let mut policy = json!({"Version": "2012-10-17", "Statement": []});
    add(
        &mut policy,
        json!({"Effect": "Allow", "Action": "kms:CreateGrant", "Resource": keys}),
    );
    add_making_roles(state, account, &mut policy);
    policy.to_string()
}

/// Making the service-linked roles asked for, and no others.
fn add_making_roles(state: &State, account: &AccountId, policy: &mut Value) {
    if !state.order.create_service_linked_roles {
        return;
    }
    let partition = state.source.region.partition();
    let roles = &state.order.service_linked_roles;
    let services: BTreeSet<&str> = roles.iter().map(ServiceLinkedRole::service).collect();
    add(
        policy,
        json!({"Effect": "Allow", "Action": "iam:CreateServiceLinkedRole",
            "Resource": format!("arn:{partition}:iam::{account}:role/aws-service-role/*"),
            "Condition": {"StringEquals": {"iam:AWSServiceName": services}}}),
    );
}

fn add(policy: &mut Value, statement: Value) {
    if let Some(statements) = policy["Statement"].as_array_mut() {
        statements.push(statement);
    }
}

/// The ARNs of the keys of this run that this account works with. An alias cannot be named in a policy: its account's keys
/// in that Region stand for it.
fn named_keys(state: &State, account: &AccountId) -> BTreeSet<String> {
    let mut keys: BTreeSet<String> = state.opened_keys().into_iter().collect();
    for target in state.targets.iter().filter(|t| t.account_id == *account) {
        let key = &target.kms_key_id;
        // What is to be removed may be under another key than the request names by now.
        let removing =
            target.phase == TargetPhase::Removing && !state.order.service_linked_roles.is_empty();
        if key.is_key_arn() && !removing {
            keys.insert(key.to_string());
        } else {
            keys.insert(format!(
                "arn:{}:kms:{}:{account}:key/*",
                target.region.partition(),
                target.region
            ));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::Region;
    use crate::plan::{distribute, share};
    use crate::request::{Defaults, Mode, Request};
    use crate::source::tests::example;

    fn planned(request: &Value) -> State {
        let defaults = Defaults {
            region: Region::parse("us-west-2").unwrap(),
            account: None,
        };
        let request = Request::parse(request, &defaults).unwrap();
        let (run, now) = ("0123456789abcdef", 0);
        match request.mode {
            Mode::Copy => distribute(&request, &example(), run, now).unwrap(),
            Mode::Share => share(&request, &example(), Vec::new(), false, run, now).unwrap(),
        }
    }

    fn source_keys(count: usize) -> Vec<String> {
        let key =
            |n| format!("arn:aws:kms:us-west-2:111111111111:key/1234abcd-12ab-34cd-56ef-{n:012}");
        (0..count).map(key).collect()
    }

    const ROLES: [&str; 8] = [
        "autoscaling.amazonaws.com",
        "autoscaling.amazonaws.com_one",
        "autoscaling.amazonaws.com_two",
        "spot.amazonaws.com",
        "spotfleet.amazonaws.com",
        "ec2fleet.amazonaws.com",
        "eks-nodegroup.amazonaws.com",
        "batch.amazonaws.com",
    ];

    /// STS refuses a longer one for every target of the account.
    #[test]
    fn fits_whatever_the_number_of_regions_keys_and_roles() {
        for (regions, keys) in [(1, 1), (9, 1), (10, 1), (12, 20), (27, 1), (27, 20)] {
            for roles in [0, 1, 8] {
                for key in ["alias/amis", "1234abcd-12ab-34cd-56ef-1234567890ab"] {
                    let targets: Vec<Value> = (0..regions)
                        .map(|n| json!({"AccountId": "222222222222", "Region": format!("ap-southeast-{}", n + 1), "KmsKeyId": key}))
                        .collect();
                    let mut request =
                        json!({"SourceImageId": "ami-0a1b2c3d4e5f60718", "Targets": targets});
                    if roles > 0 {
                        request["ServiceLinkedRoles"] = json!(ROLES[..roles]);
                        request["CreateServiceLinkedRoles"] = json!(true);
                    }
                    let mut state = planned(&request);
                    state.source.keys = source_keys(keys);
                    let policy = session_policy(&state, &state.targets[0].account_id);
                    assert!(
                        policy.len() <= LONGEST,
                        "{regions} Regions, {keys} keys, {roles} roles: {}",
                        policy.len()
                    );
                    assert!(serde_json::from_str::<Value>(&policy).is_ok());
                }
            }
        }
    }

    fn actions(policy: &str) -> BTreeSet<String> {
        let policy: Value = serde_json::from_str(policy).unwrap();
        let statements = policy["Statement"].as_array().unwrap();
        let of = |statement: &Value| match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            one => vec![one.clone()],
        };
        let all = statements.iter().flat_map(of);
        all.map(|action| action.as_str().unwrap().to_owned())
            .collect()
    }

    /// Nobody who does not ask for grants to launch gets what they take; a share gets nothing else.
    #[test]
    fn what_service_linked_roles_take_is_there_only_where_they_are_asked_for() {
        let of = |more: &Value| {
            let mut request = json!({"SourceImageId": "ami-0a1b2c3d4e5f60718", "Targets": [{"AccountId": "222222222222"}]});
            for (key, value) in more.as_object().unwrap() {
                request[key] = value.clone();
            }
            let state = planned(&request);
            session_policy(&state, &state.targets[0].account_id)
        };
        let launch = ["kms:ListGrants", "kms:RevokeGrant"].map(str::to_owned);
        let plain = actions(&of(&json!({})));
        let asked = actions(&of(&json!({"ServiceLinkedRoles": "spot.amazonaws.com"})));
        assert_eq!(
            asked.difference(&plain).cloned().collect::<Vec<_>>(),
            launch
        );
        let made = of(
            &json!({"ServiceLinkedRoles": "spot.amazonaws.com", "CreateServiceLinkedRoles": true}),
        );
        assert!(actions(&made).contains("iam:CreateServiceLinkedRole"));
        assert!(
            made.contains(r#"{"iam:AWSServiceName":["spot.amazonaws.com"]}"#),
            "{made}"
        );
        let shared =
            of(&json!({"Mode": "Share", "ServiceLinkedRoles": "autoscaling.amazonaws.com_x"}));
        assert_eq!(
            actions(&shared),
            BTreeSet::from(["kms:CreateGrant".to_owned()])
        );
        assert!(!shared.contains(":222222222222:key/"), "{shared}");
    }

    /// Grants are listed and revoked on the account's own keys only.
    #[test]
    fn no_grant_on_a_source_key_is_revoked_from_a_target() {
        let state = planned(
            &json!({"SourceImageId": "ami-0a1b2c3d4e5f60718", "ServiceLinkedRoles": "spot.amazonaws.com",
            "Targets": [{"AccountId": "222222222222", "KmsKeyId": "alias/amis"}]}),
        );
        let policy = session_policy(&state, &state.targets[0].account_id);
        let policy: Value = serde_json::from_str(&policy).unwrap();
        let statements = policy["Statement"].as_array().unwrap();
        let revoking = statements
            .iter()
            .find(|s| s["Action"].to_string().contains("RevokeGrant"))
            .unwrap();
        assert_eq!(
            revoking["Resource"],
            json!(["arn:aws:kms:us-west-2:222222222222:key/*"])
        );
    }
}
