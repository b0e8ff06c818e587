//! The launch test by an Auto Scaling group of one.

use std::time::Duration;

use amiferry_sandbox::Fault;

use super::launch_test::cut_at_each_call_of_a_test;
use super::*;

fn event(more: &Value) -> Value {
    let mut test = json!({"AutoScaling": true});
    for (key, value) in more.as_object().expect("keys") {
        test[key] = value.clone();
    }
    let wish = json!({"Parameter": NAME, "LaunchTest": test});
    let mut event = publishing(&[PLACE], &wish);
    event["Distribute"]["ServiceLinkedRoles"] = json!(["autoscaling.amazonaws.com"]);
    event
}

/// Returns a world whose copy role may launch by a group.
fn world_of_groups() -> World {
    let mut source = producer();
    source.images[0].ena_support = true;
    // A volume that the image leaves behind would be billed for years.
    for mapping in &mut source.images[0].block_device_mappings {
        if let Some(ebs) = &mut mapping.ebs {
            ebs.delete_on_termination = Some(false);
        }
    }
    let mut world = permitted(world_with(source, &[PLACE]));
    let target = world.accounts.iter_mut().find(|one| one.id == PLACE.0);
    let target = target.expect("the target");
    for name in ["LetLaunch", "TestGroup"] {
        target.roles[0].policies.push(documented(name));
    }
    let scaling = Role::service_linked("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling");
    *target = target.clone().role(scaling);
    world
}

fn quick() -> Sandbox {
    Sandbox::new(world_of_groups())
}

/// Checks that neither instance nor group nor launch template is left.
async fn assert_gone(sandbox: &Sandbox, case: &str) {
    tokio::time::sleep(Duration::from_mins(5)).await;
    for instance in sandbox.instances(PLACE.0, PLACE.1) {
        assert_eq!(instance.state, "terminated", "{case}: {instance:?}");
        assert_eq!(instance.kept_volumes, Vec::<String>::new(), "{case}");
    }
    assert_eq!(
        sandbox.groups(PLACE.0, PLACE.1),
        Vec::<String>::new(),
        "{case}"
    );
    let templates = sandbox.launch_template_names(PLACE.0, PLACE.1);
    assert_eq!(templates, Vec::<String>::new(), "{case}");
}

#[tokio::test(start_paused = true)]
async fn a_group_launches_the_instance_by_its_service_linked_role() {
    let sandbox = quick();
    let reply = to_the_end(&sandbox, &event(&json!({}))).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let told = &target(&reply, PLACE)["Published"];
    assert_eq!(told["LaunchTest"], "Passed", "{told}");
    let instances = sandbox.instances(PLACE.0, PLACE.1);
    assert_eq!(instances.len(), 1);
    assert!(
        instances[0]
            .launched_by
            .contains("AWSServiceRoleForAutoScaling")
    );
    assert_eq!(instances[0].image_id, copy(&sandbox).image_id);
    assert_gone(&sandbox, "passed").await;
    assert_eq!(
        calls(&sandbox, "TerminateInstances"),
        0,
        "the group ends it"
    );
    assert_closed(&sandbox);
}

/// Where `ServiceLinkedRoles` is forgotten, instances of Auto Scaling die at their launch.
#[tokio::test(start_paused = true)]
async fn a_role_without_its_grant_fails_the_test_with_the_words_of_ec2() {
    let sandbox = quick();
    let mut event = event(&json!({}));
    event["Distribute"]["ServiceLinkedRoles"] = Value::Null;
    let reply = to_the_end(&sandbox, &event).await;
    let told = target(&reply, PLACE);
    assert_eq!(told["Cause"], "LaunchTestFailed", "{told}");
    let (reason, remedy) = (told["Reason"].to_string(), told["Remedy"].to_string());
    assert!(reason.contains("Client.InternalError"), "{reason}");
    assert!(remedy.contains("ServiceLinkedRoles"), "{remedy}");
    assert_eq!(calls(&sandbox, "PutParameter"), 0);
    assert_gone(&sandbox, "failed").await;
}

#[tokio::test(start_paused = true)]
async fn a_launch_that_auto_scaling_is_refused_fails_the_test_with_its_words() {
    let sandbox = quick();
    let event = event(&json!({"SubnetId": "subnet-0a1b2c3d4e5f60718"}));
    // The image is gone when the group launches.
    sandbox.set_fault(|call| match call.operation.as_str() {
        "CreateAutoScalingGroup" => Fault::Delay(Duration::from_secs(3)),
        _ => Fault::None,
    });
    let disabling = async {
        while calls(&sandbox, "CreateAutoScalingGroup") == 0 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let id = copy(&sandbox).image_id;
        sandbox.edit(|aws| {
            aws.change_image(&id, |image| image.state = "disabled".to_owned());
        });
    };
    let (reply, ()) = tokio::join!(to_the_end(&sandbox, &event), disabling);
    let told = target(&reply, PLACE);
    assert_eq!(told["Status"], "Failed", "{told}");
    assert_gone(&sandbox, "refused").await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_cannot_be_deleted_leaves_the_run_stuck_with_the_command() {
    let sandbox = quick();
    sandbox.set_fault(|call| match call.operation.as_str() {
        "DeleteAutoScalingGroup" => refuse(403, "AccessDenied"),
        _ => Fault::None,
    });
    let reply = to_the_end(&sandbox, &event(&json!({}))).await;
    assert_eq!(reply["Status"], "Stuck", "{reply}");
    let [name] = &sandbox.groups(PLACE.0, PLACE.1)[..] else {
        panic!("one group")
    };
    let command = format!(
        "aws autoscaling delete-auto-scaling-group --region us-west-2 --auto-scaling-group-name \
         {name} --force-delete"
    );
    let left = reply["Result"]["Stuck"].to_string();
    assert!(left.contains(&command), "{left}");
    assert_closed(&sandbox);
}

/// The state of a run names what is left, and the next call must accept it.
#[tokio::test(start_paused = true)]
async fn a_group_that_cannot_be_deleted_does_not_stop_other_targets() {
    let other = ("222222222222", "us-east-1");
    let sandbox = Sandbox::new({
        let mut source = producer();
        source.images[0].ena_support = true;
        let mut world = permitted(world_with(source, &[PLACE, other]));
        let role = &mut world.accounts[1].roles[0];
        role.policies.push(documented("TestGroup"));
        world.copy_mib_per_second(200.0)
    });
    sandbox.set_fault(|call| match call.operation.as_str() {
        "DeleteAutoScalingGroup" if call.region == HOME => refuse(403, "AccessDenied"),
        "CopySnapshot" if call.region != HOME => Fault::Delay(Duration::from_secs(15)),
        _ => Fault::None,
    });
    let wish = json!({"LaunchTest": {"AutoScaling": true}});
    let reply = to_the_end(&sandbox, &publishing(&[PLACE, other], &wish)).await;
    assert_eq!(reply["Status"], "Stuck", "{reply}");
    assert_eq!(target(&reply, other)["Cause"], "LaunchTestFailed");
}

/// Anybody in the target can give an instance of production the tags of a test.
#[tokio::test(start_paused = true)]
async fn a_group_of_somebody_else_stays_whatever_tags_its_instance_has() {
    let sandbox = {
        let mut world = world_of_groups();
        world = with_administrator(world);
        Sandbox::new(world)
    };
    let event = event(&json!({}));
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let own = administrator(&sandbox).await;
    let ec2 = aws_sdk_ec2::Client::new(&own);
    let run = reply["Result"]["RunId"].as_str().expect("a run");
    let image = copy(&sandbox).image_id;
    let tag = |key: &str, value: &str| {
        let tag = aws_sdk_ec2::types::Tag::builder();
        tag.key(key).value(value).build()
    };
    let tags = aws_sdk_ec2::types::LaunchTemplateTagSpecificationRequest::builder()
        .resource_type(aws_sdk_ec2::types::ResourceType::Instance)
        .tags(tag("amiferry:run", run))
        .tags(tag("amiferry:launch-test", &image))
        .tags(tag("amiferry:source-account", SOURCE))
        .build();
    let data = aws_sdk_ec2::types::RequestLaunchTemplateData::builder()
        .image_id(&image)
        .instance_type("t3.micro".into())
        .tag_specifications(tags)
        .build();
    let made = ec2
        .create_launch_template()
        .launch_template_name("production");
    made.launch_template_data(data).send().await.expect("made");
    let template = aws_sdk_autoscaling::types::LaunchTemplateSpecification::builder();
    aws_sdk_autoscaling::Client::new(&own)
        .create_auto_scaling_group()
        .auto_scaling_group_name("production")
        .launch_template(template.launch_template_name("production").build())
        .availability_zones("us-west-2a")
        .min_size(1)
        .max_size(1)
        .send()
        .await
        .expect("made");
    tokio::time::sleep(Duration::from_mins(5)).await;
    let again = to_the_end(&sandbox, &event).await;
    assert_eq!(again["Status"], "Succeeded", "{again}");
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(sandbox.groups(PLACE.0, PLACE.1), ["production"]);
    let instances = sandbox.instances(PLACE.0, PLACE.1).into_iter();
    let running = instances.filter(|one| one.state == "running");
    assert_eq!(running.count(), 1, "that of production");
}

async fn cut_everywhere(fault: Fault, again: impl Fn(&Value) -> Value) {
    let event = event(&json!({}));
    cut_at_each_call_of_a_test(&fault, &event, quick, again, assert_gone).await;
}

#[tokio::test(start_paused = true)]
async fn a_test_by_a_group_killed_after_any_call_resumes_from_its_last_state() {
    cut_everywhere(Fault::HangAfter, Value::clone).await;
}

#[tokio::test(start_paused = true)]
async fn a_test_by_a_group_killed_before_any_call_ends_when_delivered_again() {
    cut_everywhere(Fault::HangBefore, |_| event(&json!({}))).await;
}
