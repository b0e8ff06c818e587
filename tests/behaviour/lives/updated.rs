//! Updates that change more than the list of targets.

use super::*;

/// A share becomes copies, and copies become a share: the former way is closed.
#[tokio::test(start_paused = true)]
async fn an_update_of_the_mode_closes_the_former_way() {
    let place = [TWO[0]];
    let (copied, given) = (deregistered(&place), shared(&["222222222222"]));
    let stack = Stack::new(&place);
    let created = stack.send(&stack.event("Create", &given)).await;
    assert_eq!(launching(&stack.sandbox).len(), 1);
    let updated = update(&stack, &created, &given, &copied).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    assert_whole(&stack.sandbox, &place);
    assert_unshared(&stack.sandbox);

    let stack = Stack::new(&place);
    let created = stack.send(&stack.event("Create", &copied)).await;
    let updated = update(&stack, &created, &copied, &given).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    assert_nothing(&stack.sandbox, &place);
    assert_eq!(launching(&stack.sandbox).len(), 1);
    let id = updated["PhysicalResourceId"].as_str().expect("an ID");
    let deleted = delete(&stack, id, &given).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert_unshared(&stack.sandbox);
}

/// The process dies while a share becomes copies. The sweeper closes the share.
#[tokio::test(start_paused = true)]
async fn a_share_killed_while_becoming_copies_is_closed_by_the_sweeper() {
    let place = [TWO[0]];
    let (copied, given) = (deregistered(&place), shared(&["222222222222"]));
    let sandbox = Sandbox::new(slow_world(&place));
    served(&sandbox, unread("Create", &given)).await;
    assert_eq!(launching(&sandbox).len(), 1);
    call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
    assert_eq!(launching(&sandbox).len(), 1, "a share lasts");
    sandbox.set_fault(|call| match call.operation.as_str() {
        "CopySnapshot" => Fault::HangBefore,
        _ => Fault::None,
    });
    let mut resource = unread("Update", &copied)["CustomResource"].clone();
    resource["OldResourceProperties"] = given;
    let event = of_resource(&resource);
    let dying = tokio::time::timeout(Duration::from_mins(1), call(&sandbox, &event));
    assert!(dying.await.is_err(), "it hangs");
    sandbox.clear_fault();
    tokio::time::sleep(Duration::from_hours(51)).await;
    for _ in 0..2 {
        call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
        tokio::time::sleep(Duration::from_mins(20)).await;
    }
    assert_unshared(&sandbox);
}

/// An account that lost its role, or was closed, does not block a Delete or an Update. The answer
/// says that nobody could look there.
#[tokio::test(start_paused = true)]
async fn a_resource_is_updated_and_deleted_though_an_account_is_gone() {
    let stack = Stack::new(&FOUR);
    let all = deregistered(&FOUR[..3]);
    let created = stack.send(&stack.event("Create", &all)).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    stack.sandbox.edit(|aws| {
        assert!(aws.drop_principal("arn:aws:iam::333333333333:role/AmiCopyRole"));
    });
    let two = deregistered(&FOUR[..2]);
    let updated = update(&stack, &created, &all, &two).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    let reason = updated["Reason"].as_str().expect("a reason");
    assert!(
        reason.contains("333333333333 us-west-2 could not be looked into"),
        "{reason}"
    );
    let id = created["PhysicalResourceId"].as_str().expect("an ID");
    let deleted = delete(&stack, id, &all).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert!(
        deleted["Reason"]
            .as_str()
            .expect("a reason")
            .contains("AssumeRole"),
        "{deleted}"
    );
    assert_nothing(&stack.sandbox, &FOUR[..2]);
}

/// The new copy gets a free name if need be. The former copy goes once the new one exists.
#[tokio::test(start_paused = true)]
async fn an_update_of_key_or_name_replaces_the_copy() {
    for strategy in ["Snapshots", "Image"] {
        key_or_name_updated(strategy).await;
    }
}

async fn key_or_name_updated(strategy: &str) {
    let place = [TWO[0]];
    let other_key = "22222222-aaaa-bbbb-cccc-0000000000ff";
    for (change, on_delete) in [
        (json!({"Name": "{name}-v2"}), "Deregister"),
        (
            json!({"Targets": [{"AccountId": "222222222222", "Region": HOME,
                "KmsKeyId": "alias/other"}]}),
            "Deregister",
        ),
        (json!({"Name": "{name}-v2"}), "Retain"),
    ] {
        let mut world = world(&place);
        let target = world
            .accounts
            .iter_mut()
            .find(|account| account.id == place[0].0);
        target
            .expect("it")
            .keys
            .push(Key::new(HOME, other_key).alias("alias/other"));
        let stack = Stack::of(world);
        let old = with(request(&place), "OnDelete", json!(on_delete));
        let old = with(old, "Strategy", json!(strategy));
        let created = stack.send(&stack.event("Create", &old)).await;
        let before = assert_one_image(&stack.sandbox, place[0]);
        let mut new = old.clone();
        for (key, value) in change.as_object().expect("an object") {
            new[key] = value.clone();
        }
        let updated = update(&stack, &created, &old, &new).await;
        assert_eq!(updated["Status"], "SUCCESS", "{updated}");
        assert_eq!(updated["PhysicalResourceId"], created["PhysicalResourceId"]);
        let images = stack.sandbox.images(place[0].0, HOME);
        let result = updated["Data"]["Image.222222222222.us-west-2"].as_str();
        let after = images
            .iter()
            .find(|image| Some(image.image_id.as_str()) == result);
        let after = after.expect("the new image");
        assert_ne!(after.image_id, before.image_id);
        assert_ne!(after.name, before.name);
        assert_eq!(
            images.len(),
            if on_delete == "Retain" { 2 } else { 1 },
            "{change}"
        );
        // The same event once more finds the new copy.
        let mut again = stack.event("Update", &new);
        again["RequestId"] = json!("again");
        again["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
        again["OldResourceProperties"] = old.clone();
        let again = stack.send(&again).await;
        assert_eq!(
            again["Data"]["Images"], updated["Data"]["Images"],
            "{again}"
        );
        assert_closed(&stack.sandbox);
    }
}

/// The copy of before stays as it was.
#[tokio::test(start_paused = true)]
async fn an_update_of_the_name_that_fails_keeps_the_former_copy() {
    let place = [TWO[0]];
    let stack = Stack::of(world(&place));
    let old = with(deregistered(&place), "Strategy", json!("Image"));
    let created = stack.send(&stack.event("Create", &old)).await;
    let before = assert_one_image(&stack.sandbox, place[0]);
    let fails = Some((50, "Internal error".to_owned()));
    stack.sandbox.edit(|aws| {
        aws.change_snapshot(ROOT, |snapshot| {
            snapshot.copies_fail_at = fails;
        })
    });
    let new = with(old.clone(), "Name", json!("{name}-v2"));
    let updated = update(&stack, &created, &old, &new).await;
    assert_eq!(updated["Status"], "FAILED", "{updated}");
    assert_eq!(assert_one_image(&stack.sandbox, place[0]), before);
    assert_closed(&stack.sandbox);
}
