//! Runs that publish, killed or hindered at any call.

use amiferry_sandbox::Fault;

use super::*;
use crate::custom_resource::{Stack, with};
use crate::lives::{delete, deregistered};
use crate::resume::{hang, killed};

fn wish() -> Value {
    json!({
        "Parameter": NAME,
        "DeprecateAfterDays": 30,
        "DeregistrationProtection": true,
        "LaunchPermissions": {"AccountIds": ["333333333333"]},
    })
}

fn event() -> Value {
    publishing(&[PLACE], &wish())
}

fn quick() -> Sandbox {
    let world = with_parameter(publishing_world(&[PLACE]), "aws:ec2:image");
    Sandbox::new(world.copy_mib_per_second(1024.0))
}

fn assert_published(sandbox: &Sandbox, reply: &Value, case: &str) {
    assert_eq!(reply["Status"], "Succeeded", "{case}: {reply}");
    let image = copy(sandbox);
    let values = values(sandbox, PLACE, NAME);
    // A call that was repeated may write the same value twice.
    assert_eq!(values[0], OLD, "{case}");
    assert!(
        values[1..].iter().all(|value| *value == image.image_id),
        "{case}: {values:?}"
    );
    let told = &target(reply, PLACE)["Published"]["Parameter"];
    assert_eq!(told["FormerImageId"], OLD, "{case}: {told}");
    assert!(image.deprecation_time.is_some() && image.deregistration_protection.is_some());
    assert_eq!(image.launch_permissions.len(), 1, "{case}");
    assert_closed(sandbox);
}

/// Returns the number of calls before the image is verified. Runs that are hindered there are
/// tested elsewhere.
async fn calls_before() -> usize {
    let sandbox = quick();
    to_the_end(&sandbox, &event()).await;
    let ledger = sandbox.ledger();
    let first = ledger
        .iter()
        .position(|call| call.operation == "RegisterImage");
    first.expect("an image is registered")
}

async fn cut_everywhere(fault: Fault, again: impl Fn(&Value) -> Value) {
    for n in calls_before().await.. {
        let sandbox = quick();
        hang(&sandbox, n, fault.clone());
        let Some(last) = killed(&sandbox, &event()).await else {
            assert!(n > 30, "{n}");
            return;
        };
        sandbox.clear_fault();
        let reply = to_the_end(&sandbox, &again(&last)).await;
        assert_published(&sandbox, &reply, &format!("cut at call {n}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_publishing_run_killed_after_any_call_resumes_from_its_last_state() {
    cut_everywhere(Fault::HangAfter, Value::clone).await;
}

#[tokio::test(start_paused = true)]
async fn a_publishing_run_killed_before_any_call_resumes_from_its_last_state() {
    cut_everywhere(Fault::HangBefore, Value::clone).await;
}

#[tokio::test(start_paused = true)]
async fn a_publishing_run_killed_after_any_call_succeeds_when_delivered_again() {
    cut_everywhere(Fault::HangAfter, |_| event()).await;
}

#[tokio::test(start_paused = true)]
async fn a_publishing_run_with_a_fault_at_any_call_succeeds() {
    let faults = [
        refuse(400, "ThrottlingException"),
        refuse(503, "RequestLimitExceeded"),
        Fault::ResetBefore,
        Fault::ResetAfter,
    ];
    for fault in faults {
        for n in calls_before().await.. {
            let sandbox = quick();
            hang(&sandbox, n, fault.clone());
            let reply = to_the_end(&sandbox, &event()).await;
            assert_published(&sandbox, &reply, &format!("{fault:?} at call {n}"));
            if n > sandbox.ledger().len() {
                break;
            }
        }
    }
}

/// A custom resource with `OnDelete: Deregister` takes its own protection away first.
#[tokio::test(start_paused = true)]
async fn a_protected_copy_is_removed_with_its_resource() {
    let stack = Stack::of(publishing_world(&[PLACE]));
    let properties = with(deregistered(&[PLACE]), "Publish", wish());
    let created = stack.send(&stack.event("Create", &properties)).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    let image = assert_protected(&stack.sandbox);
    assert!(image.is_some());
    let id = created["PhysicalResourceId"].as_str().unwrap();
    let deleted = delete(&stack, id, &properties).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert_nothing(&stack.sandbox, &[PLACE]);
}

fn assert_protected(sandbox: &Sandbox) -> Option<String> {
    copy(sandbox).deregistration_protection
}
