//! The sweeper: what outlived its run is closed, what lives is left alone.

use std::time::Duration;

use amiferry::error::Error;
use amiferry::handler::Handler;
use amiferry::setup::Settings;
use amiferry_sandbox::{Call, Fault, Sandbox, World};
use serde_json::{Value, json};

use crate::support::*;

mod executions;

fn copies(call: &Call) -> bool {
    call.operation == "CopySnapshot"
}

/// Plays a run that dies right after it has opened the source.
async fn dead(sandbox: &Sandbox) {
    killed_at(sandbox, &distribute(&TWO), copies).await;
    assert_eq!(sandbox.grants(SOURCE_KEY).len(), 2);
}

async fn sweep(sandbox: &Sandbox) -> Value {
    call(sandbox, &json!({"Sweep": {}})).await.expect("sweeps")
}

#[tokio::test(start_paused = true)]
async fn a_dead_run_is_closed_by_the_sweeper_after_fifty_hours() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    // A preexisting permission stays.
    sandbox.edit(|aws| [ROOT, DATA].map(|id| assert!(aws.share_snapshot(id, "999999999999"))));
    dead(&sandbox).await;
    let young = sweep(&sandbox).await;
    assert_eq!((count(&young, "Closed"), count(&young, "Alive")), (0, 1));
    assert_eq!(sandbox.grants(SOURCE_KEY).len(), 2);
    tokio::time::sleep(Duration::from_hours(51)).await;
    let old = sweep(&sandbox).await;
    assert_eq!(count(&old, "Closed"), 1, "{old}");
    assert_closed_but(&sandbox, &["999999999999"]);
    let again = sweep(&sandbox).await;
    assert_eq!(
        (&again["Closed"], &again["Alive"]),
        (&json!([]), &json!([]))
    );
}

fn count(swept: &Value, key: &str) -> usize {
    swept[key].as_array().expect("a list").len()
}

#[tokio::test(start_paused = true)]
async fn a_dry_sweep_lists_what_a_sweep_would_do_and_changes_nothing() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    dead(&sandbox).await;
    let dry = async || {
        let before = sandbox.ledger().len();
        let told = call(&sandbox, &json!({"Sweep": {"Apply": false}})).await;
        let calls = sandbox.ledger().split_off(before);
        let reads = ["GetObject", "ListObjectsV2"];
        let only_reads = calls.iter().all(|c| reads.contains(&c.operation.as_str()));
        assert!(only_reads, "{calls:?}");
        told.expect("a dry sweep")
    };
    assert_eq!(count(&dry().await, "Alive"), 1);
    tokio::time::sleep(Duration::from_hours(51)).await;
    let would = dry().await;
    assert_eq!(count(&would, "WouldClose"), 1, "{would}");
    let done = sweep(&sandbox).await;
    assert_eq!(would["WouldClose"], done["Closed"]);
    tokio::time::sleep(Duration::from_mins(16)).await;
    let would = dry().await;
    assert_eq!(
        count(&would, "WouldVerify"),
        count(&sweep(&sandbox).await, "Verified")
    );
    assert!(count(&would, "WouldVerify") > 0, "{would}");
}

/// The sweeper reads a closed resource again fifteen minutes later. It closes a late opening, and
/// forgets the closing once nothing is open.
#[tokio::test(start_paused = true)]
async fn a_closing_is_verified_after_fifteen_minutes_and_then_forgotten() {
    let sandbox = Sandbox::new(world(&TWO));
    to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(sweep(&sandbox).await["Verified"], json!([]), "too early");
    // A slow process permits an account after the closing, and dies.
    sandbox.edit(|aws| assert!(aws.share_snapshot(ROOT, "222222222222")));
    tokio::time::sleep(Duration::from_mins(16)).await;
    let verified = sweep(&sandbox).await["Verified"].clone();
    let seen = |resource: &str| {
        let mut all = verified.as_array().expect("a list").iter();
        all.find(|v| v["Resource"] == resource).expect("verified")["Seen"].clone()
    };
    assert_eq!(seen(ROOT)["Open"], json!(["222222222222"]));
    assert_eq!(seen(DATA)["Open"], Value::Null);
    assert_closed(&sandbox);
    // A resource that was found open is verified once more: reads may lag behind by a minute.
    tokio::time::sleep(Duration::from_mins(16)).await;
    assert_eq!(count(&sweep(&sandbox).await, "Verified"), 1);
    let objects = sandbox.objects(BUCKET);
    let left: Vec<&String> = objects.keys().collect();
    assert!(left.iter().all(|key| key.starts_with("runs/")), "{left:?}");
    assert_eq!(
        sweep(&sandbox).await,
        json!({"Closed": [], "Alive": [], "Verified": []})
    );
}

#[tokio::test(start_paused = true)]
async fn a_receipt_names_each_opening_and_its_verification_and_is_kept_for_ninety_days() {
    let sandbox = Sandbox::new(world(&TWO));
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    let receipt = reply["Result"]["Receipt"].as_array().expect("a receipt");
    let what: Vec<&str> = receipt.iter().filter_map(|r| r["What"].as_str()).collect();
    assert_eq!(
        what,
        ["grant", "createVolumePermission", "createVolumePermission"]
    );
    for opening in receipt {
        assert_eq!(opening["Accounts"], json!(["222222222222", "333333333333"]));
        let times = (opening["OpenedAt"].as_str(), opening["ClosedAt"].as_str());
        assert!(times.0 < times.1, "{opening}");
        assert_eq!(opening["ReadBack"]["Open"], Value::Null, "{opening}");
        assert_eq!(opening["Verified"], Value::Null);
    }
    tokio::time::sleep(Duration::from_mins(16)).await;
    sweep(&sandbox).await;
    let objects = sandbox.objects(BUCKET);
    let run: Value = serde_json::from_slice(objects.values().next().expect("a run")).expect("JSON");
    assert_eq!(run["Status"], "Ended");
    for opening in run["Receipt"].as_array().expect("a receipt") {
        assert!(opening["Verified"]["At"].is_string(), "{opening}");
    }
    for (days, there) in [(89, true), (2, false)] {
        tokio::time::sleep(Duration::from_hours(24 * days)).await;
        sweep(&sandbox).await;
        let kept = !sandbox.objects(BUCKET).is_empty();
        assert_eq!(kept, there, "{days} days later");
    }
}

/// A person who may tag the source can neither have anything closed nor have anything spared.
#[tokio::test(start_paused = true)]
async fn forged_tags_on_the_source_neither_close_nor_spare_anything() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let run = "0123456789abcdef";
    let forged = |sandbox: &Sandbox| {
        sandbox.edit(|aws| {
            for id in [ROOT, DATA] {
                let snapshot = aws.change_snapshot(id, |s| {
                    for (key, value) in [
                        (
                            format!("amiferry:sharing:{run}"),
                            "since=1,by=x,released=*,999999999999",
                        ),
                        (format!("amiferry:sharing:{run}:+12345678"), "+*"),
                        (
                            format!("amiferry:sharing:{run}:{run}+1"),
                            "left=999999999999",
                        ),
                        (format!("amiferry:shared:{run}"), "999999999999"),
                        (
                            format!("amiferry:shared:{run}:ending"),
                            "since=9223372036854775807,ends=999999999999",
                        ),
                        (format!("amiferry:policy:{run}"), "statements"),
                    ] {
                        s.tags.insert(key, value.to_owned());
                    }
                });
                assert!(snapshot && aws.share_snapshot(id, "999999999999"));
            }
        });
    };
    forged(&sandbox);
    tokio::time::sleep(Duration::from_hours(51)).await;
    assert_eq!(
        sweep(&sandbox).await,
        json!({"Closed": [], "Alive": [], "Verified": []})
    );
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    for snapshot in sandbox.snapshots(SOURCE, HOME) {
        let permitted: Vec<&String> = snapshot.create_volume_permissions.iter().collect();
        assert_eq!(permitted, ["999999999999"], "a person permitted it");
    }
    assert_eq!(sandbox.grants(SOURCE_KEY), Vec::new());
}

/// A source with as many tags as EC2 allows is distributed like any other: no run needs tags on it.
#[tokio::test(start_paused = true)]
async fn a_source_with_fifty_tags_is_distributed() {
    let sandbox = Sandbox::new(world(&TWO));
    sandbox.edit(|aws| {
        for id in [ROOT, DATA] {
            aws.change_snapshot(id, |s| {
                s.tags = (0..50)
                    .map(|n| (format!("tag-{n:02}"), "x".to_owned()))
                    .collect();
            });
        }
    });
    assert_eq!(
        to_the_end(&sandbox, &distribute(&TWO)).await["Status"],
        "Succeeded"
    );
    assert_eq!(
        calls(&sandbox, "CreateTags") + calls(&sandbox, "DeleteTags"),
        0
    );
}

/// A source without a key has no grants.
#[tokio::test(start_paused = true)]
async fn an_unencrypted_source_of_a_dead_run_is_closed_by_the_sweeper() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    sandbox.edit(|aws| {
        for id in [ROOT, DATA] {
            aws.change_snapshot(id, |s| {
                s.encrypted = false;
                s.kms_key_arn = None;
            });
        }
        assert!(
            aws.share_snapshot(ROOT, "999999999999") && aws.share_snapshot(DATA, "999999999999")
        );
    });
    killed_at(&sandbox, &distribute(&TWO), copies).await;
    tokio::time::sleep(Duration::from_hours(51)).await;
    assert_eq!(count(&sweep(&sandbox).await, "Closed"), 1);
    assert_closed_but(&sandbox, &["999999999999"]);
}

#[tokio::test(start_paused = true)]
async fn a_lasting_share_is_not_closed_by_the_sweeper() {
    let sandbox = Sandbox::new(world(&TWO));
    let share = json!({"Distribute": {"SourceImageId": AMI, "Mode": "Share", "ShareSnapshots": true,
        "TargetAccountIds": "222222222222"}});
    to_the_end(&sandbox, &share).await;
    tokio::time::sleep(Duration::from_hours(100)).await;
    let swept = sweep(&sandbox).await;
    assert_eq!(
        (&swept["Closed"], &swept["Verified"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(sandbox.grants(SOURCE_KEY).len(), 1);
}

/// The sweep ends in an error with commands, so that it reaches the dead letters and a person.
#[tokio::test(start_paused = true)]
async fn a_closing_that_the_sweeper_cannot_finish_is_an_error_with_commands() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    dead(&sandbox).await;
    tokio::time::sleep(Duration::from_hours(51)).await;
    sandbox.set_fault(|call| match call.operation.as_str() {
        "RevokeGrant" => Fault::Refuse {
            status: 400,
            code: "AccessDeniedException".to_owned(),
            message: "not authorized".to_owned(),
        },
        _ => Fault::None,
    });
    let error = call(&sandbox, &json!({"Sweep": {}}))
        .await
        .expect_err("stuck");
    let said = error.to_string();
    assert!(
        said.contains("RevokeGrant") && said.contains(SOURCE_KEY),
        "{said}"
    );
    sandbox.clear_fault();
    tokio::time::sleep(Duration::from_mins(16)).await;
    sweep(&sandbox).await;
    assert_closed(&sandbox);
}

/// The run died in the middle of its closing, and a person has permitted another account since.
#[tokio::test(start_paused = true)]
async fn a_closing_stopped_half_way_is_finished_and_keeps_permissions_of_others() {
    // The copies end before the first call would leave waiting to its caller.
    let sandbox = Sandbox::new(world(&TWO).copy_mib_per_second(16_384.0));
    killed_at(&sandbox, &distribute(&TWO), removes).await;
    sandbox.edit(|aws| [ROOT, DATA].map(|id| assert!(aws.share_snapshot(id, "999999999999"))));
    assert_eq!(
        sandbox.snapshots(SOURCE, HOME)[0]
            .create_volume_permissions
            .len(),
        3
    );
    tokio::time::sleep(Duration::from_mins(17)).await;
    sweep(&sandbox).await;
    assert_closed_but(&sandbox, &["999999999999"]);
}

/// The sweeper closes all other runs, and its error names the record.
#[tokio::test(start_paused = true)]
async fn an_unreadable_record_is_reported_and_the_others_are_swept() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    dead(&sandbox).await;
    sandbox.edit(|aws| assert!(aws.put_object(BUCKET, "openings/snap-0.json", "{}")));
    tokio::time::sleep(Duration::from_hours(51)).await;
    let error = call(&sandbox, &json!({"Sweep": {}})).await;
    let said = error.expect_err("one is left").to_string();
    assert!(said.contains("openings/snap-0.json"), "{said}");
    let open = sandbox.snapshots(SOURCE, HOME);
    assert!(open.iter().all(|s| s.create_volume_permissions.is_empty()));
    assert_eq!(sandbox.grants(SOURCE_KEY), Vec::new());
}

fn share(accounts: &str, unshare: bool) -> Value {
    json!({"Distribute": {"SourceImageId": AMI, "Mode": "Share", "ShareSnapshots": true,
        "TargetAccountIds": accounts, "Unshare": unshare}})
}

/// Returns the accounts to which the root snapshot is open.
fn on_root(sandbox: &Sandbox) -> Vec<String> {
    let root = sandbox
        .edit(|aws| aws.snapshot(ROOT))
        .expect("the snapshot");
    root.create_volume_permissions.into_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn a_verification_keeps_preexisting_permissions_and_those_of_a_share() {
    let sandbox = Sandbox::new(world(&TWO));
    sandbox.edit(|aws| assert!(aws.share_snapshot(ROOT, "222222222222")));
    to_the_end(&sandbox, &distribute(&TWO)).await;
    to_the_end(&sandbox, &share("333333333333", false)).await;
    tokio::time::sleep(Duration::from_mins(16)).await;
    assert_eq!(count(&sweep(&sandbox).await, "Verified"), 3);
    assert_eq!(on_root(&sandbox), ["222222222222", "333333333333"]);
}

/// A slow process makes the grant, and dies before it reads the record again.
#[tokio::test(start_paused = true)]
async fn a_grant_made_after_its_closing_is_revoked_by_the_verification() {
    let sandbox = Sandbox::new(world(&TWO));
    to_the_end(&sandbox, &distribute(&TWO)).await;
    let made = sandbox
        .ledger()
        .into_iter()
        .find(|call| call.operation == "CreateGrant");
    let made = made.expect("a grant").params;
    let config = config_in(HOME, sandbox.http_client(), sandbox.time_source()).await;
    let late = aws_sdk_kms::Client::new(&config).create_grant();
    let late = late.key_id(SOURCE_KEY).name(&made["Name"]);
    let late = late.grantee_principal(&made["GranteePrincipal"]);
    late.operations(aws_sdk_kms::types::GrantOperation::Decrypt)
        .send()
        .await
        .expect("it may");
    tokio::time::sleep(Duration::from_mins(16)).await;
    sweep(&sandbox).await;
    assert_closed(&sandbox);
}

/// The process that ends a share with one of two accounts dies on the way.
#[tokio::test(start_paused = true)]
async fn a_half_closed_share_finished_by_the_sweeper_keeps_its_other_account() {
    let sandbox = Sandbox::new(world(&TWO));
    to_the_end(&sandbox, &share("222222222222,333333333333", false)).await;
    let of_root = |call: &Call| removes(call) && call.params.values().any(|value| value == ROOT);
    killed_at(&sandbox, &share("222222222222", true), of_root).await;
    assert_eq!(on_root(&sandbox).len(), 2);
    tokio::time::sleep(Duration::from_mins(17)).await;
    sweep(&sandbox).await;
    assert_eq!(on_root(&sandbox), ["333333333333"]);
}

#[tokio::test(start_paused = true)]
async fn openings_kept_by_revoke_after_copy_false_are_not_swept() {
    let sandbox = Sandbox::new(world(&TWO));
    let mut event = distribute(&TWO);
    event["Distribute"]["RevokeAfterCopy"] = json!(false);
    to_the_end(&sandbox, &event).await;
    tokio::time::sleep(Duration::from_hours(51)).await;
    assert_eq!(sweep(&sandbox).await["Closed"], json!([]));
    assert_eq!(on_root(&sandbox), ["222222222222", "333333333333"]);
}
