//! The session policy that narrows `AmiCopyRole` to one run.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::command::tag;
use crate::ids::AccountId;
use crate::kms;
use crate::service_linked_role::ServiceLinkedRole;
use crate::state::{State, TargetPhase, TargetState};

/// STS's limit for the text of a session policy.
const LONGEST: usize = 2048;
/// STS also packs the policy into the session's token. The limit of that is not documented; this
/// many characters were seen to fit.
const COMFORTABLE: usize = 1100;
/// Patterns of the actions in [`kms::USE_BY_EC2`] that are longer: each character counts here.
const DATA_KEYS: &str = "kms:GenerateDataKeyWithout*";
const RE_ENCRYPT: &str = "kms:ReEncrypt*";

/// Returns what a session in `account` may do for this run, whatever its role allows: copy into the
/// run's Regions under the run's keys, delete copies of the run's image, and use keys through EC2
/// only. The later policies are the coarser and shorter ones, for when STS cannot pack the earlier.
///
/// The first of them packs comfortably: with keys and Regions by name, with the keys of whole
/// accounts, with every Region. Where none does, the first is about as short as any of these. The
/// last names actions only.
pub fn session_policies(state: &State, account: &AccountId) -> Vec<String> {
    let whole = keys_of_accounts(state, account);
    // Where copies become a share they are taken away.
    let removes = |t: &TargetState| t.account_id == *account && t.phase == TargetPhase::Removing;
    let launches_only = state.order.share.is_some() && !state.targets.iter().any(removes);
    let mut policies = if launches_only {
        let named = state.source.keys.iter().cloned().collect();
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
    // A policy that is hardly longer than the shortest is refused no sooner.
    let most = COMFORTABLE.max(shortest + shortest / 10).min(LONGEST);
    policies.push(minimal(state, launches_only));
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

/// Returns the actions of a run without keys and Regions. Deleting stays limited to copies of the
/// run's image: nothing else in the account is at stake.
fn minimal(state: &State, launches_only: bool) -> String {
    let mut actions = if launches_only {
        vec![kms::CREATE_GRANT]
    } else {
        vec![
            "ec2:CopySnapshot",
            "ec2:CreateTags",
            "ec2:Describe*",
            "ec2:RegisterImage",
            kms::CREATE_GRANT,
            kms::DECRYPT,
            kms::DESCRIBE_KEY,
            DATA_KEYS,
            RE_ENCRYPT,
        ]
    };
    if state.order.has_launch_grants() && !launches_only {
        actions.extend(["kms:ListGrants", "kms:RevokeGrant"]);
    }
    let mut statements = vec![json!({"Effect": "Allow", "Action": actions, "Resource": "*"})];
    if !launches_only {
        statements.push(deleting(state, &json!("*")));
        statements.extend(retagging(state, &json!("*")));
    }
    statements.extend(making_roles(state));
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// Deleting copies of the run's image, and nothing else. What is removed may stand on a snapshot that another image of the source account
/// shares with it, whose copy says so.
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

/// Deleting tags of copies of the source account's images: a copy that stands may be of another image that shares a snapshot. Setting
/// tags goes with making copies.
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
    // Snapshots and images are in no account, and no other resource of these actions is.
    let own: BTreeSet<String> = regions
        .iter()
        .map(|region| format!("arn:{partition}:ec2:{region}::*"))
        .collect();
    let mut copied = own.clone();
    let source = state.source.region.as_str();
    if !regions.contains(source) && !regions.contains("*") {
        copied.insert(format!("arn:{partition}:ec2:{source}::snapshot/*"));
    }
    let mut statements = vec![
        json!({"Effect": "Allow", "Resource": "*",
            "Action": ["ec2:DescribeImage*", "ec2:DescribeSnapshots", kms::DESCRIBE_KEY]}),
        json!({"Effect": "Allow", "Resource": copied,
            "Action": ["ec2:CopySnapshot", "ec2:RegisterImage", "ec2:CreateTags"]}),
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
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// A share's own session exists for service-linked roles only: it makes their grants on the source
/// keys.
fn to_let_launch(state: &State, account: &AccountId, keys: &BTreeSet<String>) -> String {
    let partition = state.source.region.partition();
    let mut statements = vec![
        json!({"Effect": "Allow", "Action": kms::CREATE_GRANT, "Resource": keys,
            "Condition": to_linked_roles(partition, account)}),
    ];
    statements.extend(making_roles(state));
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// Grants that the session asks KMS for directly go to service-linked roles of the account. Only
/// CreateGrant has a grantee.
fn to_linked_roles(partition: &str, account: &AccountId) -> Value {
    let roles = format!("arn:{partition}:iam::{account}:role/aws-service-role/*");
    json!({"StringLikeIfExists": {"kms:GranteePrincipal": roles}})
}

/// Creating the service-linked roles that the request names, and no others.
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

/// All keys of the accounts whose keys the run uses; for runs with too many keys to name.
fn keys_of_accounts(state: &State, account: &AccountId) -> BTreeSet<String> {
    let partition = state.source.region.partition();
    let keys = state.source.keys.iter();
    let mut accounts: BTreeSet<&str> = keys.filter_map(|key| kms::owner(key)).collect();
    if state.order.share.is_none() {
        accounts.insert(account.as_str());
    }
    let accounts = accounts.into_iter();
    accounts
        .map(|account| format!("arn:{partition}:kms:*:{account}:key/*"))
        .collect()
}

/// Returns the ARNs of the run's keys that this account works with. A policy cannot name an alias:
/// the account's keys in that Region stand for it.
fn named_keys(state: &State, account: &AccountId) -> BTreeSet<String> {
    let mut keys: BTreeSet<String> = state.run_ref().opened_keys().into_iter().collect();
    for target in state.targets.iter().filter(|t| t.account_id == *account) {
        let key = &target.kms_key_id;
        // What is to be removed may be under another key than the request names by now.
        let removing = target.phase == TargetPhase::Removing && state.order.has_launch_grants();
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
    use crate::state::Retag;

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

    /// STS refuses a longer policy for every target of the account.
    #[test]
    fn a_session_policy_fits_for_any_number_of_regions_keys_and_roles() {
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
                    let policies = session_policies(&state, &state.targets[0].account_id);
                    let lengths: Vec<usize> = policies.iter().map(String::len).collect();
                    let case =
                        format!("{regions} Regions, {keys} keys, {roles} roles: {lengths:?}");
                    assert!(lengths[0] <= LONGEST, "{case}");
                    assert!(lengths.is_sorted_by(|a, b| a > b), "{case}");
                    let least = lengths.last().unwrap();
                    let asked = if roles == 0 { 0 } else { 150 + 30 * roles };
                    assert!(*least <= 450 + asked, "{case}");
                    let plain = regions == 1 && keys == 1 && roles == 0;
                    assert!(!plain || lengths[0] <= 900, "{case}");
                    for policy in policies {
                        assert!(serde_json::from_str::<Value>(&policy).is_ok());
                    }
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
            session_policies(&state, &state.targets[0].account_id)
        };
        let launch = ["kms:ListGrants", "kms:RevokeGrant"].map(str::to_owned);
        let (plain, asked) = (
            of(&json!({})),
            of(&json!({"ServiceLinkedRoles": "spot.amazonaws.com"})),
        );
        for (plain, asked) in [
            (&plain[0], &asked[0]),
            (plain.last().unwrap(), asked.last().unwrap()),
        ] {
            let (plain, asked) = (actions(plain), actions(asked));
            let more: Vec<String> = asked.difference(&plain).cloned().collect();
            assert_eq!(more, launch);
        }
        let made = of(
            &json!({"ServiceLinkedRoles": "spot.amazonaws.com", "CreateServiceLinkedRoles": true}),
        );
        for made in made {
            assert!(actions(&made).contains("iam:CreateServiceLinkedRole"));
            assert!(
                made.contains(r#"{"iam:AWSServiceName":["spot.amazonaws.com"]}"#),
                "{made}"
            );
        }
        let shared =
            of(&json!({"Mode": "Share", "ServiceLinkedRoles": "autoscaling.amazonaws.com_x"}));
        for shared in shared {
            assert_eq!(
                actions(&shared),
                BTreeSet::from(["kms:CreateGrant".to_owned()])
            );
            assert!(!shared.contains(":222222222222:key/"), "{shared}");
        }
    }

    /// `kms:De*` would match DeriveSharedSecret and DeleteImportedKeyMaterial, and `kms:Generate*` GenerateDataKey.
    #[test]
    fn the_last_session_policy_names_the_key_actions_of_the_first() {
        let of_keys = |policy: &String| {
            let mut actions = actions(policy);
            actions.retain(|action| action.starts_with("kms:"));
            actions
        };
        for roles in [None, Some("spot.amazonaws.com")] {
            let mut request = json!({"SourceImageId": "ami-0a1b2c3d4e5f60718", "Targets": [{"AccountId": "222222222222"}]});
            if let Some(roles) = roles {
                request["ServiceLinkedRoles"] = json!(roles);
            }
            let state = planned(&request);
            let policies = session_policies(&state, &state.targets[0].account_id);
            let last = policies.last().expect("one");
            assert_eq!(of_keys(&policies[0]), of_keys(last));
        }
    }

    /// A session that changes no tags of copies that stand cannot delete any.
    #[test]
    fn tags_are_deleted_only_from_copies_and_only_where_an_update_changes_them() {
        let mut state = planned(
            &json!({"SourceImageId": "ami-0a1b2c3d4e5f60718", "Targets": [{"AccountId": "222222222222"}]}),
        );
        let account = state.targets[0].account_id.clone();
        let delete = |policy: &String| actions(policy).contains("ec2:DeleteTags");
        assert!(!session_policies(&state, &account).iter().any(delete));
        state.order.retag = Some(Retag::default());
        let policies = session_policies(&state, &account);
        assert!(policies.iter().all(delete));
        for policy in policies {
            let policy: Value = serde_json::from_str(&policy).unwrap();
            let mut statements = policy["Statement"].as_array().unwrap().iter();
            let retagging = statements
                .find(|s| s["Action"] == "ec2:DeleteTags")
                .unwrap();
            assert_eq!(
                retagging["Condition"],
                json!({"StringEquals": {"aws:ResourceTag/amiferry:source-account": "111111111111"}})
            );
        }
    }

    /// Grants are listed and revoked on the account's own keys only.
    #[test]
    fn no_grant_on_a_source_key_is_revoked_from_a_target() {
        let state = planned(
            &json!({"SourceImageId": "ami-0a1b2c3d4e5f60718", "ServiceLinkedRoles": "spot.amazonaws.com",
            "Targets": [{"AccountId": "222222222222", "KmsKeyId": "alias/amis"}]}),
        );
        let policy = session_policies(&state, &state.targets[0].account_id).remove(0);
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
