//! Images that their owner has disabled, deprecated or protected.

use std::time::{Duration, SystemTime};

use amiferry_sandbox::LaunchPermission;
use tokio::time::sleep;

use crate::worlds::{Bench, CONSUMER, IMAGE};

async fn switch(bench: &Bench, operation: &str, more: &[(&str, &str)]) {
    let params = [&[("ImageId", IMAGE)], more].concat();
    bench.producer.ec2(operation, &params).await.ok();
}

async fn seen(bench: &Bench, more: &[(&str, &str)]) -> Vec<String> {
    let found = bench.producer.ec2("DescribeImages", more).await.ok();
    found.texts("imageId")
}

fn shared() -> Bench {
    let bench = Bench::new();
    bench.sandbox.edit(|aws| {
        aws.change_image(IMAGE, |image| {
            let consumer = LaunchPermission::User(CONSUMER.to_owned());
            image.launch_permissions.insert(consumer);
        })
    });
    bench
}

#[tokio::test(start_paused = true)]
async fn a_disabled_image_loses_its_permissions_and_shows_only_on_request() {
    let bench = shared();
    switch(&bench, "DisableImage", &[]).await;
    let by_id = ("ImageId.1", IMAGE);
    assert!(seen(&bench, &[by_id]).await.is_empty());
    assert_eq!(
        seen(&bench, &[by_id, ("IncludeDisabled", "true")]).await,
        [IMAGE]
    );
    let params = [by_id, ("IncludeDisabled", "true")];
    let foreign = bench.consumer.ec2("DescribeImages", &params).await;
    assert_eq!(foreign.code.as_deref(), Some("InvalidAMIID.NotFound"));
    let share = [
        ("ImageId", IMAGE),
        ("LaunchPermission.Add.1.UserId", CONSUMER),
    ];
    let refused = bench.producer.ec2("ModifyImageAttribute", &share).await;
    assert_eq!(refused.code.as_deref(), Some("IncorrectState"));
    switch(&bench, "EnableImage", &[]).await;
    assert_eq!(seen(&bench, &[by_id]).await, [IMAGE]);
    let image = bench
        .sandbox
        .edit(|aws| aws.image(IMAGE))
        .expect("the image");
    assert!(image.launch_permissions.is_empty() && image.state == "available");
}

#[tokio::test(start_paused = true)]
async fn a_deprecated_image_shows_to_others_only_on_request() {
    let bench = shared();
    let now = bench.sandbox.edit(|aws| aws.now());
    let at = humantime(now + Duration::from_hours(2));
    switch(&bench, "EnableImageDeprecation", &[("DeprecateAt", &at)]).await;
    let describe = async |more: &[(&str, &str)]| {
        let found = bench.consumer.ec2("DescribeImages", more).await.ok();
        (found.texts("imageId"), found.text("deprecationTime"))
    };
    let (found, time) = describe(&[]).await;
    assert_eq!(
        (found, time),
        (vec![IMAGE.to_owned()], Some(at.replace('Z', ".000Z")))
    );
    sleep(Duration::from_hours(3)).await;
    assert_eq!(describe(&[]).await.0, Vec::<String>::new());
    assert_eq!(describe(&[("IncludeDeprecated", "true")]).await.0, [IMAGE]);
    assert_eq!(
        seen(&bench, &[]).await,
        [IMAGE],
        "the owner always sees the image"
    );
    switch(&bench, "DisableImageDeprecation", &[]).await;
    assert_eq!(describe(&[]).await, (vec![IMAGE.to_owned()], None));
}

/// Returns the time, cut to the minute.
fn humantime(at: std::time::SystemTime) -> String {
    let at = jiff::Timestamp::try_from(at).expect("a time");
    at.strftime("%Y-%m-%dT%H:%M:00Z").to_string()
}

#[tokio::test(start_paused = true)]
async fn a_protected_image_is_deregistered_after_its_cooldown() {
    let bench = Bench::new();
    let protection = async || {
        let params = [("ImageId.1", IMAGE)];
        let found = bench.producer.ec2("DescribeImages", &params).await.ok();
        found
            .text("deregistrationProtection")
            .expect("a protection")
    };
    let deregister = async || {
        let params = [("ImageId", IMAGE)];
        bench.producer.ec2("DeregisterImage", &params).await.code
    };
    assert_eq!(protection().await, "disabled");
    let cooling = [("WithCooldown", "true")];
    switch(&bench, "EnableImageDeregistrationProtection", &cooling).await;
    assert_eq!(protection().await, "enabled-with-cooldown");
    let refused = Some("OperationNotPermitted".to_owned());
    assert_eq!(deregister().await, refused);
    switch(&bench, "DisableImageDeregistrationProtection", &[]).await;
    assert_eq!(deregister().await, refused);
    sleep(Duration::from_hours(24)).await;
    assert_eq!(deregister().await, None);
}

#[tokio::test(start_paused = true)]
async fn an_image_shows_the_times_that_a_test_sets() {
    let bench = Bench::new();
    let created = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
    let deprecated = created + Duration::from_hours(1);
    let set = |id: &str| {
        bench.sandbox.edit(|aws| {
            [
                aws.set_image_created(id, created),
                aws.set_image_deprecated(id, deprecated),
            ]
        })
    };
    assert_eq!(set(IMAGE), [true; 2]);
    assert_eq!(set("ami-12345678"), [false; 2]);
    let shown = [("ImageId.1", IMAGE)];
    let shown = bench.producer.ec2("DescribeImages", &shown).await.ok();
    let times = ["creationDate", "deprecationTime"].map(|tag| shown.text(tag));
    let expected = ["1970-01-02T00:00:00.000Z", "1970-01-02T01:00:00.000Z"];
    assert_eq!(times, expected.map(|time| Some(time.to_owned())));
}
