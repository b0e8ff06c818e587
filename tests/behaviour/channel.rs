//! `Promote` and `Rollback`: a parameter moves in all targets, or in none.

use std::time::Duration;

use amiferry_sandbox::{Fault, Sandbox, World};
use serde_json::{Value, json};

use crate::support::*;

const DEV: &str = "/golden/dev";
const PROD: &str = "/golden/prod";
/// The accounts of most tests, each in two Regions: twelve targets.
const ACCOUNTS: [&str; 6] = [
    "222222222222",
    "333333333333",
    "444444444444",
    "555555555555",
    "666666666666",
    "777777777777",
];
const REGIONS: [&str; 2] = [HOME, "us-east-1"];
/// The next source image.
const NEXT: &str = "ami-0a1b2c3d4e5f60799";

fn places() -> Vec<Place> {
    let pairs = ACCOUNTS
        .iter()
        .flat_map(|a| REGIONS.iter().map(move |r| (*a, *r)));
    pairs.collect()
}

/// Returns the world with both source images, whose copy roles may publish.
fn world_of_channels() -> World {
    let mut source = producer();
    let mut next = image();
    NEXT.clone_into(&mut next.image_id);
    "golden-next".clone_into(&mut next.name);
    source = source.image(next);
    let mut world = world_with(source, &places());
    for account in world.accounts.iter_mut().filter(|one| one.id != SOURCE) {
        let policy = documented("PublishImage").replace("222222222222", &account.id);
        account.roles[0].policies.push(policy);
    }
    world
}

async fn distributed(sandbox: &Sandbox, image: &str, parameter: &str) {
    let mut event = distribute(&places());
    event["Distribute"]["SourceImageId"] = json!(image);
    event["Distribute"]["Publish"] = json!({"Parameter": parameter});
    let reply = to_the_end(sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
}

/// Returns a sandbox whose channel `PROD` holds copies of the first image, and `DEV` of the next.
async fn two_channels() -> Sandbox {
    let sandbox = Sandbox::new(world_of_channels());
    distributed(&sandbox, AMI, DEV).await;
    assert_eq!(promote(&sandbox, true).await["Status"], "Succeeded");
    distributed(&sandbox, NEXT, DEV).await;
    sandbox
}

fn call_of(kind: &str, more: &Value) -> Value {
    let mut call = json!({"TargetAccountIds": ACCOUNTS, "TargetRegions": REGIONS});
    for (key, value) in more.as_object().expect("keys") {
        call[key] = value.clone();
    }
    json!({ kind: call })
}

async fn promote(sandbox: &Sandbox, apply: bool) -> Value {
    let wanted = call_of("Promote", &json!({"From": DEV, "To": PROD, "Apply": apply}));
    call(sandbox, &wanted).await.expect("a reply")
}

async fn roll_back(sandbox: &Sandbox) -> Value {
    let off = json!({"Parameter": PROD, "SourceImageId": NEXT, "Apply": true});
    call(sandbox, &call_of("Rollback", &off))
        .await
        .expect("a reply")
}

/// Returns the source images whose copies a channel holds, one for each target.
fn held(sandbox: &Sandbox, parameter: &str) -> Vec<String> {
    let of = |(account, region): Place| {
        let last = sandbox.parameter(account, region, parameter).pop();
        let last = last.map(|version| version.value).unwrap_or_default();
        let mut images = sandbox.images(account, region).into_iter();
        let image = images.find(|image| image.image_id == last);
        let tags = image.map(|image| image.tags).unwrap_or_default();
        tags.get("amiferry:source-image")
            .cloned()
            .unwrap_or_default()
    };
    places().into_iter().map(of).collect()
}

fn statuses(reply: &Value) -> Vec<&str> {
    let targets = reply["Targets"].as_array().expect("Targets");
    targets
        .iter()
        .map(|one| one["Status"].as_str().expect("a word"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_promotion_moves_the_parameter_in_all_twelve_targets() {
    let sandbox = two_channels().await;
    let dry = promote(&sandbox, false).await;
    assert_eq!(
        (&dry["Status"], &dry["Applied"]),
        (&json!("Succeeded"), &json!(false))
    );
    assert_eq!(statuses(&dry), ["WouldMove"; 12]);
    assert_eq!(held(&sandbox, PROD), [AMI; 12]);
    let reply = promote(&sandbox, true).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(statuses(&reply), ["Moved"; 12]);
    assert_eq!(held(&sandbox, PROD), [NEXT; 12]);
    let first = &reply["Targets"][0];
    assert_eq!(first["SourceImageId"], NEXT, "{first}");
    assert!(first["FormerImageId"].is_string(), "{first}");
    sandbox.clear_ledger();
    let again = promote(&sandbox, true).await;
    assert_eq!(statuses(&again), ["Unchanged"; 12]);
    assert_eq!(calls(&sandbox, "PutParameter"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_promotion_that_one_target_refuses_half_way_goes_back_in_all() {
    let sandbox = two_channels().await;
    let account = "555555555555";
    sandbox.set_fault(move |call| {
        if call.operation == "PutParameter" && call.account == account {
            refuse(400, "ParameterLimitExceeded")
        } else {
            Fault::None
        }
    });
    let reply = promote(&sandbox, true).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let count = |word: &str| statuses(&reply).iter().filter(|s| **s == word).count();
    assert_eq!((count("RolledBack"), count("Failed")), (10, 2), "{reply}");
    let targets = reply["Targets"].as_array().unwrap();
    let refused = targets
        .iter()
        .find(|one| one["AccountId"] == account)
        .unwrap();
    let reason = refused["Reason"].to_string();
    assert!(reason.contains("ParameterLimitExceeded"), "{reason}");
    sandbox.clear_fault();
    assert_eq!(held(&sandbox, PROD), [AMI; 12]);
    // Once the reason is mended, the same call moves all.
    assert_eq!(promote(&sandbox, true).await["Status"], "Succeeded");
    assert_eq!(held(&sandbox, PROD), [NEXT; 12]);
}

#[tokio::test(start_paused = true)]
async fn nothing_moves_where_one_target_has_no_verified_copy() {
    let sandbox = two_channels().await;
    let (account, region) = places()[7];
    let dev = sandbox
        .parameter(account, region, DEV)
        .pop()
        .expect("a version");
    delete_copies(&sandbox, (account, region));
    let reply = promote(&sandbox, true).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let reason = reply["Targets"][7]["Reason"].to_string();
    assert!(
        reason.contains(&dev.value) && reason.contains("not there"),
        "{reason}"
    );
    let others = held(&sandbox, PROD);
    let others = others.iter().enumerate().filter(|(i, _)| *i != 7);
    assert!(others.into_iter().all(|(_, source)| source == AMI));
}

#[tokio::test(start_paused = true)]
async fn a_channel_goes_back_to_the_image_before_and_may_be_asked_twice() {
    let sandbox = two_channels().await;
    promote(&sandbox, true).await;
    let reply = roll_back(&sandbox).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(statuses(&reply), ["Moved"; 12]);
    assert_eq!(held(&sandbox, PROD), [AMI; 12]);
    let again = roll_back(&sandbox).await;
    assert_eq!(statuses(&again), ["Unchanged"; 12], "{again}");
    assert_eq!(held(&sandbox, PROD), [AMI; 12]);
    assert_eq!(held(&sandbox, DEV), [NEXT; 12], "the other channel stays");
}

/// A call that ends half-way has moved some targets. The same call moves the rest.
#[tokio::test(start_paused = true)]
async fn a_promotion_killed_half_way_is_finished_by_the_same_call() {
    let sandbox = two_channels().await;
    let count = std::sync::atomic::AtomicUsize::new(0);
    sandbox.set_fault(move |call| {
        let puts = call.operation == "PutParameter";
        let before = count.fetch_add(usize::from(puts), std::sync::atomic::Ordering::SeqCst);
        if puts && before == 5 {
            Fault::HangAfter
        } else {
            Fault::None
        }
    });
    let wanted = call_of("Promote", &json!({"From": DEV, "To": PROD, "Apply": true}));
    let cut = tokio::time::timeout(Duration::from_secs(1), call(&sandbox, &wanted)).await;
    assert!(cut.is_err(), "it hangs");
    sandbox.clear_fault();
    tokio::time::sleep(Duration::from_mins(1)).await;
    let reply = promote(&sandbox, true).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(held(&sandbox, PROD), [NEXT; 12]);
}
