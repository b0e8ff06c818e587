//! Launch permissions by account, by organization and by OU, and the visibility of images.

use crate::client::{Answer, Client};
use crate::worlds::{
    Bench, CONSUMER, IMAGE, INNER, MANAGEMENT, ORGANIZATION, OUTER, PRODUCER, ROOT_ID, world,
};

fn organization() -> String {
    format!("arn:aws:organizations::{MANAGEMENT}:organization/{ORGANIZATION}")
}

fn unit(id: &str) -> String {
    format!("arn:aws:organizations::{MANAGEMENT}:ou/{ORGANIZATION}/{id}")
}

async fn share(bench: &Bench, parameter: &str, value: &str) -> Answer {
    let parameter = format!("LaunchPermission.Add.1.{parameter}");
    let params = [("ImageId", IMAGE), (parameter.as_str(), value)];
    bench.producer.ec2("ModifyImageAttribute", &params).await
}

async fn seen(client: &Client, executable_by: &str) -> Vec<String> {
    let params = [("ExecutableBy.1", executable_by)];
    let answer = client.ec2("DescribeImages", &params).await;
    answer.ok().texts("imageId")
}

#[tokio::test(start_paused = true)]
async fn an_image_shared_with_an_organization_launches_for_its_members() {
    for (parameter, value) in [
        ("OrganizationArn", organization()),
        ("OrganizationalUnitArn", unit(OUTER)),
        ("OrganizationalUnitArn", unit(INNER)),
    ] {
        let bench = Bench::new();
        assert!(seen(&bench.consumer, "self").await.is_empty());
        share(&bench, parameter, &value).await.ok();
        assert_eq!(seen(&bench.consumer, "self").await, [IMAGE], "{value}");
        assert_eq!(seen(&bench.consumer, CONSUMER).await, [IMAGE], "{value}");
        // `executable-by` with another account shows only images shared with it by name.
        assert!(seen(&bench.producer, CONSUMER).await.is_empty(), "{value}");
        share(&bench, "UserId", CONSUMER).await.ok();
        assert_eq!(seen(&bench.producer, CONSUMER).await, [IMAGE], "{value}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_follows_its_account_through_the_organization() {
    let bench = Bench::new();
    share(&bench, "OrganizationalUnitArn", &unit(OUTER))
        .await
        .ok();
    assert_eq!(seen(&bench.consumer, "self").await, [IMAGE]);
    assert!(
        seen(&bench.management, "self").await.is_empty(),
        "in the root, above the OU"
    );
    assert!(
        bench
            .sandbox
            .edit(|aws| aws.move_account(CONSUMER, ROOT_ID))
    );
    assert!(seen(&bench.consumer, "self").await.is_empty());
    share(&bench, "OrganizationArn", &organization()).await.ok();
    assert_eq!(seen(&bench.consumer, "self").await, [IMAGE]);
    assert_eq!(seen(&bench.management, "self").await, [IMAGE]);
}

/// Shares with an ARN of another organization, or with another management account: it permits
/// nobody.
#[tokio::test(start_paused = true)]
async fn a_launch_permission_by_a_foreign_arn_permits_nobody() {
    let bench = Bench::new();
    for arn in [
        "arn:aws:organizations::999999999999:organization/o-elsewhere1".to_owned(),
        organization().replace(MANAGEMENT, PRODUCER),
    ] {
        share(&bench, "OrganizationArn", &arn).await.ok();
    }
    let other = unit(OUTER).replace(MANAGEMENT, PRODUCER);
    share(&bench, "OrganizationalUnitArn", &other).await.ok();
    assert!(seen(&bench.consumer, "self").await.is_empty());
    // The management account of an undeclared organization may be any account.
    let mut world = world();
    world.accounts[1].parent = None;
    world.accounts[1].organization = Some("o-elsewhere1".to_owned());
    let bench = Bench::of(world);
    let arn = "arn:aws:organizations::123456789012:organization/o-elsewhere1";
    share(&bench, "OrganizationArn", arn).await.ok();
    assert_eq!(seen(&bench.consumer, "self").await, [IMAGE]);
}

#[tokio::test(start_paused = true)]
async fn a_launch_permission_for_no_entity_is_refused() {
    let bench = Bench::new();
    let account = format!("arn:aws:organizations::{MANAGEMENT}:account/{ORGANIZATION}/{CONSUMER}");
    for (parameter, value, kind) in [
        ("UserId", "22222222222".to_owned(), "userId"),
        ("UserId", organization(), "userId"),
        ("Group", "friends".to_owned(), "UserGroup"),
        (
            "OrganizationArn",
            ORGANIZATION.to_owned(),
            "OrganizationArn",
        ),
        ("OrganizationArn", account, "OrganizationArn"),
        ("OrganizationArn", unit(OUTER), "OrganizationArn"),
        (
            "OrganizationArn",
            organization().replace("arn:aws:", "arn:aws-cn:"),
            "OrganizationArn",
        ),
        (
            "OrganizationArn",
            organization().replace(MANAGEMENT, "99999999999"),
            "OrganizationArn",
        ),
        (
            "OrganizationArn",
            organization() + "/more",
            "OrganizationArn",
        ),
        (
            "OrganizationalUnitArn",
            organization(),
            "OrganizationalUnitArn",
        ),
        (
            "OrganizationalUnitArn",
            unit(ROOT_ID),
            "OrganizationalUnitArn",
        ),
        (
            "OrganizationalUnitArn",
            OUTER.to_owned(),
            "OrganizationalUnitArn",
        ),
    ] {
        let answer = share(&bench, parameter, &value).await;
        assert_eq!(
            answer.code.as_deref(),
            Some("InvalidAMIAttributeItemValue"),
            "{value}"
        );
        let message = answer.text("Message").expect("a message");
        assert!(
            message.ends_with(&format!("for {kind} item type.")),
            "{message}"
        );
        let shared = bench.sandbox.images(PRODUCER, crate::worlds::WEST);
        assert!(shared[0].launch_permissions.is_empty());
    }
}
