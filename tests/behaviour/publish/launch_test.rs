//! The launch test of a copy.

use std::time::Duration;

use amiferry_sandbox::Fault;

use super::*;
use crate::resume::{hang, killed};

fn event() -> Value {
    let wish = json!({"Parameter": NAME, "LaunchTest": {"InstanceType": "t3.small"}});
    publishing(&[PLACE], &wish)
}

fn quick() -> Sandbox {
    let mut source = producer();
    source.images[0].ena_support = true;
    // A volume that the image leaves behind would be billed for years.
    for mapping in &mut source.images[0].block_device_mappings {
        if let Some(ebs) = &mut mapping.ebs {
            ebs.delete_on_termination = Some(false);
        }
    }
    Sandbox::new(permitted(world_with(source, &[PLACE])))
}

/// Checks that every instance is terminated, after the time that EC2 takes for it.
async fn assert_terminated(sandbox: &Sandbox, case: &str) {
    tokio::time::sleep(Duration::from_mins(5)).await;
    let instances = sandbox.instances(PLACE.0, PLACE.1);
    assert!(!instances.is_empty(), "{case}: no instance was launched");
    for instance in instances {
        assert_eq!(instance.state, "terminated", "{case}: {instance:?}");
        assert_eq!(instance.kept_volumes, Vec::<String>::new(), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_published_once_its_instance_has_passed_its_checks() {
    let sandbox = quick();
    let reply = to_the_end(&sandbox, &event()).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let told = &target(&reply, PLACE)["Published"];
    assert_eq!(told["LaunchTest"], "Passed", "{told}");
    assert_eq!(told["Parameter"]["Version"], 1, "{told}");
    let instances = sandbox.instances(PLACE.0, PLACE.1);
    assert_eq!(instances.len(), 1);
    assert_eq!(instances[0].instance_type, "t3.small");
    assert_eq!(instances[0].image_id, copy(&sandbox).image_id);
    assert!(instances[0].launched_by.contains("AmiCopyRole"));
    let ledger = sandbox.ledger();
    let at = |operation: &str| {
        let found = ledger.iter().position(|call| call.operation == operation);
        found.unwrap_or_else(|| panic!("no {operation}"))
    };
    assert!(at("TerminateInstances") < at("PutParameter"));
    let run = &ledger[at("RunInstances")].params;
    assert_eq!(run["MetadataOptions.HttpTokens"], "required");
    assert_terminated(&sandbox, "passed").await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_whose_instance_does_not_pass_is_kept_and_not_published() {
    let sandbox = quick();
    let event = event();
    let impairing = async {
        while calls(&sandbox, "RunInstances") == 0 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let id = copy(&sandbox).image_id;
        sandbox.edit(|aws| assert!(aws.impair_instances_of(&id)));
    };
    let (reply, ()) = tokio::join!(to_the_end(&sandbox, &event), impairing);
    let told = target(&reply, PLACE);
    assert_eq!(told["Cause"], "LaunchTestFailed", "{told}");
    assert!(told["Reason"].to_string().contains("impaired"), "{told}");
    assert_eq!(told["ImageId"], copy(&sandbox).image_id);
    assert_eq!(calls(&sandbox, "PutParameter"), 0);
    assert_terminated(&sandbox, "impaired").await;
    assert_closed(&sandbox);
}

/// The instance is terminated before the target ends.
#[tokio::test(start_paused = true)]
async fn a_test_whose_image_is_disabled_meanwhile_leaves_no_instance() {
    let sandbox = quick();
    let event = event();
    let disabling = async {
        while calls(&sandbox, "DescribeInstanceStatus") == 0 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let id = copy(&sandbox).image_id;
        sandbox.edit(|aws| {
            aws.change_image(&id, |image| image.state = "disabled".to_owned());
        });
    };
    let (reply, ()) = tokio::join!(to_the_end(&sandbox, &event), disabling);
    let told = target(&reply, PLACE);
    assert_eq!(told["Cause"], "NotPublished", "{told}");
    assert!(told["Reason"].to_string().contains("is disabled"), "{told}");
    assert_terminated(&sandbox, "disabled").await;
    assert_closed(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn an_instance_type_that_does_not_fit_the_image_fails_the_test() {
    // The image has no ENA, which the type needs.
    let sandbox = Sandbox::new(publishing_world(&[PLACE]));
    let reply = to_the_end(&sandbox, &event()).await;
    let told = target(&reply, PLACE);
    assert_eq!(told["Cause"], "LaunchTestFailed", "{told}");
    assert!(told["Reason"].to_string().contains("ENA"), "{told}");
    assert_eq!(calls(&sandbox, "RunInstances"), 1);
}

/// An instance that runs on would be billed for years.
#[tokio::test(start_paused = true)]
async fn an_instance_that_cannot_be_terminated_leaves_the_run_stuck_with_the_command() {
    let sandbox = quick();
    sandbox.set_fault(|call| match call.operation.as_str() {
        "TerminateInstances" => refuse(403, "UnauthorizedOperation"),
        _ => Fault::None,
    });
    let reply = to_the_end(&sandbox, &event()).await;
    assert_eq!(reply["Status"], "Stuck", "{reply}");
    let id = sandbox.instances(PLACE.0, PLACE.1)[0].instance_id.clone();
    let command = format!("aws ec2 terminate-instances --region us-west-2 --instance-ids {id}");
    let left = reply["Result"]["Stuck"].to_string();
    assert!(left.contains(&command), "{left}");
    assert_eq!(target(&reply, PLACE)["ImageId"], copy(&sandbox).image_id);
    assert_closed(&sandbox);
}

/// The instance goes from `pending` to `terminated`, and EC2 says `Client.InternalError`.
#[tokio::test(start_paused = true)]
async fn an_instance_that_cannot_use_the_key_fails_the_test_with_the_words_of_ec2() {
    let sandbox = quick();
    // The key is disabled once the copy is good.
    sandbox.set_fault(|call| match call.operation.as_str() {
        "RunInstances" => Fault::Delay(Duration::from_secs(3)),
        _ => Fault::None,
    });
    let event = event();
    let disabling = async {
        while calls(&sandbox, "RunInstances") == 0 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        sandbox.edit(|aws| assert!(aws.disable_key(&key_arn(PLACE))));
    };
    let (reply, ()) = tokio::join!(to_the_end(&sandbox, &event), disabling);
    let told = target(&reply, PLACE);
    assert_eq!(told["Cause"], "LaunchTestFailed", "{told}");
    let reason = told["Reason"].to_string();
    assert!(reason.contains("by itself: Client."), "{reason}");
    assert_eq!(calls(&sandbox, "PutParameter"), 0);
}

/// Kills a run at each call of its launch test, each time in a world of its own, and goes on with
/// the event that `again` makes of the last one.
pub(super) async fn cut_at_each_call_of_a_test(
    fault: &Fault,
    event: &Value,
    world: impl Fn() -> Sandbox,
    again: impl Fn(&Value) -> Value,
    ended: impl AsyncFn(&Sandbox, &str),
) {
    let whole = world();
    to_the_end(&whole, event).await;
    let ledger = whole.ledger();
    let first = ledger
        .iter()
        .position(|call| call.operation == "DescribeInstances");
    for n in first.expect("a launch test").. {
        let sandbox = world();
        hang(&sandbox, n, fault.clone());
        let Some(last) = killed(&sandbox, event).await else {
            return;
        };
        sandbox.clear_fault();
        let case = format!("cut at call {n}");
        let reply = to_the_end(&sandbox, &again(&last)).await;
        assert_eq!(reply["Status"], "Succeeded", "{case}: {reply}");
        assert_eq!(values(&sandbox, PLACE, NAME), [copy(&sandbox).image_id]);
        ended(&sandbox, &case).await;
        let launched = sandbox.instances(PLACE.0, PLACE.1).len();
        assert!(launched <= 2, "{case}: {launched} instances");
    }
}

async fn cut_everywhere(fault: Fault, again: impl Fn(&Value) -> Value) {
    cut_at_each_call_of_a_test(&fault, &event(), quick, again, assert_terminated).await;
}

#[tokio::test(start_paused = true)]
async fn a_launch_test_killed_after_any_call_resumes_from_its_last_state() {
    cut_everywhere(Fault::HangAfter, Value::clone).await;
}

#[tokio::test(start_paused = true)]
async fn a_launch_test_killed_after_any_call_ends_when_delivered_again() {
    cut_everywhere(Fault::HangAfter, |_| event()).await;
}
