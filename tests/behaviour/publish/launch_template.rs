//! Versions of launch templates.

use amiferry_sandbox::{LaunchTemplate, LaunchTemplateMapping, LaunchTemplateVersions};

use super::*;

const ID: &str = "lt-0a1b2c3d4e5f60718";

fn template() -> LaunchTemplate {
    LaunchTemplate::new(HOME, ID, "web")
        .image(OLD)
        .instance_type("m6i.large")
}

fn world_with_template(template: LaunchTemplate) -> World {
    let mut world = with_parameter(publishing_world(&[PLACE]), "text");
    let mut accounts = world.accounts.iter_mut();
    let account = accounts.find(|one| one.id == PLACE.0).expect("the target");
    *account = account.clone().launch_template(template);
    world
}

fn versions(sandbox: &Sandbox) -> LaunchTemplateVersions {
    let found = sandbox.launch_template(PLACE.0, PLACE.1, ID);
    found.expect("the launch template")
}

#[tokio::test(start_paused = true)]
async fn a_template_gets_one_version_made_from_its_default_one() {
    for name in [
        json!({"LaunchTemplateId": ID}),
        json!({"LaunchTemplateName": "web"}),
    ] {
        // A later version that is not the default is no base.
        let draft = template()
            .later_image("ami-0a1b2c3d4e5f60720")
            .default_version(1);
        let sandbox = Sandbox::new(world_with_template(draft));
        let reply = to_the_end(&sandbox, &publishing(&[PLACE], &name)).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        let there = versions(&sandbox);
        let made = there.versions.last().expect("a version");
        assert_eq!(
            made.image_id.as_deref(),
            Some(copy(&sandbox).image_id.as_str())
        );
        assert_eq!((made.version, made.source_version), (3, Some(1)));
        assert_eq!(made.instance_type.as_deref(), Some("m6i.large"));
        assert_eq!(there.default_version, 1, "nobody asked for another default");
        let told = &target(&reply, PLACE)["Published"]["LaunchTemplate"];
        assert_eq!(told["Version"], 3, "{told}");
        assert!(told["FormerDefaultVersion"].is_null(), "{told}");
        let again = to_the_end(&sandbox, &publishing(&[PLACE], &name)).await;
        assert_eq!(again["Result"]["Targets"], reply["Result"]["Targets"]);
        assert_eq!(calls(&sandbox, "CreateLaunchTemplateVersion"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_version_becomes_the_default_and_the_result_names_the_former_one() {
    let sandbox = Sandbox::new(world_with_template(template()));
    let wish = json!({"LaunchTemplateName": "web", "SetDefaultVersion": "true"});
    let event = publishing(&[PLACE], &wish);
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(versions(&sandbox).default_version, 2);
    let told = &target(&reply, PLACE)["Published"]["LaunchTemplate"];
    assert_eq!(told["FormerDefaultVersion"], 1, "{told}");
    let again = to_the_end(&sandbox, &event).await;
    assert_eq!(again["Result"]["Targets"], reply["Result"]["Targets"]);
    assert_eq!(calls(&sandbox, "ModifyLaunchTemplate"), 1);
}

/// The request of an old image may come again after that of a newer one.
#[tokio::test(start_paused = true)]
async fn a_newer_default_version_stays_when_the_request_comes_again() {
    let world = with_administrator(world_with_template(template()));
    let sandbox = Sandbox::new(world);
    let wish = json!({"LaunchTemplateName": "web", "SetDefaultVersion": true});
    let event = publishing(&[PLACE], &wish);
    to_the_end(&sandbox, &event).await;
    let ec2 = aws_sdk_ec2::Client::new(&administrator(&sandbox).await);
    let data = aws_sdk_ec2::types::RequestLaunchTemplateData::builder().image_id(OLD);
    let version = ec2.create_launch_template_version().launch_template_id(ID);
    let made = version.launch_template_data(data.build()).send().await;
    made.expect("an administrator may");
    let default = ec2.modify_launch_template().launch_template_id(ID);
    let set = default.default_version("3").send().await;
    set.expect("an administrator may");
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(versions(&sandbox).default_version, 3);
    let notes = target(&reply, PLACE)["Notes"].to_string();
    assert!(
        notes.contains("default version 3 is newer than 2"),
        "{notes}"
    );
}

/// Instances of a version with that snapshot would start from an older image.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_the_default_version_names_is_not_taken_over() {
    let pinned = LaunchTemplateMapping::new("/dev/xvda").snapshot("snap-0aaaaaaaaaaaaaaa1");
    let sandbox = Sandbox::new(world_with_template(template().mapping(pinned)));
    let wish = json!({"LaunchTemplateName": "web"});
    let reply = to_the_end(&sandbox, &publishing(&[PLACE], &wish)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let there = versions(&sandbox);
    let snapshot = |n: usize| there.versions[n].mappings[0].snapshot_id.clone();
    assert!(snapshot(0).is_some() && snapshot(1).is_none(), "{there:?}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_template_fails_its_target_with_the_words_of_ec2() {
    let sandbox = Sandbox::new(publishing_world(&[PLACE]));
    let wish = json!({"LaunchTemplateName": "absent"});
    let reply = to_the_end(&sandbox, &publishing(&[PLACE], &wish)).await;
    let reason = target(&reply, PLACE)["Reason"].to_string();
    assert!(
        reason.contains("InvalidLaunchTemplateName.NotFoundException"),
        "{reason}"
    );
}
