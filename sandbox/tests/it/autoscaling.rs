//! Auto Scaling: groups of one instance, which the service's role launches.

use std::time::Duration;

use serde_json::json;

use crate::client::{Answer, Client, Params};
use crate::launching::{allow, share};
use crate::policies;
use crate::worlds::{Bench, CONSUMER, IMAGE, SCALER, SOURCE_KEY, WEST};

const GROUP: &str = "group";
const TEMPLATE: &str = "template";
const NAMED: (&str, &str) = ("AutoScalingGroupName", GROUP);

async fn template(client: &Client, more: Params<'_>) -> Answer {
    let mut params = vec![
        ("LaunchTemplateName", TEMPLATE),
        ("LaunchTemplateData.ImageId", IMAGE),
        ("LaunchTemplateData.InstanceType", "t2.micro"),
    ];
    params.extend(more);
    client.ec2("CreateLaunchTemplate", &params).await
}

async fn create(client: &Client, more: Params<'_>) -> Answer {
    let mut params = vec![
        NAMED,
        ("LaunchTemplate.LaunchTemplateName", TEMPLATE),
        ("MinSize", "1"),
        ("MaxSize", "1"),
        ("AvailabilityZones.member.1", "us-west-2a"),
    ];
    params.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
    params.extend(more.iter().filter(|(_, value)| !value.is_empty()));
    client.groups("CreateAutoScalingGroup", &params).await
}

async fn described(client: &Client) -> Answer {
    tokio::time::sleep(Duration::from_secs(15)).await;
    let params = [("AutoScalingGroupNames.member.1", GROUP)];
    client
        .groups("DescribeAutoScalingGroups", &params)
        .await
        .ok()
}

async fn activities(client: &Client) -> Answer {
    client.groups("DescribeScalingActivities", &[NAMED]).await
}

/// Returns a bench whose consumer may launch the image, as its account may use the key.
async fn bench() -> Bench {
    let bench = Bench::new();
    share(&bench, "LaunchPermission.Add.1.UserId", CONSUMER).await;
    allow(&bench, &["*"]);
    bench
}

async fn grant(bench: &Bench) {
    let operations = [
        "Decrypt",
        "ReEncryptFrom",
        "ReEncryptTo",
        "CreateGrant",
        "GenerateDataKeyWithoutPlaintext",
        "DescribeKey",
    ];
    let wish = json!({"KeyId": SOURCE_KEY, "GranteePrincipal": SCALER, "Operations": operations});
    bench.producer.kms("CreateGrant", wish).await.ok();
    tokio::time::sleep(Duration::from_mins(5)).await;
}

pub async fn provoke(name: &str) -> Option<Answer> {
    let bench = bench().await;
    let (consumer, nobody) = (&bench.consumer, &bench.nobody);
    Some(match name {
        "TEMPLATE_NAME_TAKEN" => {
            template(consumer, &[]).await.ok();
            template(consumer, &[]).await
        }
        "TEMPLATE_NAME_MALFORMED" => {
            let params = [
                ("LaunchTemplateName", "a?"),
                ("LaunchTemplateData.ImageId", IMAGE),
            ];
            consumer.ec2("CreateLaunchTemplate", &params).await
        }
        "GROUP_ACCESS_DENIED" => create(nobody, &[]).await,
        "GROUP_EXISTS" => {
            template(consumer, &[]).await.ok();
            create(consumer, &[]).await.ok();
            create(consumer, &[]).await
        }
        "GROUP_NOT_FOUND" => consumer.groups("DeleteAutoScalingGroup", &[NAMED]).await,
        "GROUP_IN_USE" => {
            template(consumer, &[]).await.ok();
            create(consumer, &[]).await.ok();
            consumer.groups("DeleteAutoScalingGroup", &[NAMED]).await
        }
        "GROUP_TEMPLATE_DENIED" => {
            template(consumer, &[]).await.ok();
            let arn = "arn:aws:iam::222222222222:user/admin";
            let but = policies::document(&[
                policies::allow("*", "*"),
                policies::deny("ec2:RunInstances"),
            ]);
            bench.set_policies(arn, &[&but.to_string()]);
            create(consumer, &[]).await
        }
        "GROUP_TEMPLATE_INVALID" => create(consumer, &[]).await,
        "GROUP_INVALID" => create(consumer, &[("AutoScalingGroupName", "a:b")]).await,
        _ => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn a_group_launches_by_its_role_and_goes_with_its_instance() {
    let bench = bench().await;
    let consumer = &bench.consumer;
    grant(&bench).await;
    let tags = [
        (
            "LaunchTemplateData.TagSpecification.1.ResourceType",
            "instance",
        ),
        ("LaunchTemplateData.TagSpecification.1.Tag.1.Key", "team"),
        ("LaunchTemplateData.TagSpecification.1.Tag.1.Value", "web"),
        (
            "LaunchTemplateData.BlockDeviceMapping.1.DeviceName",
            "/dev/xvda",
        ),
        (
            "LaunchTemplateData.BlockDeviceMapping.1.Ebs.DeleteOnTermination",
            "true",
        ),
    ];
    template(consumer, &tags).await.ok();
    create(consumer, &[]).await.ok();
    let shown = described(consumer).await;
    assert_eq!(
        shown.text("LifecycleState").as_deref(),
        Some("InService"),
        "{shown:?}"
    );
    assert_eq!(
        activities(consumer).await.ok().texts("StatusCode"),
        ["Successful"]
    );
    let [instance] = &bench.sandbox.instances(CONSUMER, WEST)[..] else {
        panic!("one instance")
    };
    assert!(
        instance
            .launched_by
            .contains("AWSServiceRoleForAutoScaling")
    );
    assert_eq!(instance.tags["team"], "web");
    assert_eq!(instance.tags["aws:autoscaling:groupName"], GROUP);
    assert!(instance.kept_volumes.is_empty());
    let force = [NAMED, ("ForceDelete", "true")];
    consumer.groups("DeleteAutoScalingGroup", &force).await.ok();
    let ending = consumer.groups("DescribeAutoScalingGroups", &[]).await.ok();
    assert_eq!(ending.text("Status").as_deref(), Some("Delete in progress"));
    assert!(
        described(consumer)
            .await
            .text("AutoScalingGroupName")
            .is_none()
    );
    let instances = bench.sandbox.instances(CONSUMER, WEST);
    assert!(
        instances.iter().all(|one| one.state == "terminated"),
        "{instances:?}"
    );
    let named = [("LaunchTemplateName", TEMPLATE)];
    consumer.ec2("DeleteLaunchTemplate", &named).await.ok();
    let gone = consumer.ec2("DeleteLaunchTemplate", &named).await;
    assert_eq!(gone.refusal.as_deref(), Some("TEMPLATE_NAME_NOT_FOUND"));
}

/// A group launches again until it is deleted.
#[tokio::test(start_paused = true)]
async fn a_group_replaces_an_instance_that_somebody_terminates() {
    let bench = bench().await;
    let consumer = &bench.consumer;
    grant(&bench).await;
    template(consumer, &[]).await.ok();
    create(consumer, &[]).await.ok();
    described(consumer).await;
    let first = bench.sandbox.instances(CONSUMER, WEST)[0]
        .instance_id
        .clone();
    let params = [("InstanceId.1", first.as_str())];
    consumer.ec2("TerminateInstances", &params).await.ok();
    described(consumer).await;
    assert_eq!(bench.sandbox.instances(CONSUMER, WEST).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_use_the_key_is_told_by_the_activities() {
    let bench = bench().await;
    let consumer = &bench.consumer;
    template(consumer, &[]).await.ok();
    create(consumer, &[]).await.ok();
    described(consumer).await;
    let told = activities(consumer).await.ok();
    assert!(
        told.texts("StatusCode").contains(&"Cancelled".to_owned()),
        "{told:?}"
    );
    let said = told.text("StatusMessage").expect("a message");
    assert!(said.contains("Client.InternalError"), "{said}");
    // An image that the account may not launch is refused at once.
    let params = [
        ("ImageId", IMAGE),
        ("LaunchPermission.Remove.1.UserId", CONSUMER),
    ];
    bench
        .producer
        .ec2("ModifyImageAttribute", &params)
        .await
        .ok();
    let force = [NAMED, ("ForceDelete", "true")];
    consumer.groups("DeleteAutoScalingGroup", &force).await.ok();
    described(consumer).await;
    create(consumer, &[]).await.ok();
    let told = activities(consumer).await.ok();
    assert_eq!(told.texts("StatusCode"), ["Failed"]);
}
