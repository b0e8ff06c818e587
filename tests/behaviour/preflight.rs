//! Preflight: reports every obstacle at once, each with its remedy, and changes nothing.

use amiferry_sandbox::{Account, Ec2Settings, FULL_AWS_ACCESS, Key, Role, Sandbox, World};
use serde_json::{Value, json};

use crate::support::*;

mod opening;

const KEY_ID: &str = "22222222-aaaa-bbbb-cccc-000000000002";
const TARGET: Place = ("222222222222", HOME);
const AUTO_SCALING: &str = "autoscaling.amazonaws.com";

pub fn looked_into(account: &str) -> Account {
    let role = copy_role(account, &[HOME]).policy(documented("LookFirst"));
    Account::new(account)
        .role(role)
        .key(Key::new(HOME, KEY_ID).alias("alias/amis"))
}

fn world_of(target: Account) -> World {
    World::new().account(producer()).account(target)
}

pub async fn look(sandbox: &Sandbox, request: &Value) -> Value {
    let before = seen(sandbox);
    let reply = call(sandbox, &json!({ "Preflight": request }))
        .await
        .expect("a reply");
    assert_eq!(seen(sandbox), before, "something was changed");
    for call in sandbox.ledger() {
        let word = call.operation.as_str();
        let asks = ["Describe", "Get", "List", "Simulate", "AssumeRole"];
        let dry = call.params.get("DryRun").is_some_and(|flag| flag == "true");
        assert!(
            dry || asks.iter().any(|a| word.starts_with(a)),
            "{word} without DryRun"
        );
    }
    reply
}

/// Returns everything in which a change would show.
fn seen(sandbox: &Sandbox) -> String {
    let places = FOUR.into_iter().chain([(SOURCE, HOME)]);
    let things: Vec<_> = places
        .map(|(account, region)| {
            (
                sandbox.images(account, region),
                sandbox.snapshots(account, region),
            )
        })
        .collect();
    let keys = [SOURCE_KEY.to_owned(), key_arn(TARGET)];
    let keys = keys.map(|key| (sandbox.grants(&key), sandbox.key_policy(&key)));
    format!("{things:?} {keys:?}")
}

pub fn found<'a>(reply: &'a Value, check: &str) -> Option<&'a Value> {
    let findings = reply["Findings"].as_array().expect("Findings");
    findings.iter().find(|finding| finding["Check"] == check)
}

/// Checks that exactly this is found, at this level, with this remedy.
fn only(reply: &Value, level: &str, check: &str, remedy: &str) {
    let finding = found(reply, check).unwrap_or_else(|| panic!("no {check} in {reply}"));
    assert_eq!(finding["Level"], level, "{finding}");
    let said = finding["Remedy"].as_str().unwrap_or_default();
    assert!(said.contains(remedy), "{finding}");
    assert!(
        finding["Reason"].as_str().is_some_and(|r| r.len() > 10),
        "{finding}"
    );
    assert_eq!(reply["Findings"].as_array().unwrap().len(), 1, "{reply}");
    let ready = if level == "Error" {
        "NotReady"
    } else {
        "Ready"
    };
    assert_eq!(reply["Status"], ready);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_preflight_finds_ready_succeeds() {
    let sandbox = Sandbox::new(world_of(looked_into(TARGET.0)));
    let reply = look(&sandbox, &request(&[TARGET])).await;
    assert_eq!(reply["Status"], "Ready", "{reply}");
    assert_eq!(reply["Findings"], json!([]), "{reply}");
    assert!(
        reply["Plan"][0].as_str().unwrap().starts_with("Copy ami-"),
        "{reply}"
    );
    assert_eq!(
        to_the_end(&sandbox, &distribute(&[TARGET])).await["Status"],
        "Succeeded"
    );
    // Once the copy exists, Preflight reports it.
    sandbox.clear_ledger();
    let again = look(&sandbox, &request(&[TARGET])).await;
    only(&again, "Note", "AlreadyThere", "");
}

/// The documented role may not make every check. Preflight reports these as unknown, which is no
/// error.
#[tokio::test(start_paused = true)]
async fn checks_that_the_role_may_not_make_are_unknown() {
    let sandbox = Sandbox::new(world(&[TARGET]));
    let reply = look(&sandbox, &request(&[TARGET])).await;
    assert_eq!(reply["Status"], "Ready", "{reply}");
    for (check, action) in [
        ("RolePolicy", "iam:SimulatePrincipalPolicy"),
        ("TargetKeyPolicy", "kms:GetKeyPolicy"),
    ] {
        let finding = found(&reply, check).expect(check);
        assert_eq!(finding["Level"], "Unknown");
        assert!(
            finding["Remedy"].as_str().unwrap().contains(action),
            "{finding}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn each_obstacle_in_a_target_is_found_with_its_remedy() {
    let target = || looked_into(TARGET.0);
    // The role is missing, or does not trust this function.
    let sandbox = Sandbox::new(world_of(Account::new(TARGET.0)));
    let reply = look(&sandbox, &request(&[TARGET])).await;
    only(&reply, "Error", "AssumeRole", "create the role AmiCopyRole");
    // The key is missing, or disabled.
    let mut keyless = target();
    keyless.keys.clear();
    let reply = look(&Sandbox::new(world_of(keyless)), &request(&[TARGET])).await;
    only(&reply, "Error", "TargetKey", "check that alias/amis exists");
    let mut disabled = target();
    disabled.keys[0].state = Some("Disabled".to_owned());
    let reply = look(&Sandbox::new(world_of(disabled)), &request(&[TARGET])).await;
    only(&reply, "Error", "TargetKey", "enable");
    // The policy of this key lets no principal of the account encrypt.
    let mut strict = target();
    strict.keys[0].policy = Some(
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*",
            "Principal": {"AWS": format!("arn:aws:iam::{}:root", TARGET.0)},
            "Action": ["kms:Describe*", "kms:Get*", "kms:PutKeyPolicy", "kms:CreateGrant"]}]})
        .to_string(),
    );
    let reply = look(&Sandbox::new(world_of(strict)), &request(&[TARGET])).await;
    only(
        &reply,
        "Error",
        "TargetKeyPolicy",
        "kms:Decrypt, kms:GenerateDataKeyWithoutPlaintext, kms:ReEncryptFrom, kms:ReEncryptTo",
    );
    // The role's policy lacks the use of a key.
    let role = copy_role(TARGET.0, &[HOME]).policy(documented("LookFirst"));
    let policies: Vec<String> = role
        .policies
        .iter()
        .map(|p| p.replace("\"kms:Decrypt\", ", ""))
        .collect();
    let mut poor = target();
    poor.roles[0].policies = policies;
    let reply = look(&Sandbox::new(world_of(poor)), &request(&[TARGET])).await;
    let lacking = reply["Findings"].as_array().expect("Findings");
    for (key, finding) in [SOURCE_KEY.to_owned(), key_arn(TARGET)].iter().zip(lacking) {
        let said = finding["Remedy"].as_str().expect("a Remedy");
        assert!(said.contains(&format!("kms:Decrypt on {key}")), "{finding}");
        assert_eq!(finding["Check"], "RolePolicy");
    }
    assert_eq!(lacking.len(), 2, "{reply}");
    // The Region is not enabled.
    let reply = look(
        &Sandbox::new(world_of(target().region_disabled(HOME))),
        &request(&[TARGET]),
    )
    .await;
    only(
        &reply,
        "Error",
        "DescribeImages",
        "enable the Region us-west-2",
    );
}

#[tokio::test(start_paused = true)]
async fn obstacles_of_names_tags_and_quotas_are_found() {
    let named = looked_into(TARGET.0)
        .snapshot(amiferry_sandbox::Snapshot::new(
            HOME,
            "snap-0fffffffffffffff1",
            8,
        ))
        .image(
            amiferry_sandbox::Image::new(
                HOME,
                "ami-0fffffffffffffff1",
                "golden-copied-from-111111111111",
            )
            .mapping(amiferry_sandbox::BlockDeviceMapping::ebs(
                "/dev/xvda",
                amiferry_sandbox::Ebs::snapshot("snap-0fffffffffffffff1"),
            )),
        );
    let reply = look(&Sandbox::new(world_of(named)), &request(&[TARGET])).await;
    only(&reply, "Error", "NameTaken", "Rename or deregister it");
    // The organization demands a tag that the request lacks.
    let policy = json!({"Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Resource": "arn:aws:ec2:*::snapshot/*",
        "Action": "ec2:CopySnapshot",
        "Condition": {"Null": {"aws:RequestTag/cost-center": "true"}}}]});
    let bound = looked_into(TARGET.0)
        .organization("o-abcdefghij")
        .service_control_policy(FULL_AWS_ACCESS)
        .service_control_policy(policy);
    let reply = look(&Sandbox::new(world_of(bound)), &request(&[TARGET])).await;
    only(&reply, "Error", "CopySnapshot", "service control policy");
    let mut busy = looked_into(TARGET.0);
    for n in 0..20 {
        let id = format!("snap-0ffffffffffff{n:04}");
        let mut snapshot = amiferry_sandbox::Snapshot::new(HOME, &id, 8);
        "pending".clone_into(&mut snapshot.state);
        busy = busy.snapshot(snapshot);
    }
    let reply = look(&Sandbox::new(world_of(busy)), &request(&[TARGET])).await;
    only(&reply, "Warning", "Quota", "they wait in line");
}

#[tokio::test(start_paused = true)]
async fn missing_service_linked_roles_are_found() {
    let sandbox = Sandbox::new(world_of(looked_into(TARGET.0)));
    let mut wish = request(&[TARGET]);
    wish["ServiceLinkedRoles"] = json!([AUTO_SCALING]);
    let reply = look(&sandbox, &wish).await;
    only(
        &reply,
        "Error",
        "ServiceLinkedRole",
        "create-service-linked-role",
    );
    sandbox.clear_ledger();
    wish["CreateServiceLinkedRoles"] = json!(true);
    only(
        &look(&sandbox, &wish).await,
        "Note",
        "ServiceLinkedRole",
        "",
    );
    let there = looked_into(TARGET.0).role(Role::service_linked(
        AUTO_SCALING,
        "AWSServiceRoleForAutoScaling",
    ));
    let reply = look(&Sandbox::new(world_of(there)), &wish).await;
    assert_eq!(reply["Findings"], json!([]), "{reply}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_allows_no_shared_images_is_found() {
    let wish = json!({"SourceImageId": AMI, "Mode": "Share", "TargetAccountIds": [TARGET.0]});
    for (state, level, status) in [
        ("enabled", "Error", "NotReady"),
        ("audit-mode", "Warning", "Ready"),
    ] {
        let strangers = Ec2Settings::default()
            .allowing(&["999999999999"])
            .with(|settings| state.clone_into(&mut settings.allowed_images));
        let target = looked_into(TARGET.0).ec2_settings(HOME, strangers);
        let reply = look(&Sandbox::new(world_of(target)), &wish).await;
        assert_eq!(reply["Status"], status);
        only(
            &reply,
            level,
            "AllowedImages",
            "add 111111111111 to the image providers",
        );
    }
    let friends = Ec2Settings::default().allowing(&[SOURCE]);
    let target = looked_into(TARGET.0).ec2_settings(HOME, friends);
    let reply = look(&Sandbox::new(world_of(target)), &wish).await;
    assert_eq!(reply["Findings"], json!([]), "{reply}");
    // Sharing needs no role in the target; without one this check cannot be made.
    let reply = look(&Sandbox::new(world_of(Account::new(TARGET.0))), &wish).await;
    only(&reply, "Unknown", "AllowedImages", "");
}

/// Nothing is ever made public, so an account that blocks public access is no obstacle.
#[tokio::test(start_paused = true)]
async fn blocked_public_access_is_no_obstacle() {
    let blocked = Ec2Settings {
        image_block_public_access: "block-new-sharing".to_owned(),
        snapshot_block_public_access: "block-all-sharing".to_owned(),
        ..Ec2Settings::default()
    };
    for mode in ["Copy", "Share"] {
        let source = producer().ec2_settings(HOME, blocked.clone());
        let target = looked_into(TARGET.0).ec2_settings(HOME, blocked.clone());
        let sandbox = Sandbox::new(World::new().account(source).account(target));
        let mut wish = request(&[TARGET]);
        if mode == "Share" {
            wish = json!({"SourceImageId": AMI, "Mode": "Share", "ShareSnapshots": true,
                "TargetAccountIds": [TARGET.0]});
        }
        let reply = look(&sandbox, &wish).await;
        assert_eq!(
            (&reply["Status"], &reply["Findings"]),
            (&json!("Ready"), &json!([])),
            "{mode}: {reply}"
        );
        let run = to_the_end(&sandbox, &json!({ "Distribute": wish })).await;
        assert_eq!(run["Status"], "Succeeded", "{mode}: {run}");
    }
}
