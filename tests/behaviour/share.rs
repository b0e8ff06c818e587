//! `Mode: Share`: others launch from the source image; what one run gave is taken back, and nothing
//! else.

use std::collections::BTreeSet;
use std::time::Duration;

use amiferry_sandbox::world::LateReads;
use amiferry_sandbox::{Fault, LaunchPermission, Sandbox};
use serde_json::{Value, json};

use crate::custom_resource::{Stack, with};
use crate::support::*;

const ONE: &str = "222222222222";
const OTHER: &str = "333333333333";

fn share(accounts: &[&str], more: &Value) -> Value {
    let mut request =
        json!({"SourceImageId": AMI, "Mode": "Share", "TargetAccountIds": accounts.join(",")});
    for (key, value) in more.as_object().expect("an object") {
        request[key] = value.clone();
    }
    json!({ "Distribute": request })
}

/// Returns the principals that may launch from the source image.
fn launching(sandbox: &Sandbox) -> BTreeSet<LaunchPermission> {
    let image = sandbox.edit(|aws| aws.image(AMI)).expect("the image");
    assert!(!image.public);
    image.launch_permissions.into_iter().collect()
}

fn accounts(ids: &[&str]) -> BTreeSet<LaunchPermission> {
    ids.iter()
        .map(|id| LaunchPermission::User((*id).to_owned()))
        .collect()
}

/// Returns the accounts with a grant, and its operations.
fn granted(sandbox: &Sandbox) -> BTreeSet<String> {
    let grants = sandbox.grants(SOURCE_KEY);
    grants
        .iter()
        .map(|grant| grant.grantee_principal.clone())
        .collect()
}

fn roots(ids: &[&str]) -> BTreeSet<String> {
    ids.iter()
        .map(|id| format!("arn:aws:iam::{id}:root"))
        .collect()
}

fn on_snapshots(sandbox: &Sandbox) -> Vec<BTreeSet<String>> {
    let snapshots = sandbox.snapshots(SOURCE, HOME);
    snapshots
        .into_iter()
        .map(|s| s.create_volume_permissions.into_iter().collect())
        .collect()
}

/// Checks that nothing of any run is on the source: no tag, no grant, and only these permissions.
fn assert_ended(sandbox: &Sandbox, before: &[&str]) {
    assert_eq!(launching(sandbox), accounts(before));
    let image = sandbox.edit(|aws| aws.image(AMI)).expect("the image");
    let snapshots = sandbox.snapshots(SOURCE, HOME);
    let tags = snapshots
        .iter()
        .flat_map(|s| s.tags.keys())
        .chain(image.tags.keys());
    let ours: Vec<&String> = tags.filter(|key| key.starts_with("amiferry:")).collect();
    assert!(ours.is_empty(), "{ours:?}");
    assert!(granted(sandbox).is_empty());
}

#[tokio::test(start_paused = true)]
async fn accounts_may_launch_until_the_share_is_closed() {
    let sandbox = Sandbox::new(world(&TWO));
    let reply = to_the_end(&sandbox, &share(&[ONE, OTHER], &json!({}))).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let result = target(&reply, (ONE, HOME));
    assert_eq!(
        (&result["Status"], &result["ImageId"]),
        (&json!("Succeeded"), &json!(AMI))
    );
    assert_eq!(launching(&sandbox), accounts(&[ONE, OTHER]));
    assert_eq!(granted(&sandbox), roots(&[ONE, OTHER]));
    assert_eq!(
        on_snapshots(&sandbox),
        vec![BTreeSet::new(); 2],
        "nobody asked for the snapshots"
    );
    assert_eq!(
        calls(&sandbox, "AssumeRole"),
        0,
        "a share needs no role in the target"
    );

    // The request closes one of the two accounts. It is sent twice.
    for _ in 0..2 {
        let reply = to_the_end(&sandbox, &share(&[ONE], &json!({"Unshare": true}))).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        assert_eq!(target(&reply, (ONE, HOME))["Status"], "Unshared");
        assert_eq!(launching(&sandbox), accounts(&[OTHER]));
        assert_eq!(granted(&sandbox), roots(&[OTHER]));
    }
    let reply = to_the_end(&sandbox, &share(&[OTHER], &json!({"Unshare": true}))).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_ended(&sandbox, &[]);
}

#[tokio::test(start_paused = true)]
async fn share_snapshots_opens_every_snapshot() {
    for asked in [
        json!({"SnapshotId": ROOT}),
        json!({"ShareSnapshots": "true"}),
    ] {
        let sandbox = Sandbox::new(world(&TWO));
        let reply = to_the_end(&sandbox, &share(&[ONE], &asked)).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        let one = BTreeSet::from([ONE.to_owned()]);
        assert_eq!(on_snapshots(&sandbox), vec![one; 2]);
        to_the_end(&sandbox, &share(&[ONE], &json!({"Unshare": true}))).await;
        assert_eq!(on_snapshots(&sandbox), vec![BTreeSet::new(); 2]);
        assert_ended(&sandbox, &[]);
    }
}

/// Accounts that were permitted before stay so, though the request names them too.
#[tokio::test(start_paused = true)]
async fn preexisting_permissions_survive_a_share() {
    let sandbox = Sandbox::new(world(&TWO));
    sandbox.edit(|aws| {
        let before = LaunchPermission::User(ONE.to_owned());
        assert!(aws.change_image(AMI, |image| {
            image.launch_permissions.insert(before);
        }));
        assert!(aws.share_snapshot(ROOT, ONE));
    });
    let everything = json!({"ShareSnapshots": true});
    to_the_end(&sandbox, &share(&[ONE, OTHER], &everything)).await;
    assert_eq!(launching(&sandbox), accounts(&[ONE, OTHER]));
    to_the_end(&sandbox, &share(&[ONE, OTHER], &json!({"Unshare": true}))).await;
    assert_ended(&sandbox, &[ONE]);
    let left: Vec<usize> = on_snapshots(&sandbox).iter().map(BTreeSet::len).collect();
    assert_eq!(left.iter().sum::<usize>(), 1, "the one there before");
}

#[tokio::test(start_paused = true)]
async fn a_share_with_a_missing_account_fails_for_it_alone() {
    let sandbox = Sandbox::new(world(&TWO));
    sandbox.set_fault(|call| {
        let named = call
            .params
            .iter()
            .any(|(key, value)| key.starts_with("UserId") && value == OTHER);
        if call.operation == "ModifyImageAttribute" && named {
            return Fault::Refuse {
                status: 400,
                code: "InvalidAMIAttributeItemValue".to_owned(),
                message: "Invalid attribute item value for userId item type".to_owned(),
            };
        }
        Fault::None
    });
    let reply = to_the_end(&sandbox, &share(&[ONE, OTHER], &json!({}))).await;
    assert_eq!(reply["Status"], "PartiallySucceeded", "{reply}");
    assert_eq!(launching(&sandbox), accounts(&[ONE]));
    assert_eq!(granted(&sandbox), roots(&[ONE]));
    let failed = target(&reply, (OTHER, HOME));
    assert!(
        failed["Reason"]
            .as_str()
            .unwrap()
            .contains("InvalidAMIAttributeItemValue")
    );
    assert!(
        failed["Remedy"]
            .as_str()
            .unwrap()
            .contains("check that the accounts named exist")
    );
}

/// The share is killed after every call, and continued from the start or from its last state.
#[tokio::test(start_paused = true)]
async fn a_share_killed_after_any_call_is_opened_and_closed() {
    let begin = share(&[ONE, OTHER], &json!({"ShareSnapshots": true}));
    let end = share(&[ONE, OTHER], &json!({"Unshare": true}));
    // Closes one of two accounts that share a record.
    let one_goes = share(&[ONE], &json!({"Unshare": true}));
    let cases: [(&Value, &[&str]); 3] =
        [(&begin, &[ONE, OTHER]), (&one_goes, &[OTHER]), (&end, &[])];
    for (event, stay) in cases {
        for n in 0.. {
            let sandbox = Sandbox::new(world(&TWO));
            if event != &begin {
                to_the_end(&sandbox, &begin).await;
            }
            let before = sandbox.ledger().len();
            crate::resume::hang(&sandbox, before + n, Fault::HangAfter);
            let cut =
                tokio::time::timeout(std::time::Duration::from_mins(1), call(&sandbox, event));
            drop(cut.await);
            let reached = sandbox.ledger().len() - before;
            sandbox.clear_fault();
            let reply = to_the_end(&sandbox, event).await;
            assert_eq!(reply["Status"], "Succeeded", "cut after {n}: {reply}");
            assert_eq!(launching(&sandbox), accounts(stay), "cut after {n}");
            assert_eq!(granted(&sandbox), roots(stay), "cut after {n}");
            if !stay.is_empty() {
                to_the_end(&sandbox, &end).await;
            }
            assert_ended(&sandbox, &[]);
            if reached < n {
                println!("{n} calls cut");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_takes_an_unencrypted_image_and_refuses_one_under_aws_ebs() {
    let sandbox = Sandbox::new(world(&TWO));
    let managed = sandbox.edit(|aws| aws.aws_ebs_key(SOURCE, HOME));
    sandbox.edit(|aws| {
        aws.change_snapshot(DATA, |s| {
            s.encrypted = true;
            s.kms_key_arn = Some(managed);
        })
    });
    let error = call(&sandbox, &share(&[ONE], &json!({})))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("aws/ebs"), "{error}");
    assert_ended(&sandbox, &[]);
    sandbox.edit(|aws| {
        for id in [ROOT, DATA] {
            aws.change_snapshot(id, |s| {
                s.encrypted = false;
                s.kms_key_arn = None;
            });
        }
    });
    let reply = to_the_end(&sandbox, &share(&[ONE], &json!({}))).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(calls(&sandbox, "CreateGrant"), 0);
}

/// The properties are those of the source design's two sharing resources.
#[tokio::test(flavor = "multi_thread")]
async fn resources_that_share_are_created_updated_and_deleted() {
    let stack = Stack::new(&TWO).await;
    let properties = json!({"ServiceToken": FUNCTION, "AmiId": AMI, "SnapshotId": ROOT,
        "Region": HOME, "TargetAccountId": ONE});
    let typed = |kind: &str, resource: &str, properties: &Value| {
        let mut event = stack.event(kind, properties);
        event["ResourceType"] = json!(resource);
        event
    };
    let created = stack
        .send(&typed("Create", "Custom::ShareAutomation", &properties))
        .await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    assert_eq!(created["Data"]["Image.222222222222.us-west-2"], AMI);
    assert_eq!(launching(&stack.sandbox), accounts(&[ONE]));
    assert_eq!(
        on_snapshots(&stack.sandbox),
        vec![BTreeSet::from([ONE.to_owned()]); 2]
    );

    // The new list closes the accounts that left it.
    let many =
        json!({"ServiceToken": FUNCTION, "AmiId": AMI, "Region": HOME, "TargetAccountIds": OTHER});
    let mut update = typed("Update", "Custom::MultiAccountAmiShare", &many);
    update["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
    update["OldResourceProperties"] = properties;
    let updated = stack.send(&update).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    assert_eq!(updated["PhysicalResourceId"], created["PhysicalResourceId"]);
    assert_eq!(launching(&stack.sandbox), accounts(&[OTHER]));
    assert_eq!(granted(&stack.sandbox), roots(&[OTHER]));
    assert_eq!(on_snapshots(&stack.sandbox), vec![BTreeSet::new(); 2]);

    for _ in 0..2 {
        let mut delete = typed("Delete", "Custom::MultiAccountAmiShare", &many);
        delete["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
        assert_eq!(stack.send(&delete).await["Status"], "SUCCESS");
        assert_ended(&stack.sandbox, &[]);
    }
}

/// The image may be gone when its share ends: the ledger names the grants on its key.
#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_shares_is_deleted_after_its_image_is_gone() {
    let stack = Stack::new(&TWO).await;
    let properties = with(
        json!({"AmiId": AMI, "TargetAccountIds": [ONE]}),
        "Mode",
        json!("Share"),
    );
    let created = stack.send(&stack.event("Create", &properties)).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    assert_eq!(granted(&stack.sandbox), roots(&[ONE]));
    assert!(stack.sandbox.edit(|aws| aws.delete_image(AMI)));
    let mut delete = stack.event("Delete", &properties);
    delete["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
    let deleted = stack.send(&delete).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert!(granted(&stack.sandbox).is_empty());
    for snapshot in stack.sandbox.snapshots(SOURCE, HOME) {
        assert!(!snapshot.tags.keys().any(|key| key.starts_with("amiferry:")));
    }
}

/// A direct call closes the rest of a share whose image is gone. Without a share the image is
/// unknown.
#[tokio::test(start_paused = true)]
async fn a_share_is_closed_after_its_image_is_gone() {
    for (more, snapshots) in [
        (json!({}), false),
        (json!({"ShareSnapshots": true}), true),
        (json!({"KeyAccess": "Policy", "ShareSnapshots": true}), true),
    ] {
        let mut source = producer();
        source.roles[0].policies.push(documented("KeyPolicies"));
        let sandbox = Sandbox::new(world_with(source, &TWO));
        let policy = sandbox.key_policy(SOURCE_KEY);
        let given = to_the_end(&sandbox, &share(&[ONE, OTHER], &more)).await;
        assert_eq!(given["Status"], "Succeeded", "{given}");
        assert_eq!(
            on_snapshots(&sandbox)[0].len(),
            if snapshots { 2 } else { 0 }
        );
        assert!(sandbox.edit(|aws| aws.delete_image(AMI)));
        let mut back = share(&[ONE], &more);
        back["Distribute"]["Unshare"] = json!(true);
        let reply = to_the_end(&sandbox, &back).await;
        assert_eq!(reply["Status"], "Succeeded", "{more}: {reply}");
        assert_closed(&sandbox);
        assert_eq!(sandbox.key_policy(SOURCE_KEY), policy, "{more}");
        let error = call(&sandbox, &back).await.expect_err("nothing is left");
        assert_eq!(error.error_type(), "SourceNotFound", "{error}");
    }
}

/// KMS lists a grant late, and the closing ends only when the grant is revoked.
#[tokio::test(start_paused = true)]
async fn a_share_closed_before_its_grants_are_listed_waits_for_them() {
    let late = LateReads {
        grants: Duration::from_secs(40),
        ..LateReads::default()
    };
    let sandbox = Sandbox::new(world(&TWO).late_reads(late));
    let given = to_the_end(&sandbox, &share(&[ONE, OTHER], &json!({}))).await;
    assert_eq!(given["Status"], "Succeeded", "{given}");
    let back = share(&[ONE, OTHER], &json!({"Unshare": true}));
    let reply = to_the_end(&sandbox, &back).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert!(granted(&sandbox).is_empty(), "{:?}", granted(&sandbox));
}

/// Direct calls for one image form one share. Each knows the openings of the calls before it.
#[tokio::test(start_paused = true)]
async fn shares_of_different_accounts_at_once_add_to_one_share() {
    for seed in 0..40_u64 {
        let delay = std::time::Duration::from_secs(seed % 7);
        let sandbox = Sandbox::new(world(&FOUR).tag_delay(delay));
        let random = std::sync::Mutex::new(fastrand::Rng::with_seed(seed));
        sandbox.set_fault(move |_| {
            let millis = random.lock().unwrap().u64(0..900);
            Fault::Delay(std::time::Duration::from_millis(millis))
        });
        let more = json!({"ShareSnapshots": seed % 2 == 0});
        let lists = [[ONE], [OTHER], ["444444444444"]].map(|list| share(&list, &more));
        let giving = lists.each_ref().map(|list| to_the_end(&sandbox, list));
        for reply in futures::future::join_all(giving).await {
            assert_eq!(reply["Status"], "Succeeded", "seed {seed}: {reply}");
        }
        let all = [ONE, OTHER, "444444444444"];
        assert_eq!(launching(&sandbox), accounts(&all), "seed {seed}");
        // Tags that showed late show by now.
        tokio::time::sleep(std::time::Duration::from_mins(1)).await;
        let mut back = share(&all, &more);
        back["Distribute"]["Unshare"] = json!(true);
        let reply = to_the_end(&sandbox, &back).await;
        assert_eq!(reply["Status"], "Succeeded", "seed {seed}: {reply}");
        assert_closed(&sandbox);
    }
}

/// Changes a share with many accounts on an image that has tags of its own.
#[tokio::test(start_paused = true)]
async fn a_share_with_370_accounts_grows_and_shrinks_on_a_tagged_image() {
    let many: Vec<String> = (0..370)
        .map(|n| format!("{:012}", 600_000_000_000_u64 + n))
        .collect();
    let mut source = producer();
    for n in 0..18 {
        source.images[0]
            .tags
            .insert(format!("own-{n}"), "theirs".to_owned());
    }
    let world = many.iter().fold(world_with(source, &TWO), |world, id| {
        world.account(amiferry_sandbox::Account::new(id))
    });
    let sandbox = Sandbox::new(world);
    let by_hand = json!({"KeyAccess": "None"});
    let ids: Vec<&str> = many.iter().map(String::as_str).collect();
    let asked = |ids: &[&str], back: bool| {
        let mut event = share(ids, &by_hand);
        event["Distribute"]["Unshare"] = json!(back);
        event
    };
    // The last accounts are added one by one.
    let (first, later) = ids.split_at(350);
    for some in std::iter::once(first).chain(later.chunks(1)) {
        let reply = to_the_end(&sandbox, &asked(some, false)).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
    }
    assert_eq!(launching(&sandbox), accounts(&ids));
    // Removes accounts from all over the list.
    let gone: Vec<&str> = ids.iter().copied().step_by(17).collect();
    let stay: Vec<&str> = ids
        .iter()
        .copied()
        .filter(|id| !gone.contains(id))
        .collect();
    let reply = to_the_end(&sandbox, &asked(&gone, true)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(launching(&sandbox), accounts(&stay));
    let reply = to_the_end(&sandbox, &asked(&stay, true)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_closed(&sandbox);
}

/// Requests at the same moment differ, and each adds to the one share in its own way.
#[tokio::test(start_paused = true)]
async fn shares_in_different_ways_at_once_add_to_one_share() {
    for seconds in [0, 1] {
        let sandbox = Sandbox::new(world(&TWO));
        sandbox.set_fault(move |call| match call.operation.as_str() {
            "ModifyImageAttribute" => Fault::Delay(Duration::from_secs(3)),
            _ => Fault::None,
        });
        let whole = share(&[ONE], &json!({"ShareSnapshots": true}));
        let image = share(&[OTHER], &json!({}));
        let later = async {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            to_the_end(&sandbox, &image).await
        };
        let (one, other) = tokio::join!(to_the_end(&sandbox, &whole), later);
        assert_eq!(one["Status"], "Succeeded", "{one}");
        assert_eq!(other["Status"], "Succeeded", "{other}");
        assert_eq!(launching(&sandbox), accounts(&[ONE, OTHER]));
        let only = BTreeSet::from([ONE.to_owned()]);
        assert_eq!(on_snapshots(&sandbox), [only.clone(), only]);
    }
}
