//! Launch templates: their versions, and which of them is the default.

use amiferry_sandbox::{LaunchTemplate, LaunchTemplateMapping};
use serde_json::json;

use crate::client::{Answer, Params};
use crate::policies::{allow, document, when};
use crate::worlds::{Bench, IMAGE, PRODUCER, ROOT, WEST, world};

const ID: &str = "lt-0000000000000a001";
const OTHER: &str = "lt-0000000000000a002";
const NEW: &str = "ami-0000000000000c001";
const ADMIN: &str = "arn:aws:iam::111111111111:user/admin";
const BY_ID: (&str, &str) = ("LaunchTemplateId", ID);

fn bench() -> Bench {
    let mut world = world();
    let fleet = LaunchTemplate::new(WEST, ID, "fleet")
        .image("ami-0000000000000c000")
        .instance_type("m7i.large")
        .mapping(
            LaunchTemplateMapping::new("/dev/xvda")
                .snapshot(ROOT)
                .key("source"),
        )
        .later_image(IMAGE)
        .tag("team", "fleet");
    let other = LaunchTemplate::new(WEST, OTHER, "other");
    let producer = world.accounts.remove(0);
    let producer = producer.launch_template(fleet).launch_template(other);
    world.accounts.insert(0, producer);
    Bench::of(world)
}

async fn call(bench: &Bench, action: &str, params: Params<'_>) -> Answer {
    bench.producer.ec2(action, params).await
}

async fn versions(bench: &Bench, params: Params<'_>) -> Vec<String> {
    let answer = call(bench, "DescribeLaunchTemplateVersions", params).await;
    answer.ok().texts("versionNumber")
}

pub async fn provoke(name: &str) -> Option<Answer> {
    let bench = bench();
    let describe =
        async |params: Params<'_>| call(&bench, "DescribeLaunchTemplateVersions", params).await;
    Some(match name {
        "TEMPLATE_MALFORMED" => describe(&[("LaunchTemplateId", "lt-?")]).await,
        "TEMPLATE_NOT_FOUND" => describe(&[("LaunchTemplateId", "lt-12345678")]).await,
        "TEMPLATE_NAME_NOT_FOUND" => describe(&[("LaunchTemplateName", "fleets")]).await,
        "TEMPLATE_VERSION_NOT_FOUND" => describe(&[BY_ID, ("LaunchTemplateVersion.1", "3")]).await,
        "TEMPLATE_ID_AND_NAME" => describe(&[BY_ID, ("LaunchTemplateName", "fleet")]).await,
        _ => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn a_launch_template_shows_the_versions_that_are_asked_for() {
    let bench = bench();
    for (more, expected) in [
        (&[][..], &["2", "1"][..]),
        (&[("LaunchTemplateVersion.1", "$Default")], &["1"]),
        (&[("LaunchTemplateVersion.1", "$Latest")], &["2"]),
        (
            &[
                ("LaunchTemplateVersion.1", "2"),
                ("LaunchTemplateVersion.2", "1"),
            ],
            &["2", "1"],
        ),
        (&[("MinVersion", "2")], &["2"]),
        (&[("MaxVersion", "1")], &["1"]),
        (
            &[("Filter.1.Name", "image-id"), ("Filter.1.Value.1", IMAGE)],
            &["2"],
        ),
    ] {
        let by_id = [&[BY_ID], more].concat();
        assert_eq!(versions(&bench, &by_id).await, expected, "{more:?}");
        let by_name = [&[("LaunchTemplateName", "fleet")], more].concat();
        assert_eq!(versions(&bench, &by_name).await, expected, "{more:?}");
    }
    let latest = versions(&bench, &[("LaunchTemplateVersion.1", "$Latest")]).await;
    assert_eq!(latest, ["2", "1"], "the latest of each launch template");
    let none = call(&bench, "DescribeLaunchTemplateVersions", &[]).await;
    assert_eq!(none.refusal.as_deref(), Some("MISSING_PARAMETER"));
    let foreign = bench
        .consumer
        .ec2("DescribeLaunchTemplateVersions", &[BY_ID]);
    assert_eq!(foreign.await.refusal.as_deref(), Some("TEMPLATE_NOT_FOUND"));
}

#[tokio::test(start_paused = true)]
async fn a_page_of_versions_leads_to_the_next() {
    let bench = bench();
    let params = [BY_ID, ("MaxResults", "1")];
    let first = call(&bench, "DescribeLaunchTemplateVersions", &params)
        .await
        .ok();
    assert_eq!(first.texts("versionNumber"), ["2"]);
    let token = first.text("nextToken").expect("a token");
    let params = [BY_ID, ("MaxResults", "1"), ("NextToken", &token)];
    let second = call(&bench, "DescribeLaunchTemplateVersions", &params)
        .await
        .ok();
    assert_eq!(second.texts("versionNumber"), ["1"]);
    assert_eq!(second.text("nextToken"), None);
    let size = [BY_ID, ("MaxResults", "201")];
    let refused = call(&bench, "DescribeLaunchTemplateVersions", &size).await;
    assert_eq!(refused.refusal.as_deref(), Some("INVALID_PARAMETER_VALUE"));
}

#[tokio::test(start_paused = true)]
async fn a_version_with_a_source_inherits_all_but_snapshots() {
    let bench = bench();
    let params = [
        BY_ID,
        ("SourceVersion", "1"),
        ("LaunchTemplateData.ImageId", NEW),
        ("VersionDescription", "new image"),
        ("ClientToken", "once"),
    ];
    let create = async || {
        call(&bench, "CreateLaunchTemplateVersion", &params)
            .await
            .ok()
    };
    let made = create().await;
    assert_eq!(made.text("versionNumber").as_deref(), Some("3"));
    assert_eq!(made.text("imageId").as_deref(), Some(NEW));
    assert_eq!(made.text("instanceType").as_deref(), Some("m7i.large"));
    assert_eq!(made.text("kmsKeyId").as_deref(), Some("source"));
    assert_eq!(made.text("snapshotId"), None);
    assert_eq!(made.text("defaultVersion").as_deref(), Some("false"));
    assert_eq!(create().await.text("versionNumber").as_deref(), Some("3"));
    let other = [
        BY_ID,
        ("LaunchTemplateData.ImageId", NEW),
        ("ClientToken", "once"),
    ];
    let refused = call(&bench, "CreateLaunchTemplateVersion", &other).await;
    assert_eq!(refused.refusal.as_deref(), Some("CLIENT_TOKEN_REUSED"));
    let plain = [
        BY_ID,
        ("LaunchTemplateData.ImageId", NEW),
        (
            "LaunchTemplateData.BlockDeviceMapping.1.DeviceName",
            "/dev/sdb",
        ),
        (
            "LaunchTemplateData.BlockDeviceMapping.1.Ebs.SnapshotId",
            ROOT,
        ),
    ];
    let plain = call(&bench, "CreateLaunchTemplateVersion", &plain)
        .await
        .ok();
    assert_eq!(plain.text("snapshotId").as_deref(), Some(ROOT));
    assert_eq!(plain.text("instanceType"), None);
    let live = bench
        .sandbox
        .launch_template(PRODUCER, WEST, ID)
        .expect("a template");
    let sources: Vec<_> = live
        .versions
        .iter()
        .map(|version| version.source_version)
        .collect();
    assert_eq!(sources, [None, None, Some(1), None]);
    assert_eq!(live.default_version, 1);
}

#[tokio::test(start_paused = true)]
async fn a_default_version_is_one_of_the_versions() {
    let bench = bench();
    let modify = async |number: &str| {
        let params = [BY_ID, ("SetDefaultVersion", number)];
        call(&bench, "ModifyLaunchTemplate", &params).await
    };
    let answer = modify("2").await.ok();
    assert_eq!(answer.text("defaultVersionNumber").as_deref(), Some("2"));
    assert_eq!(
        modify("3").await.code.as_deref(),
        Some("InvalidLaunchTemplateId.VersionNotFound")
    );
    let params = [("LaunchTemplateId.1", ID)];
    let shown = call(&bench, "DescribeLaunchTemplates", &params).await.ok();
    assert_eq!(shown.text("defaultVersionNumber").as_deref(), Some("2"));
    assert_eq!(shown.text("latestVersionNumber").as_deref(), Some("2"));
    assert_eq!(shown.texts("launchTemplateName"), ["fleet"]);
    let filter = [("Filter.1.Name", "tag:team"), ("Filter.1.Value.1", "fleet")];
    let shown = call(&bench, "DescribeLaunchTemplates", &filter).await.ok();
    assert_eq!(shown.texts("launchTemplateId"), [ID]);
    let params = [("LaunchTemplateName.1", "fleets")];
    let missing = call(&bench, "DescribeLaunchTemplates", &params).await;
    assert_eq!(missing.refusal.as_deref(), Some("TEMPLATE_NAME_NOT_FOUND"));
}

#[tokio::test(start_paused = true)]
async fn a_launch_template_is_changed_by_permission_on_its_arn_and_tags() {
    let bench = bench();
    let arn = "arn:aws:ec2:us-west-2:111111111111:launch-template/*";
    let tagged = json!({"StringEquals": {"aws:ResourceTag/team": "fleet"}});
    let policy = document(&[when(allow("ec2:*LaunchTemplate*", arn), tagged)]);
    bench.set_policies(ADMIN, &[&policy.to_string()]);
    for (id, refusal) in [
        (ID, None),
        (OTHER, Some("UNAUTHORIZED_OPERATION")),
        ("lt-12345678", Some("UNAUTHORIZED_OPERATION")),
    ] {
        let by_id = ("LaunchTemplateId", id);
        let params = [by_id, ("LaunchTemplateData.ImageId", NEW)];
        let created = call(&bench, "CreateLaunchTemplateVersion", &params).await;
        assert_eq!(created.refusal.as_deref(), refusal, "{id}");
        let params = [by_id, ("SetDefaultVersion", "1")];
        let modified = call(&bench, "ModifyLaunchTemplate", &params).await;
        assert_eq!(modified.refusal.as_deref(), refusal, "{id}");
    }
    let listed = call(&bench, "DescribeLaunchTemplates", &[]).await;
    assert_eq!(listed.refusal.as_deref(), Some("UNAUTHORIZED_OPERATION"));
}

#[tokio::test(start_paused = true)]
async fn launch_template_data_that_are_not_modelled_are_refused() {
    let bench = bench();
    for more in [
        ("LaunchTemplateData.KeyName", "key"),
        ("ResolveAlias", "true"),
        ("SourceVersion", "$Latest"),
    ] {
        let params = [BY_ID, ("LaunchTemplateData.ImageId", NEW), more];
        let answer = call(&bench, "CreateLaunchTemplateVersion", &params).await;
        assert_eq!(
            answer.refusal.as_deref(),
            Some("NOT_IMPLEMENTED"),
            "{more:?}"
        );
    }
    let filter = [
        BY_ID,
        ("Filter.1.Name", "kernel-id"),
        ("Filter.1.Value.1", "x"),
    ];
    let answer = call(&bench, "DescribeLaunchTemplateVersions", &filter).await;
    assert_eq!(answer.refusal.as_deref(), Some("NOT_IMPLEMENTED"));
}
