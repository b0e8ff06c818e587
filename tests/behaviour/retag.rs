//! An update of a custom resource that changes `Tags` or `CopyTags`: the copies that stand follow
//! in place.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use amiferry_sandbox::{Fault, Role, Sandbox};
use aws_credential_types::Credentials;
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::Tag;
use serde_json::{Value, json};

use crate::custom_resource::{Stack, with};
use crate::launch_grants::somebody;
use crate::lives::{of_resource, served, unread, update};
use crate::support::*;

type Tags = BTreeMap<String, String>;

/// Returns the tags of each image and snapshot of a target, by ID.
fn tags(sandbox: &Sandbox, (account, region): Place) -> BTreeMap<String, Tags> {
    let images = sandbox.images(account, region).into_iter();
    let images = images.map(|image| (image.image_id, image.tags));
    let snapshots = sandbox.snapshots(account, region).into_iter();
    images
        .chain(snapshots.map(|snapshot| (snapshot.snapshot_id, snapshot.tags)))
        .collect()
}

/// Returns EC2 as a target's administrator sees it.
fn administrator(sandbox: &Sandbox, (account, region): Place) -> aws_sdk_ec2::Client {
    let id = format!("AKIAADMIN{account}");
    let credentials = Credentials::new(id, "admin-secret", None, None, "test");
    aws_sdk_ec2::Client::new(&somebody(sandbox, region, credentials))
}

async fn tag(ec2: &aws_sdk_ec2::Client, id: &str, name: &str, value: &str) {
    let tag = Tag::builder().key(name).value(value).build();
    let tagging = ec2.create_tags().resources(id).tags(tag).send().await;
    tagging.expect("an administrator may");
}

fn tagging_world() -> amiferry_sandbox::World {
    let mut world = world(&TWO);
    for account in &mut world.accounts[1..] {
        let arn = format!("arn:aws:iam::{}:role/Admin", account.id);
        let key = format!("AKIAADMIN{}", account.id);
        let with_admin = account.clone().access_key(&key, "admin-secret", &arn);
        *account = with_admin.role(Role::admin("Admin"));
    }
    world
}

fn tagged(words: &Value) -> Value {
    with(request(&TWO), "Tags", words.clone())
}

fn is_image(id: &str) -> bool {
    id.starts_with("ami-")
}

/// Returns the tags from the time of the copy, with these changes.
fn expected(id: &str, created: &Tags, changes: &[(&str, Option<&str>)]) -> Tags {
    let mut tags = created.clone();
    for (name, value) in changes {
        match value {
            Some(value) => drop(tags.insert((*name).to_owned(), (*value).to_owned())),
            None => drop(tags.remove(*name)),
        }
    }
    // The source image has a tag of this name, its snapshots have none.
    if is_image(id) && !tags.contains_key("team") {
        tags.insert("team".to_owned(), "platform".to_owned());
    }
    tags
}

#[tokio::test(start_paused = true)]
async fn an_update_of_tags_changes_existing_copies() {
    let stack = Stack::of(tagging_world());
    let sandbox = &stack.sandbox;
    let old = tagged(&json!({"stage": "test", "team": "own", "owner": "a", "same": "s"}));
    let created = stack.send(&stack.event("Create", &old)).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    let before = TWO.map(|place| tags(sandbox, place));
    let new = tagged(&json!({"stage": "prod", "same": "s", "new": "n"}));
    let changes = [
        ("stage", Some("prod")),
        ("new", Some("n")),
        ("team", None),
        ("owner", None),
    ];
    // The same update once more changes nothing.
    for _ in 0..2 {
        let updated = update(&stack, &created, &old, &new).await;
        assert_eq!(updated["Status"], "SUCCESS", "{updated}");
        for (place, before) in TWO.into_iter().zip(&before) {
            for (id, now) in tags(sandbox, place) {
                assert_eq!(now, expected(&id, &before[&id], &changes), "{id}");
            }
        }
    }
    // CloudFormation rolls back by an update with old and new swapped.
    let back = update(&stack, &created, &new, &old).await;
    assert_eq!(back["Status"], "SUCCESS", "{back}");
    assert_eq!(TWO.map(|place| tags(sandbox, place)), before);
    assert_closed(sandbox);
}

#[tokio::test(start_paused = true)]
async fn an_update_of_tags_keeps_tags_of_somebody_else() {
    let stack = Stack::of(tagging_world());
    let sandbox = &stack.sandbox;
    let old = tagged(&json!({"team": "own", "owner": "a"}));
    let created = stack.send(&stack.event("Create", &old)).await;
    let admin = administrator(sandbox, TWO[0]);
    let before = tags(sandbox, TWO[0]);
    for id in before.keys() {
        tag(&admin, id, "theirs", "t").await;
        tag(&admin, id, "owner", "z").await;
        tag(&admin, id, "team", "theirs").await;
    }
    let none = tagged(&json!({}));
    let updated = update(&stack, &created, &old, &none).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    let kept = [
        ("theirs", Some("t")),
        ("owner", Some("z")),
        ("team", Some("theirs")),
    ];
    for (id, now) in tags(sandbox, TWO[0]) {
        assert_eq!(now, expected(&id, &before[&id], &kept), "{id}");
    }
    // The other target has no tags of other people.
    for (id, now) in tags(sandbox, TWO[1]) {
        assert_eq!(now.get("owner"), None, "{id}");
        let carried = is_image(&id).then_some("platform");
        assert_eq!(now.get("team").map(String::as_str), carried, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_of_copy_tags_removes_and_restores_the_sources_tags() {
    let stack = Stack::of(tagging_world());
    let sandbox = &stack.sandbox;
    let with_tags = tagged(&json!({"stage": "test"}));
    let without = with(with_tags.clone(), "CopyTags", json!("false"));
    let created = stack.send(&stack.event("Create", &with_tags)).await;
    let before = TWO.map(|place| tags(sandbox, place));
    let updated = update(&stack, &created, &with_tags, &without).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    for place in TWO {
        for (id, now) in tags(sandbox, place) {
            let others = now.keys().filter(|name| !name.starts_with("amiferry:"));
            assert_eq!(others.collect::<Vec<_>>(), ["stage"], "{id}");
        }
    }
    let back = update(&stack, &created, &without, &with_tags).await;
    assert_eq!(back["Status"], "SUCCESS", "{back}");
    assert_eq!(TWO.map(|place| tags(sandbox, place)), before);
}

/// An update that changes no tags needs no permission to do so.
#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_change_tags_fails_its_target_and_keeps_the_image() {
    let mut world = tagging_world();
    let roles = &mut world.accounts[1].roles;
    let copying = roles.iter_mut().find(|role| role.name == "AmiCopyRole");
    for policy in &mut copying.expect("the role").policies {
        let mut document: Value = serde_json::from_str(policy).expect("JSON");
        let statements = document["Statement"].as_array_mut().expect("statements");
        statements.retain(|statement| statement["Sid"] != "Retag");
        *policy = document.to_string();
    }
    let stack = Stack::of(world);
    let old = tagged(&json!({"stage": "test"}));
    let created = stack.send(&stack.event("Create", &old)).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    let image = assert_one_image(&stack.sandbox, TWO[0]);
    let renamed = with(old.clone(), "RevokeAfterCopy", json!("true"));
    let updated = update(&stack, &created, &old, &renamed).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    let new = tagged(&json!({"stage": "prod"}));
    let failed = update(&stack, &created, &old, &new).await;
    assert_eq!(failed["Status"], "FAILED", "{failed}");
    let reason = failed["Reason"].as_str().expect("a reason");
    for said in [
        "222222222222 us-west-2",
        "ec2:CreateTags",
        "statement Retag",
        "the AMI and its snapshots are kept",
    ] {
        assert!(reason.contains(said), "{said}: {reason}");
    }
    let there = assert_one_image(&stack.sandbox, TWO[0]);
    assert_eq!(there.image_id, image.image_id);
    assert_eq!(there.tags["stage"], "test");
    // The rollback succeeds, and restores the tags of the other target.
    let back = update(&stack, &created, &new, &old).await;
    assert_eq!(back["Status"], "SUCCESS", "{back}");
    for place in TWO {
        assert_eq!(
            assert_one_image(&stack.sandbox, place).tags["stage"],
            "test"
        );
    }
    assert_closed(&stack.sandbox);
}

fn updating(new: &Value, old: &Value, id: &str) -> Value {
    let mut resource = unread("Update", new)["CustomResource"].clone();
    resource["OldResourceProperties"] = old.clone();
    resource["RequestId"] = json!(id);
    of_resource(&resource)
}

/// Calls hang before or after their effect until the function's time is up. The next call
/// continues.
#[tokio::test(start_paused = true)]
async fn an_interrupted_update_of_tags_is_resumed() {
    for fault in [Fault::HangBefore, Fault::HangAfter] {
        for operation in ["DeleteTags", "CreateTags"] {
            let sandbox = Sandbox::new(tagging_world());
            let old = tagged(&json!({"stage": "test", "owner": "a"}));
            served(&sandbox, unread("Create", &old)).await;
            let ids: Vec<String> = tags(&sandbox, TWO[0]).into_keys().collect();
            let hanging = AtomicU32::new(12);
            let how = fault.clone();
            sandbox.set_fault(move |call| {
                let left = |n: u32| n.checked_sub(1);
                if call.operation == operation
                    && hanging
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
                        .is_ok()
                {
                    return how.clone();
                }
                Fault::None
            });
            let new = tagged(&json!({"stage": "prod"}));
            for id in ["once", "twice"] {
                served(&sandbox, updating(&new, &old, id)).await;
            }
            let now = tags(&sandbox, TWO[0]);
            assert_eq!(
                now.keys().collect::<Vec<_>>(),
                ids.iter().collect::<Vec<_>>()
            );
            for place in TWO {
                for (id, now) in tags(&sandbox, place) {
                    assert_eq!(now["stage"], "prod", "{id} {operation}");
                    assert_eq!(now.get("owner"), None, "{id} {operation}");
                    assert!(now.contains_key("amiferry:key"), "{id}");
                }
            }
            assert_closed(&sandbox);
        }
    }
}

/// Returns EC2 as a session of the target's copy role sees it.
async fn thief(sandbox: &Sandbox, place: Place) -> aws_sdk_ec2::Client {
    let config = config_in(HOME, sandbox.http_client(), sandbox.time_source()).await;
    let answer = aws_sdk_sts::Client::new(&config)
        .assume_role()
        .role_arn(format!("arn:aws:iam::{}:role/AmiCopyRole", place.0))
        .role_session_name("thief")
        .send()
        .await
        .expect("a session");
    let given = answer.credentials().expect("credentials");
    let credentials = Credentials::new(
        given.access_key_id(),
        given.secret_access_key(),
        Some(given.session_token().to_owned()),
        None,
        "test",
    );
    aws_sdk_ec2::Client::new(&somebody(sandbox, place.1, credentials))
}

#[tokio::test(start_paused = true)]
async fn a_stolen_session_changes_no_tag_of_amiferry_or_of_other_images() {
    let sandbox = Sandbox::new(tagging_world());
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let place = TWO[0];
    let theirs = "snap-0123456789abcdeff";
    let image = assert_one_image(&sandbox, place).image_id;
    sandbox
        .edit(|aws| aws.add_snapshot(place.0, amiferry_sandbox::Snapshot::new(place.1, theirs, 8)))
        .expect("it can be");
    let before = tags(&sandbox, place);
    let ec2 = thief(&sandbox, place).await;
    let own = Tag::builder()
        .key("amiferry:source-image")
        .value("ami-1")
        .build();
    let plain = Tag::builder().key("stage").value("x").build();
    for (id, tags) in [
        (image.as_str(), vec![own.clone()]),
        (image.as_str(), vec![plain.clone(), own]),
        (theirs, vec![plain.clone()]),
    ] {
        let setting = ec2.create_tags().resources(id).set_tags(Some(tags.clone()));
        let refused = setting.send().await.expect_err("it is not allowed");
        assert_eq!(
            refused.code(),
            Some("UnauthorizedOperation"),
            "{id} {tags:?}"
        );
        let deleting = ec2.delete_tags().resources(id).set_tags(Some(tags.clone()));
        let refused = deleting.send().await.expect_err("it is not allowed");
        assert_eq!(
            refused.code(),
            Some("UnauthorizedOperation"),
            "{id} {tags:?}"
        );
    }
    let all = ec2.delete_tags().resources(&image).send().await;
    let refused = all.expect_err("all tags at once, ours among them");
    assert_eq!(refused.code(), Some("UnauthorizedOperation"));
    assert_eq!(tags(&sandbox, place), before);
    let setting = ec2.create_tags().resources(&image).tags(plain);
    setting.send().await.expect("what an update needs");
}

/// Another request for the same copies finds them with the tags of the run that made them.
#[tokio::test(start_paused = true)]
async fn a_direct_call_reports_the_other_tags_of_copies_that_stand() {
    let sandbox = Sandbox::new(tagging_world());
    let ask = |tags: Value| json!({"Distribute": tagged(&tags)});
    let notes = |reply: &Value, i: usize| reply["Result"]["Targets"][i]["Notes"].clone();
    let dev = ask(json!({"stage": "dev", "group": "images"}));
    let made = to_the_end(&sandbox, &dev).await;
    assert_eq!(notes(&made, 0), Value::Null, "{made}");
    let run = &made["Result"]["RunId"].as_str().expect("a run");

    let prod = ask(json!({"stage": "prod", "group": "images", "owner": "us"}));
    let found = to_the_end(&sandbox, &prod).await;
    assert_eq!(found["Status"], "Succeeded", "{found}");
    assert_ne!(found["Result"]["RunId"], made["Result"]["RunId"]);
    let said = format!("the image of run {run} keeps its tags: owner is absent, and 1 more differ");
    for i in 0..TWO.len() {
        assert_eq!(notes(&found, i), json!([said]), "{found}");
    }
    let fewer = to_the_end(&sandbox, &ask(json!({"group": "images"}))).await;
    assert_eq!(notes(&fewer, 1), Value::Null, "{fewer}");
    let again = to_the_end(&sandbox, &dev).await;
    assert_eq!(notes(&again, 1), Value::Null, "{again}");
    assert_whole(&sandbox, &TWO);
}
