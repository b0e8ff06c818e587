//! The resources that name an image, as DescribeImageReferences finds them.

use std::time::Duration;

use amiferry_sandbox::{LaunchTemplate, Parameter};
use tokio::time::sleep;

use crate::client::{Answer, Params};
use crate::launching::launched;
use crate::policies::{allow, deny, document};
use crate::worlds::{Bench, IMAGE, PRODUCER, WEST, world};

const OLD: &str = "ami-0000000000000c000";
const FLEET: &str = "lt-0000000000000a001";
const ADMIN: &str = "arn:aws:iam::111111111111:user/admin";
const ALL: (&str, &str) = ("IncludeAllResourceTypes", "true");
const BY_ID: (&str, &str) = ("ImageId.1", IMAGE);
const TYPE: &str = "ResourceType.1.ResourceType";
const OPTION: &str = "ResourceType.1.ResourceTypeOption.1.OptionName";
const VALUE: &str = "ResourceType.1.ResourceTypeOption.1.OptionValue.1";

/// Returns a world with a template whose older version names the image, and two parameters.
fn bench() -> Bench {
    let mut world = world();
    let fleet = LaunchTemplate::new(WEST, FLEET, "fleet")
        .image(IMAGE)
        .later_image(IMAGE)
        .later_image(OLD);
    let golden = Parameter::new(WEST, "/amis/golden", IMAGE).data_type("aws:ec2:image");
    let producer = world.accounts.remove(0);
    let producer = producer
        .launch_template(fleet)
        .parameter(golden)
        .parameter(Parameter::new(WEST, "old", OLD));
    world.accounts.insert(0, producer);
    Bench::of(world)
}

async fn ask(bench: &Bench, params: Params<'_>) -> Answer {
    bench.producer.ec2("DescribeImageReferences", params).await
}

async fn found(bench: &Bench, params: Params<'_>) -> Vec<String> {
    let params = [&[BY_ID], params].concat();
    ask(bench, &params).await.ok().texts("arn")
}

pub async fn provoke(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    Some(match name {
        "REFERENCES_WITHOUT_TYPES" => ask(&bench, &[BY_ID]).await,
        "REFERENCES_IMAGE_LIMIT" => {
            let names: Vec<_> = (1..=11).map(|n| format!("ImageId.{n}")).collect();
            let mut params: Vec<_> = names.iter().map(|name| (name.as_str(), IMAGE)).collect();
            params.push(ALL);
            ask(&bench, &params).await
        }
        _ => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn the_references_of_an_image_are_instances_templates_and_parameters() {
    let bench = bench();
    let instance = launched(&bench.producer, IMAGE).await;
    sleep(Duration::from_mins(1)).await;
    let instance = format!("arn:aws:ec2:us-west-2:{PRODUCER}:instance/{instance}");
    let template = format!("arn:aws:ec2:us-west-2:{PRODUCER}:launch-template/{FLEET}");
    let parameter = format!("arn:aws:ssm:us-west-2:{PRODUCER}:parameter/amis/golden");
    let all = [instance.clone(), template.clone(), parameter.clone()];
    assert_eq!(found(&bench, &[ALL]).await, all);
    let types = ask(&bench, &[BY_ID, ALL]).await.texts("resourceType");
    assert_eq!(
        types,
        ["ec2:Instance", "ec2:LaunchTemplate", "ssm:Parameter"]
    );
    for (kind, arn) in [
        ("ec2:Instance", Some(&instance)),
        ("ec2:LaunchTemplate", Some(&template)),
        ("ssm:Parameter", Some(&parameter)),
        ("imagebuilder:ImageRecipe", None),
        ("imagebuilder:ContainerRecipe", None),
    ] {
        let shown = found(&bench, &[(TYPE, kind)]).await;
        assert_eq!(shown.first(), arn, "{kind}");
    }
    let other = bench.consumer.ec2("DescribeImageReferences", &[BY_ID, ALL]);
    assert_eq!(other.await.refusal.as_deref(), Some("IMAGE_NOT_FOUND"));
}

#[tokio::test(start_paused = true)]
async fn a_text_parameter_whose_value_is_an_image_counts() {
    let bench = bench();
    bench.sandbox.edit(|aws| {
        let image = aws.image(IMAGE).expect("an image");
        let old = image.with(|image| {
            OLD.clone_into(&mut image.image_id);
            "old".clone_into(&mut image.name);
        });
        assert_eq!(aws.add_image(PRODUCER, old), Ok(()));
    });
    let answer = ask(&bench, &[("ImageId.1", OLD), (TYPE, "ssm:Parameter")]).await;
    assert!(answer.ok().texts("arn")[0].ends_with(":parameter/old"));
}

#[tokio::test(start_paused = true)]
async fn the_options_of_a_type_limit_states_and_versions() {
    let bench = bench();
    let depth = async |n: &str| {
        let params = [
            (TYPE, "ec2:LaunchTemplate"),
            (OPTION, "version-depth"),
            (VALUE, n),
        ];
        found(&bench, &params).await.len()
    };
    assert_eq!((depth("1").await, depth("2").await), (0, 1));
    let instance = launched(&bench.producer, IMAGE).await;
    let in_state = async |name: &str| {
        let params = [
            (TYPE, "ec2:Instance"),
            (OPTION, "state-name"),
            (VALUE, name),
        ];
        found(&bench, &params).await.len()
    };
    sleep(Duration::from_mins(1)).await;
    assert_eq!(
        (in_state("running").await, in_state("stopped").await),
        (1, 0)
    );
    let params = [("InstanceId.1", instance.as_str())];
    bench.producer.ec2("TerminateInstances", &params).await.ok();
    sleep(Duration::from_mins(1)).await;
    assert_eq!(in_state("terminated").await, 1);
    sleep(Duration::from_hours(1)).await;
    assert_eq!(in_state("terminated").await, 0);
    for (kind, option, value) in [
        ("ec2:LaunchTemplate", "version-depth", "0"),
        ("ec2:LaunchTemplate", "version-depth", "10001"),
        ("ec2:LaunchTemplate", "state-name", "running"),
        ("ec2:Instance", "state-name", "gone"),
        ("ssm:Parameter", "state-name", "running"),
        ("ec2:Volume", "state-name", "running"),
    ] {
        let params = [BY_ID, (TYPE, kind), (OPTION, option), (VALUE, value)];
        let answer = ask(&bench, &params).await;
        let refusal = answer.refusal.as_deref();
        assert_eq!(refusal, Some("INVALID_PARAMETER_VALUE"), "{kind} {value}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_for_references_needs_the_permission_to_describe_every_type() {
    let bench = bench();
    for (action, kind) in [
        ("ec2:DescribeImageReferences", "imagebuilder:ImageRecipe"),
        ("ec2:DescribeInstances", "ec2:Instance"),
        ("ec2:DescribeLaunchTemplates", "ec2:LaunchTemplate"),
        ("ec2:DescribeLaunchTemplateVersions", "ec2:LaunchTemplate"),
        ("ssm:DescribeParameters", "ssm:Parameter"),
        ("ssm:GetParameters", "ssm:Parameter"),
        ("imagebuilder:ListImageRecipes", "imagebuilder:ImageRecipe"),
        (
            "imagebuilder:ListContainerRecipes",
            "imagebuilder:ContainerRecipe",
        ),
        (
            "imagebuilder:GetContainerRecipe",
            "imagebuilder:ContainerRecipe",
        ),
    ] {
        let policy = document(&[allow("*", "*"), deny(action)]).to_string();
        bench.set_policies(ADMIN, &[&policy]);
        for scope in [ALL, (TYPE, kind)] {
            let answer = ask(&bench, &[BY_ID, scope]).await;
            let refusal = answer.refusal.as_deref();
            assert_eq!(refusal, Some("UNAUTHORIZED_OPERATION"), "{action}");
            assert!(answer.body.contains(action), "{}", answer.body);
        }
    }
    let denied = document(&[allow("*", "*"), deny("ssm:GetParameters")]).to_string();
    bench.set_policies(ADMIN, &[&denied]);
    ask(&bench, &[BY_ID, (TYPE, "ec2:Instance")]).await.ok();
}
