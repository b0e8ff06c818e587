//! `Retain`: which copies of a lineage stay, and the steps by which old ones go.

use std::time::Duration;

use amiferry_sandbox::{
    BlockDeviceMapping, Ebs, Fault, Image, LaunchTemplate, Parameter, Role, Sandbox, Snapshot,
    World,
};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::{Value, json};

use crate::resume::{hang, killed};
use crate::support::*;

const PLACE: Place = ("222222222222", HOME);
const DAY: Duration = Duration::from_hours(24);
/// The copies of the lineage, the oldest first; 30 days lie between two of them.
const COPIES: [&str; 5] = [
    "ami-0aaaaaaaaaaaaaaa1",
    "ami-0aaaaaaaaaaaaaaa2",
    "ami-0aaaaaaaaaaaaaaa3",
    "ami-0aaaaaaaaaaaaaaa4",
    "ami-0aaaaaaaaaaaaaaa5",
];
const STRANGER: &str = "ami-0bbbbbbbbbbbbbbb1";

fn root_of(image: &str) -> String {
    image.replace("ami-", "snap-")
}

/// Returns a copy that amiferry made, or an image of somebody else with the same name.
fn image_named(id: &str, ours: bool) -> (Snapshot, Image) {
    let key = key_arn(PLACE);
    let mut snapshot = Snapshot::new(HOME, &root_of(id), 8).key(&key);
    let mut image = Image::new(HOME, id, &format!("golden-{}", &id[id.len() - 2..]))
        .mapping(BlockDeviceMapping::ebs(
            "/dev/xvda",
            Ebs::snapshot(&root_of(id)),
        ))
        .with(|image| image.root_device_name = Some("/dev/xvda".to_owned()));
    if ours {
        for (name, value) in [
            ("amiferry:run", "0123456789abcdef"),
            ("amiferry:source-image", AMI),
            ("amiferry:source-account", SOURCE),
            ("family", "web"),
        ] {
            snapshot = snapshot.tag(name, value);
            image = image.tag(name, value);
        }
    }
    (snapshot, image)
}

/// Returns a world with the copies, whose role may look for users and retire copies.
fn world_of_copies(
    change: impl Fn(amiferry_sandbox::Account) -> amiferry_sandbox::Account,
) -> World {
    let mut world = world(&[PLACE]);
    let mut accounts = world.accounts.iter_mut();
    let account = accounts.find(|one| one.id == PLACE.0).expect("the target");
    account.roles[0].policies.push(documented("LookForUsers"));
    let mut with = account.clone();
    for id in COPIES {
        let (snapshot, image) = image_named(id, true);
        with = with.snapshot(snapshot).image(image);
    }
    let (snapshot, image) = image_named(STRANGER, false);
    let arn = "arn:aws:iam::222222222222:role/Admin";
    with = with
        .snapshot(snapshot)
        .image(image)
        .role(Role::admin("Admin"));
    with = with.access_key("AKIAADMIN222222222222", "admin-secret", arn);
    *account = change(with);
    world
}

fn sandbox_of(world: World) -> Sandbox {
    let sandbox = Sandbox::new(world);
    let now = sandbox.now();
    sandbox.edit(|aws| {
        for (age, id) in (0..).zip(COPIES.iter().rev()) {
            assert!(aws.set_image_created(id, now - DAY * (30 * age)));
        }
    });
    sandbox
}

fn rule(more: &Value) -> Value {
    let mut rule = json!({"Lineage": "golden-*", "KeepNewest": 2, "GraceDays": 0,
        "TargetAccountIds": [PLACE.0]});
    for (key, value) in more.as_object().expect("keys") {
        rule[key] = value.clone();
    }
    json!({ "Retain": rule })
}

async fn retain(sandbox: &Sandbox, more: &Value) -> Value {
    call(sandbox, &rule(more)).await.expect("a reply")
}

/// Returns the decisions about the copies, the oldest first.
fn decisions(reply: &Value) -> Vec<(String, String)> {
    let images = reply["Targets"][0]["Images"].as_array().expect("Images");
    let of = |id: &&str| {
        let found = images.iter().find(|image| image["ImageId"] == **id);
        let found = found.unwrap_or_else(|| panic!("no {id} in {reply}"));
        let word = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        (word("Decision"), word("Reason"))
    };
    COPIES.iter().map(of).collect()
}

fn steps(reply: &Value) -> Vec<String> {
    decisions(reply).into_iter().map(|(step, _)| step).collect()
}

fn there(sandbox: &Sandbox) -> Vec<String> {
    let images = sandbox.images(PLACE.0, PLACE.1).into_iter();
    let mut ids: Vec<String> = images.map(|image| image.image_id).collect();
    ids.sort();
    ids
}

/// Checks that the two newest copies and the image of somebody else stay, with their snapshots, and
/// nothing else.
fn assert_only_newest(sandbox: &Sandbox, case: &str) {
    let kept = [COPIES[3], COPIES[4], STRANGER];
    assert_eq!(there(sandbox), kept, "{case}");
    let snapshots = sandbox.snapshots(PLACE.0, PLACE.1).into_iter();
    let mut left: Vec<String> = snapshots.map(|snapshot| snapshot.snapshot_id).collect();
    left.sort();
    assert_eq!(left, kept.map(root_of), "{case}");
}

/// A call that dies has removed some copies. The same call removes the rest, and leaves no snapshot
/// of a copy that is gone.
#[tokio::test(start_paused = true)]
async fn a_removal_killed_at_any_call_is_finished_by_the_same_call() {
    let wanted = rule(&json!({"Apply": true}));
    for fault in [Fault::HangBefore, Fault::HangAfter] {
        for n in 0.. {
            let sandbox = sandbox_of(world_of_copies(|account| account));
            hang(&sandbox, n, fault.clone());
            if killed(&sandbox, &wanted).await.is_none() {
                assert!(n > 10, "{n}");
                break;
            }
            sandbox.clear_fault();
            let reply = retain(&sandbox, &json!({"Apply": true})).await;
            assert_eq!(reply["Status"], "Succeeded", "cut at call {n}: {reply}");
            assert_only_newest(&sandbox, &format!("cut at call {n}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_tells_the_steps_and_changes_nothing() {
    let sandbox = sandbox_of(world_of_copies(|account| account));
    let before = sandbox.ledger().len();
    let reply = retain(&sandbox, &json!({})).await;
    assert_eq!(
        (&reply["Status"], &reply["Applied"]),
        (&json!("Succeeded"), &json!(false))
    );
    assert_eq!(
        steps(&reply),
        ["Deregister", "Deregister", "Deregister", "Keep", "Keep"]
    );
    assert_eq!(decisions(&reply)[4].1, "one of the newest 2");
    let images = reply["Targets"][0]["Images"].to_string();
    assert!(!images.contains(STRANGER), "{images}");
    let ledger = sandbox.ledger().split_off(before);
    let changing = ledger.iter().find(|call| {
        let reads = ["Describe", "List", "Get", "AssumeRole"];
        !reads.iter().any(|read| call.operation.starts_with(read))
    });
    assert!(changing.is_none(), "{changing:?}");
    assert_eq!(there(&sandbox).len(), 6);
}

#[tokio::test(start_paused = true)]
async fn old_copies_go_with_their_snapshots_and_images_of_others_stay() {
    let sandbox = sandbox_of(world_of_copies(|account| account));
    let reply = retain(&sandbox, &json!({"Apply": true})).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_only_newest(&sandbox, "at once");
    // Again, there is nothing to do.
    let again = retain(&sandbox, &json!({"Apply": true})).await;
    let images = again["Targets"][0]["Images"].as_array().unwrap();
    assert!(
        images.iter().all(|image| image["Decision"] == "Keep"),
        "{again}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_removal_takes_its_three_steps_over_two_grace_periods() {
    let sandbox = sandbox_of(world_of_copies(|account| account));
    let weekly = json!({"KeepNewest": 4, "GraceDays": 7, "Apply": true});
    let mut seen = Vec::new();
    for day in 0..16 {
        let reply = retain(&sandbox, &weekly).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        let images = reply["Targets"][0]["Images"].as_array().unwrap();
        let oldest = images.iter().find(|image| image["ImageId"] == COPIES[0]);
        if let Some(step) = oldest
            .map(|image| &image["Decision"])
            .filter(|s| **s != "Wait")
        {
            seen.push((day, step.as_str().unwrap().to_owned()));
        }
        tokio::time::sleep(DAY).await;
    }
    let steps: Vec<&str> = seen.iter().map(|(_, step)| step.as_str()).collect();
    assert_eq!(steps, ["Deprecate", "Disable", "Deregister"], "{seen:?}");
    let days: Vec<u32> = seen.iter().map(|(day, _)| *day).collect();
    assert_eq!(days, [0, 8, 15], "a minute after whole days");
    assert_eq!(there(&sandbox).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_lineage_may_be_a_tag_and_days_keep_copies_too() {
    let sandbox = sandbox_of(world_of_copies(|account| account));
    let by_tag = json!({"Lineage": "family=web", "KeepNewest": 1, "KeepDays": 70});
    let reply = retain(&sandbox, &by_tag).await;
    assert_eq!(
        steps(&reply),
        ["Deregister", "Deregister", "Keep", "Keep", "Keep"]
    );
    assert_eq!(decisions(&reply)[2].1, "younger than 70 days");
    let other = retain(&sandbox, &json!({"Lineage": "family=db"})).await;
    assert_eq!(other["Targets"][0]["Images"], json!([]));
}

async fn administrator(sandbox: &Sandbox) -> aws_sdk_ec2::Client {
    let own = config_in(HOME, sandbox.http_client(), sandbox.time_source()).await;
    let key = "AKIAADMIN222222222222";
    let credentials = Credentials::new(key, "admin-secret", None, None, "test");
    let provider = SharedCredentialsProvider::new(credentials);
    let config = own.into_builder().credentials_provider(provider).build();
    aws_sdk_ec2::Client::new(&config)
}

/// Each kind of use keeps the oldest copy, and says so.
#[tokio::test(start_paused = true)]
async fn a_copy_in_use_stays_with_the_reason() {
    let id = "lt-0a1b2c3d4e5f60718";
    let template = || {
        let first = LaunchTemplate::new(HOME, id, "web").image(COPIES[0]);
        // The template has fifteen newer versions.
        (0..15).fold(first, |template, _| template.later_image(COPIES[4]))
    };
    let typed = |account: amiferry_sandbox::Account| {
        let parameter = Parameter::new(HOME, "/golden/web", COPIES[0]);
        account.parameter(parameter.data_type("aws:ec2:image"))
    };
    let cases: [(&str, World); 2] = [
        (
            "launch-template/",
            world_of_copies(|account| account.launch_template(template())),
        ),
        ("parameter/golden/web", world_of_copies(typed)),
    ];
    for (words, world) in cases {
        let sandbox = sandbox_of(world);
        assert_kept(&sandbox, words).await;
    }
    let sandbox = sandbox_of(world_of_copies(|account| account));
    let ec2 = administrator(&sandbox).await;
    let image = || {
        ec2.run_instances()
            .image_id(COPIES[0])
            .min_count(1)
            .max_count(1)
    };
    let kind = aws_sdk_ec2::types::InstanceType::T2Micro;
    let run = image()
        .instance_type(kind)
        .send()
        .await
        .expect("it launches");
    assert_kept(&sandbox, ":instance/i-").await;
    let instance = run.instances()[0].instance_id().unwrap().to_owned();
    let ended = ec2.terminate_instances().instance_ids(instance).send();
    ended.await.expect("it ends");
    let share = ec2.modify_image_attribute().image_id(COPIES[0]);
    let friend = aws_sdk_ec2::types::LaunchPermission::builder().user_id("333333333333");
    let add = aws_sdk_ec2::types::LaunchPermissionModifications::builder().add(friend.build());
    let shared = share.launch_permission(add.build()).send().await;
    shared.expect("an administrator may");
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_kept(&sandbox, "333333333333 may launch from it").await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_protected_or_locked_stays_with_the_reason() {
    let sandbox = sandbox_of(world_of_copies(|account| account));
    sandbox.edit(|aws| assert!(aws.lock_snapshot(&root_of(COPIES[0]))));
    assert_kept(&sandbox, "snap-0aaaaaaaaaaaaaaa1 is locked").await;
    sandbox.edit(|aws| assert!(aws.unlock_snapshot(&root_of(COPIES[0]))));
    let ec2 = administrator(&sandbox).await;
    let protect = ec2.enable_image_deregistration_protection();
    let protected = protect.image_id(COPIES[0]).send().await;
    protected.expect("an administrator may");
    assert_kept(&sandbox, "deregistration protection is enabled").await;
}

/// Checks that the oldest copy is kept for this reason, and the second oldest goes.
async fn assert_kept(sandbox: &Sandbox, words: &str) {
    let reply = retain(sandbox, &json!({})).await;
    let decisions = decisions(&reply);
    assert_eq!(decisions[0].0, "Keep", "{words}: {reply}");
    assert!(
        decisions[0].1.contains(words),
        "{words}: {:?}",
        decisions[0]
    );
    assert_eq!(decisions[1].0, "Deregister", "{words}: {reply}");
}

#[tokio::test(start_paused = true)]
async fn copies_under_a_retired_key_are_named() {
    let sandbox = sandbox_of(world_of_copies(|account| account));
    sandbox.edit(|aws| assert!(aws.disable_key(&key_arn(PLACE))));
    let reply = retain(&sandbox, &json!({"KeepNewest": 5})).await;
    let retired = &reply["Targets"][0]["RetiredKeys"][0];
    assert_eq!(retired["KmsKeyArn"], key_arn(PLACE), "{reply}");
    assert_eq!(retired["KeyState"], "Disabled");
    assert_eq!(retired["ImageIds"].as_array().unwrap().len(), 5);
}

/// A copy that a custom resource made is the stack's to remove.
#[tokio::test(start_paused = true)]
async fn a_copy_that_a_custom_resource_counts_on_stays() {
    let world = world_of_copies(|account| account);
    let stack = crate::custom_resource::Stack::of(world);
    let created = stack.send(&stack.event("Create", &request(&[PLACE]))).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    let rule = json!({"Lineage": "golden-copied-*", "KeepDays": 1});
    tokio::time::sleep(Duration::from_millis(100)).await;
    let copied = stack.sandbox.images(PLACE.0, PLACE.1).into_iter();
    let mut copied = copied.filter(|image| image.name.starts_with("golden-copied"));
    let id = copied.next().expect("the copy").image_id;
    let old = stack.sandbox.now() - DAY * 30;
    stack
        .sandbox
        .edit(|aws| assert!(aws.set_image_created(&id, old)));
    let mut rule = self::rule(&rule);
    rule["Retain"].as_object_mut().unwrap().remove("KeepNewest");
    let reply = call(&stack.sandbox, &rule).await.expect("a reply");
    let image = &reply["Targets"][0]["Images"][0];
    assert_eq!(image["Decision"], "Keep", "{reply}");
    assert!(
        image["Reason"].to_string().contains("counts on it"),
        "{image}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_whose_role_may_not_look_fails_alone_with_its_remedy() {
    let mut world = world_of_copies(|account| account);
    world.accounts[1].roles[0].policies.pop();
    let sandbox = sandbox_of(world);
    let reply = retain(&sandbox, &json!({"Apply": true})).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let target = &reply["Targets"][0];
    let (reason, remedy) = (target["Reason"].to_string(), target["Remedy"].to_string());
    assert!(reason.contains("DescribeImageReferences"), "{reason}");
    assert!(remedy.contains("Retention"), "{remedy}");
    assert_eq!(there(&sandbox).len(), 6, "nothing goes unseen");
}

/// Without any one action of the documented policy, a call fails.
#[tokio::test(start_paused = true)]
async fn a_removal_needs_every_action_of_its_policy() {
    let policy: Value = serde_json::from_str(&documented("LookForUsers")).expect("JSON");
    for s in 0..2 {
        let count = policy["Statement"][s]["Action"].as_array().unwrap().len();
        for a in 0..count {
            let mut fewer = policy.clone();
            let actions = fewer["Statement"][s]["Action"].as_array_mut().unwrap();
            let removed = actions.remove(a);
            let mut world = world_of_copies(|account| account);
            let last = world.accounts[1].roles[0].policies.last_mut().unwrap();
            *last = fewer.to_string();
            let sandbox = sandbox_of(world);
            let mut ended = Vec::new();
            for _ in 0..3 {
                let weekly = json!({"KeepNewest": 4, "GraceDays": 7, "Apply": true});
                ended.push(retain(&sandbox, &weekly).await["Status"].clone());
                tokio::time::sleep(DAY * 8).await;
            }
            assert!(
                ended.contains(&json!("Failed")),
                "without {removed}: {ended:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_without_the_ledger() {
    let sandbox = sandbox_of(world_of_copies(|account| account));
    sandbox.set_fault(|call| match call.operation.as_str() {
        "ListObjectsV2" => refuse(403, "AccessDenied"),
        _ => Fault::None,
    });
    let refused = call(&sandbox, &rule(&json!({"Apply": true}))).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("ListObjectsV2"), "{refused}");
    assert_eq!(there(&sandbox).len(), 6);
    assert_eq!(calls(&sandbox, "AssumeRole"), 0);
}
