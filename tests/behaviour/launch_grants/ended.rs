//! An update that takes an entry off `ServiceLinkedRoles`: its grants on the targets' keys go,
//! unless others count on them.

use amiferry_sandbox::{Fault, Key};

use super::removing::{properties, send};
use super::*;
use crate::custom_resource::{Stack, with};
use crate::lives::{of_resource, served, unread};

fn without_spot() -> Value {
    with(properties("golden"), "ServiceLinkedRoles", json!(ALL[..2]))
}

fn without_any() -> Value {
    let mut wish = properties("golden");
    wish.as_object_mut()
        .expect("an object")
        .remove("ServiceLinkedRoles");
    wish
}

async fn update(stack: &Stack, id: &Value, old: &Value, new: &Value) -> Value {
    let mut event = stack.event("Update", new);
    event["LogicalResourceId"] = json!("One");
    event["PhysicalResourceId"] = id.clone();
    event["OldResourceProperties"] = old.clone();
    stack.send(&event).await
}

fn scaling_of(account: &str) -> BTreeSet<String> {
    [SCALING, SUFFIXED].map(|role| arn(account, role)).into()
}

#[tokio::test(start_paused = true)]
async fn a_role_taken_off_the_list_loses_its_grants_until_listed_again() {
    let stack = Stack::of(launching_world());
    grant_by_hand(&stack.sandbox).await;
    let all = properties("golden");
    let one = send(&stack, "Create", "One", &all, None).await;
    let id = &one["PhysicalResourceId"];
    for _ in 0..2 {
        let updated = update(&stack, id, &all, &without_spot()).await;
        assert_eq!(updated["Status"], "SUCCESS", "{updated}");
        let second = key_arn(TWO[1]);
        assert_eq!(grantees(&stack.sandbox, &second), scaling_of(TWO[1].0));
        // Grants of other people stay.
        let first = key_arn(TWO[0]);
        let names = launch_grants(&stack.sandbox, &first).into_iter();
        let names: Vec<Option<String>> = names.map(|grant| grant.name).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(names.contains(&Some("by-hand".to_owned())), "{names:?}");
    }
    let back = update(&stack, id, &without_spot(), &all).await;
    assert_eq!(back["Status"], "SUCCESS", "{back}");
    assert_granted(&stack.sandbox, &TWO[1..]);
    // The update removes the last entry too.
    let updated = update(&stack, id, &all, &without_any()).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    let left = launch_grants(&stack.sandbox, &key_arn(TWO[1]));
    assert_eq!(left, Vec::new());
    assert_whole(&stack.sandbox, &TWO);
    assert_closed(&stack.sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_launch_grant_that_another_run_needs_stays_and_is_reported() {
    let stack = Stack::of(launching_world());
    let all = properties("golden");
    let one = send(&stack, "Create", "One", &all, None).await;
    let other = send(&stack, "Create", "Other", &all, None).await;
    let id = &one["PhysicalResourceId"];
    let updated = update(&stack, id, &all, &without_spot()).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    assert_granted(&stack.sandbox, &TWO);
    let reason = updated["Reason"].as_str().expect("a reason");
    assert!(
        reason.contains("the grant for AWSServiceRoleForEC2Spot on arn:"),
        "{reason}"
    );
    let mut gone = stack.event("Delete", &all);
    gone["LogicalResourceId"] = json!("Other");
    gone["PhysicalResourceId"] = other["PhysicalResourceId"].clone();
    assert_eq!(stack.send(&gone).await["Status"], "SUCCESS");
    let updated = update(&stack, id, &all, &without_spot()).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    for place in TWO {
        let left = grantees(&stack.sandbox, &key_arn(place));
        assert_eq!(left, scaling_of(place.0));
    }
}

/// The ledger knows nothing of the run of these copies, which may be in use.
#[tokio::test(start_paused = true)]
async fn a_launch_grant_stays_while_copies_of_an_unknown_run_are_under_the_key() {
    let stack = Stack::of(launching_world());
    let all = properties("golden");
    let one = send(&stack, "Create", "One", &all, None).await;
    let theirs = amiferry_sandbox::Snapshot::new(HOME, "snap-0123456789abcdeff", 8)
        .key(&key_arn(TWO[0]))
        .tag("amiferry:key", "theirs")
        .tag("amiferry:run", "fedcba9876543210");
    stack
        .sandbox
        .edit(|aws| aws.add_snapshot(TWO[0].0, theirs))
        .expect("it can be");
    let updated = update(&stack, &one["PhysicalResourceId"], &all, &without_spot()).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    let reason = updated["Reason"].as_str().expect("a reason");
    assert!(reason.contains("run fedcba9876543210 counts"), "{reason}");
    assert_granted(&stack.sandbox, &TWO[..1]);
    let left = grantees(&stack.sandbox, &key_arn(TWO[1]));
    assert_eq!(left, scaling_of(TWO[1].0));
}

/// The answer names the failed revocation, and the rollback succeeds.
#[tokio::test(start_paused = true)]
async fn a_launch_grant_that_cannot_be_revoked_fails_its_target_and_keeps_the_image() {
    let stack = Stack::of(launching_world());
    let all = properties("golden");
    let one = send(&stack, "Create", "One", &all, None).await;
    let id = &one["PhysicalResourceId"];
    for (operation, new) in [
        ("RevokeGrant", without_spot()),
        ("RevokeGrant", without_any()),
        ("ListGrants", without_any()),
    ] {
        stack.sandbox.set_fault(move |call| {
            if call.operation == operation && call.account == TWO[0].0 {
                let (code, message) = ("AccessDeniedException", "not allowed");
                return Fault::Refuse {
                    status: 400,
                    code: code.to_owned(),
                    message: message.to_owned(),
                };
            }
            Fault::None
        });
        let failed = update(&stack, id, &all, &new).await;
        assert_eq!(failed["Status"], "FAILED", "{failed}");
        let reason = failed["Reason"].as_str().expect("a reason");
        assert!(
            reason.contains(operation) && reason.contains("kms:RevokeGrant on arn:"),
            "{reason}"
        );
        stack.sandbox.clear_fault();
        let back = update(&stack, id, &new, &all).await;
        assert_eq!(back["Status"], "SUCCESS", "{back}");
        assert_granted(&stack.sandbox, &TWO);
        assert_whole(&stack.sandbox, &TWO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_taken_off_together_with_its_roles_keeps_no_launch_grant() {
    let stack = Stack::of(launching_world());
    let all = properties("golden");
    let one = send(&stack, "Create", "One", &all, None).await;
    let fewer = with(without_any(), "Targets", json!([all["Targets"][0]]));
    let updated = update(&stack, &one["PhysicalResourceId"], &all, &fewer).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    for place in TWO {
        let left = launch_grants(&stack.sandbox, &key_arn(place));
        assert_eq!(left, Vec::new(), "{place:?}");
    }
    assert_nothing(&stack.sandbox, &TWO[1..]);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_revocation_of_launch_grants_is_resumed() {
    for fault in [Fault::HangBefore, Fault::HangAfter] {
        let sandbox = Sandbox::new(launching_world());
        let all = properties("golden");
        served(&sandbox, unread("Create", &all)).await;
        let hangs = std::sync::atomic::AtomicU32::new(0);
        let how = fault.clone();
        sandbox.set_fault(move |call| {
            let order = std::sync::atomic::Ordering::SeqCst;
            if call.operation == "RevokeGrant" && hangs.fetch_add(1, order) < 12 {
                return how.clone();
            }
            Fault::None
        });
        let mut resource = unread("Update", &without_spot())["CustomResource"].clone();
        resource["OldResourceProperties"] = all;
        served(&sandbox, of_resource(&resource)).await;
        for place in TWO {
            let left = grantees(&sandbox, &key_arn(place));
            assert_eq!(left, scaling_of(place.0), "{fault:?}");
        }
        assert_closed(&sandbox);
    }
}

const OTHER: &str = "22222222-aaaa-bbbb-cccc-0000000000ff";

/// Returns a world in which the first target has another key.
fn world_with_another_key() -> World {
    let mut world = launching_world();
    let mut accounts = world.accounts.iter_mut();
    let target = accounts.find(|account| account.id == TWO[0].0);
    let key = Key::new(TWO[0].1, OTHER).alias("alias/other");
    target.expect("it").keys.push(key);
    world
}

fn under_another_key() -> Value {
    let mut wish = properties("golden");
    wish["Targets"][0]["KmsKeyId"] = json!("alias/other");
    wish
}

fn assert_granted_on_the_other_key_too(sandbox: &Sandbox) {
    let other = format!("arn:aws:kms:{}:{}:key/{OTHER}", TWO[0].1, TWO[0].0);
    assert_eq!(grantees(sandbox, &other), all_of(TWO[0].0));
    assert_granted(sandbox, &TWO[1..]);
}

/// The copies under the new key get the grants; no copy under the former key is left to need them.
#[tokio::test(start_paused = true)]
async fn an_update_to_another_key_ends_the_launch_grants_on_the_former_key() {
    let stack = Stack::of(world_with_another_key());
    let old = properties("golden");
    let created = send(&stack, "Create", "One", &old, None).await;
    grant_by_hand(&stack.sandbox).await;
    let id = &created["PhysicalResourceId"];
    let updated = update(&stack, id, &old, &under_another_key()).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    let left = launch_grants(&stack.sandbox, &key_arn(TWO[0]));
    let names: Vec<_> = left.into_iter().map(|grant| grant.name).collect();
    assert_eq!(names, [Some("by-hand".to_owned())]);
    assert_granted_on_the_other_key_too(&stack.sandbox);
}

/// EC2 keeps a copy that another image uses, so services still launch from it.
#[tokio::test(start_paused = true)]
async fn an_update_to_another_key_keeps_launch_grants_for_another_image_of_the_former_copies() {
    let stack = Stack::of(world_with_another_key());
    let old = properties("golden");
    let created = send(&stack, "Create", "One", &old, None).await;
    let mut theirs = assert_one_image(&stack.sandbox, TWO[0]);
    theirs.image_id = "ami-0fffffffffffffff1".to_owned();
    theirs.name = "theirs".to_owned();
    theirs.tags.clear();
    let added = stack.sandbox.edit(|aws| aws.add_image(TWO[0].0, theirs));
    added.expect("it can be");
    let id = &created["PhysicalResourceId"];
    let updated = update(&stack, id, &old, &under_another_key()).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    assert_eq!(grantees(&stack.sandbox, &key_arn(TWO[0])), all_of(TWO[0].0));
    assert_granted_on_the_other_key_too(&stack.sandbox);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_update_to_another_key_leaves_no_launch_grant() {
    for operation in ["RevokeGrant", "DeregisterImage"] {
        for fault in [Fault::HangBefore, Fault::HangAfter] {
            let sandbox = Sandbox::new(world_with_another_key());
            let old = properties("golden");
            served(&sandbox, unread("Create", &old)).await;
            let hangs = std::sync::atomic::AtomicU32::new(0);
            let how = fault.clone();
            sandbox.set_fault(move |call| {
                let order = std::sync::atomic::Ordering::SeqCst;
                let of_target = call.account == TWO[0].0 && call.operation == operation;
                if of_target && hangs.fetch_add(1, order) < 4 {
                    return how.clone();
                }
                Fault::None
            });
            let new = under_another_key();
            let mut resource = unread("Update", &new)["CustomResource"].clone();
            resource["OldResourceProperties"] = old;
            served(&sandbox, of_resource(&resource)).await;
            let left = launch_grants(&sandbox, &key_arn(TWO[0]));
            assert_eq!(left, Vec::new(), "{operation} {fault:?}");
            let images = sandbox.images(TWO[0].0, TWO[0].1);
            assert_eq!(images.len(), 1, "{operation} {fault:?}");
            assert_granted_on_the_other_key_too(&sandbox);
            assert_closed(&sandbox);
        }
    }
}

/// The former image stays as long as its launch grants do, so that a later update finds both.
#[tokio::test(start_paused = true)]
async fn a_launch_grant_on_the_former_key_that_cannot_be_revoked_keeps_the_former_image() {
    let sandbox = Sandbox::new(world_with_another_key());
    let old = properties("golden");
    served(&sandbox, unread("Create", &old)).await;
    sandbox.set_fault(|call| {
        if call.operation == "RevokeGrant" && call.account == TWO[0].0 {
            return Fault::Refuse {
                status: 400,
                code: "AccessDeniedException".to_owned(),
                message: "not allowed".to_owned(),
            };
        }
        Fault::None
    });
    let mut resource = unread("Update", &under_another_key())["CustomResource"].clone();
    resource["OldResourceProperties"] = old;
    served(&sandbox, of_resource(&resource)).await;
    assert_eq!(sandbox.images(TWO[0].0, TWO[0].1).len(), 2);
    assert_eq!(grantees(&sandbox, &key_arn(TWO[0])), all_of(TWO[0].0));
    assert_closed(&sandbox);

    sandbox.clear_fault();
    resource["RequestId"] = json!("request-again");
    served(&sandbox, of_resource(&resource)).await;
    assert_eq!(sandbox.images(TWO[0].0, TWO[0].1).len(), 1);
    assert_eq!(grantees(&sandbox, &key_arn(TWO[0])), BTreeSet::new());
    assert_granted_on_the_other_key_too(&sandbox);
}
