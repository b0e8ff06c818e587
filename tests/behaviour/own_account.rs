//! Targets in the source account: the image's copies in its other Regions, or under another key.

use amiferry_sandbox::{Account, Fault, Key, Sandbox, World};
use serde_json::{Value, json};

use crate::resume::cut_at_each_call;
use crate::staging::{SHARED_KEY, under_aws_ebs};
use crate::support::*;

const BESIDE: Place = (SOURCE, HOME);
const ELSEWHERE: Place = (SOURCE, "us-east-1");
const OTHER: Place = ("222222222222", HOME);

/// Returns a world whose source account has a copy role and a key in each of its targets' Regions.
fn world_of(source: Account, others: &[Place]) -> World {
    let regions = [BESIDE.1, ELSEWHERE.1];
    let source = source.role(copy_role(SOURCE, &regions));
    let with_key = |source: Account, region: &&str| {
        let id = key_arn((SOURCE, HOME));
        let id = id.rsplit('/').next().expect("an ID");
        source.key(Key::new(region, id).alias("alias/amis"))
    };
    world_with(regions.iter().fold(source, with_key), others)
}

/// Returns the image's only copy in a Region of the source account.
fn own_copy(sandbox: &Sandbox, place: Place) -> amiferry_sandbox::Image {
    let images = sandbox.images(place.0, place.1).into_iter();
    let mut copies: Vec<_> = images.filter(|image| image.image_id != AMI).collect();
    assert_eq!(copies.len(), 1, "{place:?}");
    let copy = copies.remove(0);
    let source = sandbox.images(SOURCE, HOME).into_iter();
    let source = source.into_iter().find(|image| image.image_id == AMI);
    assert_same(&source.expect("the source image"), &copy);
    for id in copy.snapshot_ids() {
        let mut there = sandbox.snapshots(place.0, place.1).into_iter();
        let snapshot = there.find(|s| s.snapshot_id == id).expect("a snapshot");
        assert_eq!(
            snapshot.kms_key_arn.as_deref(),
            Some(key_arn(place).as_str())
        );
    }
    let count = sandbox.snapshots(place.0, place.1).len();
    let originals = if place == BESIDE { 2 } else { 0 };
    assert_eq!(count, originals + 2, "no snapshot is left behind");
    copy
}

/// Checks that no call gave anything to anybody.
fn assert_never_opened(sandbox: &Sandbox) {
    for operation in [
        "ModifySnapshotAttribute",
        "ModifyImageAttribute",
        "PutKeyPolicy",
    ] {
        assert_eq!(calls(sandbox, operation), 0, "{operation}");
    }
    let ledger = sandbox.ledger();
    let mut own = ledger.iter().filter(|call| {
        call.operation == "CreateGrant" && call.principal.ends_with("role/amiferry")
    });
    assert!(own.next().is_none(), "the function made a grant");
}

#[tokio::test(start_paused = true)]
async fn own_regions_are_targets_and_nothing_is_opened_for_them() {
    for access in ["Grant", "Policy", "None"] {
        let sandbox = Sandbox::new(world_of(producer(), &[]));
        let mut event = distribute(&[BESIDE, ELSEWHERE]);
        event["Distribute"]["KeyAccess"] = json!(access);
        let reply = to_the_end(&sandbox, &event).await;
        assert_eq!(reply["Status"], "Succeeded", "{access}: {reply}");
        for place in [BESIDE, ELSEWHERE] {
            let copy = own_copy(&sandbox, place);
            assert_eq!(target(&reply, place)["ImageId"], copy.image_id);
        }
        assert_never_opened(&sandbox);
        let again = to_the_end(&sandbox, &event).await;
        assert_eq!(again["Result"]["Targets"], reply["Result"]["Targets"]);
        assert_eq!(calls(&sandbox, "CopySnapshot"), 4, "{access}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_own_region_beside_another_account_opens_to_the_other_account_only() {
    let sandbox = Sandbox::new(world_of(producer(), &[OTHER]));
    let reply = to_the_end(&sandbox, &distribute(&[ELSEWHERE, OTHER])).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    own_copy(&sandbox, ELSEWHERE);
    assert_whole(&sandbox, &[OTHER]);
    assert_closed(&sandbox);
    let ledger = sandbox.ledger();
    let mut opening = ledger
        .iter()
        .filter(|call| call.operation == "ModifySnapshotAttribute");
    assert!(opening.all(|call| !format!("{:?}", call.params).contains(SOURCE)));
    assert_eq!(calls(&sandbox, "CreateGrant"), 1);
    let receipt = reply["Result"]["Receipt"].to_string();
    assert!(
        receipt.contains(OTHER.0) && !receipt.contains(&format!("\"{SOURCE}\"")),
        "{receipt}"
    );
}

#[tokio::test(start_paused = true)]
async fn own_regions_copy_a_source_under_aws_ebs_without_another_key() {
    let sandbox = Sandbox::new(world_of(under_aws_ebs(1), &[]));
    let reply = to_the_end(&sandbox, &distribute(&[ELSEWHERE])).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    own_copy(&sandbox, ELSEWHERE);
    assert_never_opened(&sandbox);
    // Another account needs staged copies; the own Region does not wait for them.
    let sandbox = Sandbox::new(world_of(under_aws_ebs(1), &[OTHER]));
    let mut event = distribute(&[ELSEWHERE, OTHER]);
    let refused = call(&sandbox, &event).await.unwrap_err().to_string();
    assert!(refused.contains("ReencryptKmsKeyId"), "{refused}");
    event["Distribute"]["ReencryptKmsKeyId"] = json!(SHARED_KEY);
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    own_copy(&sandbox, ELSEWHERE);
    assert_whole(&sandbox, &[OTHER]);
    assert_closed(&sandbox);
    assert_eq!(sandbox.snapshots(SOURCE, HOME).len(), 2, "no staged copy");
}

#[tokio::test(start_paused = true)]
async fn a_copy_beside_its_source_needs_a_name_of_its_own() {
    let sandbox = Sandbox::new(world_of(producer(), &[]));
    let mut event = distribute(&[ELSEWHERE, BESIDE]);
    event["Distribute"]["Name"] = json!("{name}");
    let refused = call(&sandbox, &event).await.unwrap_err().to_string();
    assert!(
        refused.contains("Name: gives the copy in us-west-2 the name of")
            && refused.contains("{name}-copy"),
        "{refused}"
    );
    assert_eq!(calls(&sandbox, "AssumeRole"), 0);
    // Elsewhere the name is free.
    event["Distribute"]["Targets"] = request(&[ELSEWHERE])["Targets"].clone();
    assert_eq!(to_the_end(&sandbox, &event).await["Status"], "Succeeded");
    assert_eq!(own_copy(&sandbox, ELSEWHERE).name, "golden");
}

#[tokio::test(start_paused = true)]
async fn a_share_with_the_source_account_is_refused() {
    let sandbox = Sandbox::new(world_of(producer(), &[]));
    let event = json!({"Distribute": {"SourceImageId": AMI, "Mode": "Share",
        "Targets": [{"AccountId": SOURCE}]}});
    let refused = call(&sandbox, &event).await.unwrap_err().to_string();
    assert!(
        refused.contains("Targets[0].AccountId: 111111111111 is the source account itself"),
        "{refused}"
    );
    assert_eq!(sandbox.ledger().len(), 0, "the function's ARN names it");
}

async fn cut_everywhere(fault: Fault, again: impl Fn(&Value) -> Value) {
    let event = distribute(&[BESIDE, OTHER]);
    let world = || world_of(producer(), &[OTHER]).copy_mib_per_second(1024.0);
    let whole = |sandbox: &Sandbox| {
        own_copy(sandbox, BESIDE);
        assert_whole(sandbox, &[OTHER]);
    };
    let calls = cut_at_each_call(&fault, &event, world, again, whole).await;
    assert!(calls > 30, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn a_run_with_an_own_region_killed_before_any_call_resumes_from_its_last_state() {
    cut_everywhere(Fault::HangBefore, Value::clone).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_with_an_own_region_killed_after_any_call_succeeds_when_delivered_again() {
    cut_everywhere(Fault::HangAfter, |_| Value::Null).await;
}

/// Returns the world of a run whose roles and keys have these policies, and no others.
fn world_with_policies(all: &[Value]) -> World {
    let of = |purpose: &str, region: &str| {
        let in_region = |p: &&Value| p["Region"].as_str().is_none_or(|there| there == region);
        let mut documents = all.iter().filter(|p| p["For"] == purpose);
        let found = documents.find(in_region).expect("a document");
        found["Document"].to_string()
    };
    let mut source = producer();
    source.roles[0].policies = vec![of("function role", HOME)];
    source.keys[0].policy = Some(of("source key", HOME));
    let trust = of("trust of the copy role", HOME);
    let role = amiferry_sandbox::Role::new("AmiCopyRole").trust_policy(trust);
    source = source.role(role.policy(of("copy role", HOME)));
    let (arn, region) = (key_arn(ELSEWHERE), ELSEWHERE.1);
    let id = arn.rsplit('/').next().expect("an ID");
    let key = Key::new(region, id).alias("alias/amis");
    let key = key.policy(of("target key", region));
    World::new()
        .copy_mib_per_second(4096.0)
        .account(source.key(key))
}

#[tokio::test(start_paused = true)]
async fn own_regions_need_exactly_the_actions_of_their_policies() {
    // The alias stands for all keys of its Region, and must not cover the source key.
    let event = distribute(&[ELSEWHERE]);
    let wish = json!({"Policies": event["Distribute"]});
    let reply = call(&Sandbox::new(world_of(producer(), &[])), &wish).await;
    let all = reply.expect("a reply")["Policies"]
        .as_array()
        .unwrap()
        .clone();
    let function = all.iter().find(|p| p["For"] == "function role").unwrap();
    for opening in ["ec2:ModifySnapshotAttribute", "kms:CreateGrant"] {
        let allows = |statement: &Value| {
            statement["Effect"] == "Allow" && statement.to_string().contains(opening)
        };
        let mut statements = function["Document"]["Statement"].as_array().unwrap().iter();
        assert!(!statements.any(allows), "{opening}: {function}");
    }
    let sandbox = Sandbox::new(world_with_policies(&all));
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    own_copy(&sandbox, ELSEWHERE);
    // Without the use of the source key by its own account's role, nothing is copied.
    for purpose in ["copy role", "source key"] {
        let mut fewer = all.clone();
        for document in fewer.iter_mut().filter(|p| p["For"] == purpose) {
            let statements = document["Document"]["Statement"].as_array_mut().unwrap();
            let reads = ["SourceKeysByEC2", "CopyRolesByEC2"];
            let before = statements.len();
            statements.retain(|s| !reads.contains(&s["Sid"].as_str().unwrap_or_default()));
            assert!(statements.len() < before, "{purpose}");
        }
        let sandbox = Sandbox::new(world_with_policies(&fewer));
        let reply = to_the_end(&sandbox, &event).await;
        assert_eq!(reply["Status"], "Failed", "{purpose}: {reply}");
    }
}
