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

fn source_keys(count: usize) -> Vec<KeyArn> {
    let key = |n| format!("arn:aws:kms:us-west-2:111111111111:key/1234abcd-12ab-34cd-56ef-{n:012}");
    (0..count)
        .map(|n| KeyArn::parse(&key(n)).unwrap())
        .collect()
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
                    .map(|n| {
                        json!({"AccountId": "222222222222",
                        "Region": format!("ap-southeast-{}", n + 1), "KmsKeyId": key})
                    })
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
                let case = format!("{regions} Regions, {keys} keys, {roles} roles: {lengths:?}");
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

/// A session has the permissions of launch grants only if the request asks for them; a share's
/// session has nothing else.
#[test]
fn a_session_may_make_launch_grants_only_if_asked() {
    let of = |more: &Value| {
        let mut request = json!({"SourceImageId": "ami-0a1b2c3d4e5f60718",
            "Targets": [{"AccountId": "222222222222"}]});
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
    let made =
        of(&json!({"ServiceLinkedRoles": "spot.amazonaws.com", "CreateServiceLinkedRoles": true}));
    for made in made {
        assert!(actions(&made).contains("iam:CreateServiceLinkedRole"));
        assert!(
            made.contains(r#"{"iam:AWSServiceName":["spot.amazonaws.com"]}"#),
            "{made}"
        );
    }
    let shared = of(&json!({"Mode": "Share", "ServiceLinkedRoles": "autoscaling.amazonaws.com_x"}));
    for shared in shared {
        assert_eq!(
            actions(&shared),
            BTreeSet::from(["kms:CreateGrant".to_owned()])
        );
        assert!(!shared.contains(":222222222222:key/"), "{shared}");
    }
}

/// `kms:De*` would match DeriveSharedSecret and DeleteImportedKeyMaterial, and `kms:Generate*`
/// would match GenerateDataKey.
#[test]
fn the_last_session_policy_names_the_key_actions_of_the_first() {
    let of_keys = |policy: &String| {
        let mut actions = actions(policy);
        actions.retain(|action| action.starts_with("kms:"));
        actions
    };
    for roles in [None, Some("spot.amazonaws.com")] {
        let mut request = json!({"SourceImageId": "ami-0a1b2c3d4e5f60718",
            "Targets": [{"AccountId": "222222222222"}]});
        if let Some(roles) = roles {
            request["ServiceLinkedRoles"] = json!(roles);
        }
        let state = planned(&request);
        let policies = session_policies(&state, &state.targets[0].account_id);
        let last = policies.last().expect("one");
        assert_eq!(of_keys(&policies[0]), of_keys(last));
    }
}

/// A session that changes no tags of existing copies cannot delete any.
#[test]
fn a_session_may_delete_tags_only_in_a_retag_of_copies() {
    let mut state = planned(&json!({"SourceImageId": "ami-0a1b2c3d4e5f60718",
            "Targets": [{"AccountId": "222222222222"}]}));
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
fn a_session_may_not_revoke_grants_on_a_source_key() {
    let state = planned(&json!({"SourceImageId": "ami-0a1b2c3d4e5f60718",
            "ServiceLinkedRoles": "spot.amazonaws.com",
        "Targets": [{"AccountId": "222222222222", "KmsKeyId": "alias/amis"}]}));
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
