//! `Mode: Share`: others launch from the source image; what one run gave is taken back, and nothing
//! else.

use std::collections::BTreeSet;
use std::time::Duration;

use amiferry_sandbox::world::LateReads;
use amiferry_sandbox::{Fault, LaunchPermission, Sandbox};
use serde_json::{Value, json};

use crate::custom_resource::{Stack, with};
use crate::support::*;

mod at_once;
mod resources;

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
