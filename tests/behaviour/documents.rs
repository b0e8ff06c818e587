//! `{"Policies": …}` lists exactly the actions that a request needs. With these policies and no
//! others every step that the request may take succeeds; without any one action some step fails.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use amiferry::setup::Settings;
use amiferry_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::support::*;
use crate::tables::shown;

mod play;
mod wishes;

use play::play;
use wishes::{answer, sandbox_of, wish, wishes};

const ACCOUNT: &str = "222222222222";
/// The target whose first copy breaks and is made again, and the one that fails and succeeds on the
/// second request.
const FIRST: Place = (ACCOUNT, HOME);
const SECOND: Place = (ACCOUNT, "us-east-1");
const SPOT: &str = "AWSServiceRoleForEC2Spot";
/// Groups of actions that no run uses: a person does.
const FOR_PEOPLE: [&str; 2] = ["Administration", "LookAfterIt"];
/// An action that no request needs. It replaces the action taken out, because a statement must have
/// one.
const HARMLESS: &str = "ec2:DescribeVpcs";

fn policies(reply: &Value) -> Vec<Value> {
    reply["Policies"].as_array().expect("Policies").clone()
}

#[tokio::test(start_paused = true)]
async fn each_request_needs_exactly_the_actions_of_its_policies() {
    let mut idle = Vec::new();
    // Each policy without an action, with the outcome and the actions that had the same outcome.
    let mut seen: Vec<([String; 4], Vec<String>)> = Vec::new();
    // An action that one request of a mode proved to be needed need not be proved again.
    let mut proved = BTreeSet::new();
    for (name, words) in wishes() {
        let wish = wish(&words);
        let all = policies(&answer(&wish).await);
        let whole = play(&sandbox_of(&all, &wish), &wish).await;
        assert_eq!(whole, Ok(()), "{name}: {all:#?}");
        for (d, s, a) in actions(&all) {
            let (document, statement) = (&all[d], &all[d]["Document"]["Statement"][s]);
            let (purpose, sid) = (text(&document["For"]), text(&statement["Sid"]));
            let action = text(&statement["Action"][a]);
            // The accounts that Organizations must list depend on the audience, and what staging
            // takes on where the stage is.
            let depends = sid == "Organization" || sid.to_lowercase().contains("stag");
            let of_request = if depends { name } else { "" };
            let what = [
                text(&wish["Mode"]),
                purpose.clone(),
                sid.clone(),
                action.clone(),
            ];
            if !proved.insert((of_request, what)) {
                continue;
            }
            let mut without = all.clone();
            without[d]["Document"]["Statement"][s]["Action"][a] = json!(HARMLESS);
            match play(&sandbox_of(&without, &wish), &wish).await {
                Ok(()) => idle.push(format!("{name}: {purpose}, {sid}, {action}")),
                Err(came) => {
                    let row = [name.to_owned(), purpose, sid, came];
                    match seen.iter_mut().find(|(there, _)| *there == row) {
                        Some((_, actions)) => actions.push(action),
                        None => seen.push((row, vec![action])),
                    }
                }
            }
        }
    }
    assert!(idle.is_empty(), "nothing fails without: {idle:#?}");
    let mut table =
        "| request | document | statement | without | comes |\n|---|---|---|---|---|\n".to_owned();
    for ([name, purpose, sid, came], actions) in seen {
        let actions = actions.join("`, `");
        writeln!(
            table,
            "| {name} | {purpose} | `{sid}` | `{actions}` | {came} |"
        )
        .expect("text");
    }
    shown("docs/permissions.md", "one action taken out", &table);
}

/// Returns the place of every action that a run uses.
fn actions(policies: &[Value]) -> Vec<(usize, usize, usize)> {
    let mut all = Vec::new();
    for (d, document) in policies.iter().enumerate() {
        let statements = document["Document"]["Statement"].as_array();
        for (s, statement) in statements.into_iter().flatten().enumerate() {
            let for_people = FOR_PEOPLE.iter().any(|sid| statement["Sid"] == *sid);
            if statement["Effect"] == "Deny" || for_people {
                continue;
            }
            let count = statement["Action"].as_array().map_or(0, Vec::len);
            all.extend((0..count).map(|a| (d, s, a)));
        }
    }
    all
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// Checks that docs/permissions.md has every action, with its purpose.
#[tokio::test(start_paused = true)]
async fn every_action_of_the_policies_is_documented_with_its_purpose() {
    let documented = include_str!("../../docs/permissions.md");
    for (name, words) in wishes() {
        for policy in policies(&answer(&wish(&words)).await) {
            let statements = policy["Document"]["Statement"].as_array().expect("a list");
            let run = statements
                .iter()
                .filter(|s| !FOR_PEOPLE.iter().any(|sid| s["Sid"] == *sid));
            for action in run.flat_map(|s| s["Action"].as_array().expect("a list")) {
                let action = action.as_str().expect("text");
                let family =
                    action.starts_with("kms:ReEncrypt") && documented.contains("kms:ReEncrypt*");
                assert!(
                    family || documented.contains(&format!("\"{action}\"")),
                    "{name}: {action}"
                );
                assert!(
                    policy["Reasons"][action]
                        .as_str()
                        .is_some_and(|why| !why.is_empty())
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn policies_for_a_function_with_a_bucket_include_its_ledger() {
    let sandbox = Sandbox::new(world(&TWO));
    let settings = Settings {
        bucket: Some("amiferry-bucket".to_owned()),
        ..Settings::default()
    };
    let event = json!({"Policies": wish(&json!({}))}).to_string();
    let function = function_with(&sandbox, settings).await;
    let reply = function.handle(&event, &invocation(&sandbox)).await;
    let role = policies(&reply.expect("a reply")).swap_remove(0);
    let documented: Value = serde_json::from_str(&documented("Find")).expect("a policy");
    let resources = |policy: &Value, sid: &str| -> Value {
        let statements = policy["Statement"].as_array().expect("statements");
        let found = statements.iter().find(|statement| statement["Sid"] == sid);
        let resource = found.expect(sid)["Resource"].clone();
        if resource.is_array() {
            resource
        } else {
            json!([resource])
        }
    };
    for sid in ["Ledger", "ListLedger"] {
        let asked = resources(&role["Document"], sid);
        assert_eq!(asked, resources(&documented, sid));
    }
}

/// Returns the answer to the documented example.
async fn example_reply() -> Value {
    let example = include_str!("../../events/policies.json");
    let example: Value = serde_json::from_str(example).expect("an event");
    let reply = answer(&example["Policies"]).await;
    assert_eq!(reply["Status"], "Succeeded");
    reply
}

#[tokio::test(start_paused = true)]
async fn the_policies_reply_names_the_principal_or_key_of_each_policy() {
    let reply = example_reply().await;
    let shape: Vec<String> = policies(&reply)
        .iter()
        .map(|p| {
            let text = |key: &str| p[key].as_str().unwrap_or("-").to_owned();
            [
                text("For"),
                text("AccountId"),
                text("Region"),
                text("Resource"),
            ]
            .join(" ")
        })
        .collect();
    assert_eq!(
        shape,
        [
            "function role 111111111111 - arn:aws:iam::111111111111:role/amiferry",
            "copy role 222222222222 - arn:aws:iam::222222222222:role/AmiCopyRole",
            "trust of the copy role 222222222222 - arn:aws:iam::222222222222:role/AmiCopyRole",
            "copy role 333333333333 - arn:aws:iam::333333333333:role/AmiCopyRole",
            "trust of the copy role 333333333333 - arn:aws:iam::333333333333:role/AmiCopyRole",
            "source key 111111111111 us-west-2 arn:aws:kms:us-west-2:111111111111:\
             key/11111111-aaaa-bbbb-cccc-000000000001",
            "target key 222222222222 us-west-2 alias/amis",
            "target key 333333333333 us-east-1 alias/amis",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_trust_policy_in_the_policies_reply_names_the_function_only() {
    let policies = policies(&example_reply().await);
    assert_eq!(
        policies[2]["Document"],
        json!({"Version": "2012-10-17", "Statement": [{
            "Sid": "Function", "Effect": "Allow", "Action": ["sts:AssumeRole"],
            "Principal": {"AWS": ["arn:aws:iam::111111111111:root"]},
            // A session's name does not show whether its role has a path.
            "Condition": {"ArnEquals": {"aws:PrincipalArn": [
                "arn:aws:iam::111111111111:role/amiferry",
                "arn:aws:iam::111111111111:role/*/amiferry",
            ]}},
        }]})
    );
    assert_eq!(
        policies[2]["Reasons"],
        json!({"sts:AssumeRole": "the function, and nobody else"})
    );
}

#[tokio::test(start_paused = true)]
async fn the_policies_reply_has_a_template_for_each_account() {
    let reply = example_reply().await;
    let templates = &reply["CloudFormation"];
    let kinds = |account: &str| -> Vec<String> {
        let resources = templates[account]["Resources"]
            .as_object()
            .expect("resources");
        let kind = |r: &Value| r["Type"].as_str().expect("a type").to_owned();
        resources.values().map(kind).collect()
    };
    assert_eq!(kinds(SOURCE), ["AWS::IAM::ManagedPolicy"]);
    assert!(templates[SOURCE]["Metadata"]["KeyPolicies"]["Statements"][SOURCE_KEY].is_array());
    for account in ["222222222222", "333333333333"] {
        assert_eq!(
            kinds(account),
            ["AWS::IAM::Role", "AWS::KMS::Key", "AWS::KMS::Alias"]
        );
        let role = &templates[account]["Resources"]["CopyRole"]["Properties"];
        assert_eq!(role["RoleName"], "AmiCopyRole");
        assert_eq!(role["Path"], "/");
    }
}

/// Limits in characters of a role's inline policies and of a managed policy. Source: IAM user
/// guide, IAM and AWS STS quotas.
const INLINE: usize = 10_240;
const MANAGED: usize = 6_144;

#[tokio::test(start_paused = true)]
async fn a_template_for_many_regions_keeps_within_iams_limits_and_allows_the_same() {
    let targets: Vec<Value> = (1..=27)
        .map(|n| {
            let region = format!("ap-southeast-{n}");
            let key =
                format!("arn:aws:kms:{region}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab");
            json!({"AccountId": ACCOUNT, "Region": region, "KmsKeyId": key})
        })
        .collect();
    let roles = ["autoscaling.amazonaws.com", "spot.amazonaws.com"];
    let wish = json!({"SourceImageId": AMI, "Targets": targets, "ServiceLinkedRoles": roles});
    let reply = answer(&wish).await;
    let wanted = policies(&reply).swap_remove(1);
    assert_eq!(wanted["For"], "copy role");
    assert!(wanted["Document"].to_string().len() > INLINE);
    let resources = &reply["CloudFormation"][ACCOUNT]["Resources"];
    let role = &resources["CopyRole"]["Properties"];
    let refs = role["ManagedPolicyArns"].as_array().expect("a list");
    let mut allowed = BTreeSet::new();
    for one in refs {
        let part = &resources[text(&one["Ref"])];
        assert_eq!(part["Type"], "AWS::IAM::ManagedPolicy");
        assert_eq!(part["Condition"], resources["CopyRole"]["Condition"]);
        let part = &part["Properties"]["PolicyDocument"];
        assert!(part.to_string().len() <= MANAGED);
        allowed.extend(each_resource(part));
    }
    assert!(refs.len() <= 10, "a role takes no more");
    assert_eq!(allowed, each_resource(&wanted["Document"]));
}

/// Returns the statements of a policy, once for each of their resources.
fn each_resource(policy: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for statement in policy["Statement"].as_array().expect("statements") {
        for resource in statement["Resource"].as_array().expect("a list") {
            let mut one = statement.clone();
            one["Resource"] = resource.clone();
            all.insert(one.to_string());
        }
    }
    all
}
