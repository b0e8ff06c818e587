//! The policies this system needs, as values. Here: the session policy that narrows `AmiCopyRole` to one run.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::command::tag;
use crate::ids::AccountId;
use crate::state::State;

/// STS's limit for the text of a session policy.
const LONGEST: usize = 2048;
/// Regions named one by one.
const MOST_REGIONS: usize = 12;

/// What a session in `account` may do for this run, whatever its role allows: copies of this run's snapshots under its keys
/// in its Regions, and deletions of nothing but copies of this image.
pub fn session_policy(state: &State, account: &AccountId) -> String {
    let policy = with_keys(state, account, &named_keys(state, account), MOST_REGIONS);
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
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["ec2:DescribeImages", "ec2:DescribeImageAttribute", "ec2:DescribeSnapshots"], "Resource": "*"},
            {"Effect": "Allow", "Action": ["ec2:CopySnapshot", "ec2:RegisterImage", "ec2:CreateTags"], "Resource": copied},
            {"Effect": "Allow", "Action": ["ec2:DeleteSnapshot", "ec2:DeregisterImage"], "Resource": own,
             "Condition": {"StringEquals": {ours: state.source.image_id.as_str()}}},
            {"Effect": "Allow", "Action": ["kms:DescribeKey", "kms:CreateGrant", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKeyWithoutPlaintext"],
             "Resource": keys},
        ]
    })
    .to_string()
}

/// The ARNs of the keys of this run that this account works with. An alias cannot be named in a policy: its account's keys
/// in that Region stand for it.
fn named_keys(state: &State, account: &AccountId) -> BTreeSet<String> {
    let mut keys: BTreeSet<String> = state.source.keys.iter().cloned().collect();
    for target in state.targets.iter().filter(|t| t.account_id == *account) {
        let key = &target.kms_key_id;
        if key.is_key_arn() {
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
    use crate::plan::distribute;
    use crate::request::{Defaults, Request};
    use crate::source::tests::example;

    /// STS refuses a longer one for every target of the account.
    #[test]
    fn fits_whatever_the_number_of_regions_and_keys() {
        for (regions, keys) in [(1, 1), (9, 1), (10, 1), (12, 20), (27, 1), (27, 20)] {
            let targets: Vec<Value> = (0..regions)
                .map(|n| json!({"AccountId": "222222222222", "Region": format!("ap-southeast-{}", n + 1), "KmsKeyId": "alias/amis"}))
                .collect();
            let request = json!({"SourceImageId": "ami-0a1b2c3d4e5f60718", "Targets": targets});
            let defaults = Defaults {
                region: Region::parse("us-west-2").unwrap(),
                account: None,
            };
            let mut state = distribute(
                &Request::parse(&request, &defaults).unwrap(),
                &example(),
                "0123456789abcdef",
                0,
            )
            .unwrap();
            state.source.keys = (0..keys)
                .map(|n| {
                    format!(
                        "arn:aws:kms:us-west-2:111111111111:key/1234abcd-12ab-34cd-56ef-{n:012}"
                    )
                })
                .collect();
            let policy = session_policy(&state, &state.targets[0].account_id);
            assert!(
                policy.len() <= LONGEST,
                "{regions} Regions, {keys} keys: {}",
                policy.len()
            );
            assert!(serde_json::from_str::<Value>(&policy).is_ok());
        }
    }
}
