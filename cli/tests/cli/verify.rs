//! Copies beside their source, launches explained, runs watched, and the manifest of a run.

use amiferry_sandbox::LaunchPermission;
use serde_json::Value;

use crate::stage::{IMAGE, Stage, TARGETS, ended};

fn with<'a>(verb: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let image = ["--image", IMAGE];
    verb.iter()
        .chain(&image)
        .chain(&TARGETS)
        .chain(more)
        .copied()
        .collect()
}

/// Returns a stage on which the image is distributed.
async fn distributed() -> Stage {
    let stage = Stage::at_speed(500.0).await;
    let done = stage
        .run(&with(&["distribute", "--local"], &["--quiet"]))
        .await;
    assert_eq!(done.code, Some(0), "{done:?}");
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_verified_attribute_by_attribute_and_its_users_are_named() {
    let stage = distributed().await;
    let verified = stage.run(&with(&["verify"], &["--output", "json"])).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let told = verified.json();
    let target = &told["Targets"][0];
    assert_eq!(target["Status"], "Faithful", "{target}");
    let attributes = target["Attributes"].as_array().expect("attributes");
    assert!(attributes.len() > 15, "{target}");
    assert!(
        attributes.iter().all(|one| one["Equal"] == true),
        "{target}"
    );
    for snapshot in target["Snapshots"].as_array().expect("snapshots") {
        assert_eq!(snapshot["IsTargetsKey"], true, "{snapshot}");
    }
    for used in told["Source"].as_array().expect("uses") {
        assert_eq!(used["UsableBy"], serde_json::json!([]), "{used}");
    }

    let account = ("222222222222", "us-west-2");
    let id = stage.sandbox.images(account.0, account.1)[0]
        .image_id
        .clone();
    let changed = stage.sandbox.edit(|aws| {
        aws.change_image(&id, |image| {
            let somebody = LaunchPermission::User("999999999999".to_owned());
            image.boot_mode = Some("legacy-bios".to_owned());
            image.launch_permissions.insert(somebody);
        })
    });
    assert!(changed);
    let changed = stage.run(&with(&["verify"], &[])).await;
    assert_eq!(changed.code, Some(3), "{changed:?}");
    let lines = &changed.stdout;
    assert!(
        lines.contains(&format!("222222222222 us-west-2  Different  {id}")),
        "{lines}"
    );
    assert!(
        lines.contains("! BootMode: legacy-bios, where the source has uefi"),
        "{lines}"
    );
    assert!(lines.contains(&format!("{id}: 999999999999")), "{lines}");
    assert!(lines.ends_with("Faithful: 1 of 2 targets\n"), "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_copy_is_told_and_fails() {
    let stage = Stage::at_speed(500.0).await;
    let verified = stage.run(&with(&["verify"], &["--output", "text"])).await;
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert_eq!(
        verified.stdout.lines().next(),
        Some("222222222222\tus-west-2\tMissing\t")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_without_a_grant_is_explained_with_the_command_that_makes_it() {
    let stage = Stage::at_speed(500.0).await;
    let explained = stage.run(&["explain", "--image", IMAGE]).await;
    assert_eq!(explained.code, Some(0), "{explained:?}");
    let said = &explained.stdout;
    assert!(
        said.contains("Whether a grant lets the role launch could not be seen")
            || said.contains("aws kms create-grant --key-id arn:"),
        "{said}"
    );
    let missing = stage.run(&["explain", "--image", "ami-00000000"]).await;
    assert!(missing.stdout.contains("sees no such AMI"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_explained_without_credentials() {
    let home = tempfile::tempdir().expect("a folder");
    let words = [
        "explain",
        "Error modify snapshot attributes: OperationNotPermitted: Encrypted \
        snapshots with EBS default key cannot be shared",
    ];
    let known = ended(crate::stage::program(home.path(), &words)).await;
    assert_eq!(known.code, Some(0), "{known:?}");
    assert!(known.stdout.contains("ReencryptKmsKeyId"), "{known:?}");
    let unknown = ended(crate::stage::program(home.path(), &["explain", "it hurts"])).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    let nothing = ended(crate::stage::program(home.path(), &["explain"])).await;
    assert_eq!(nothing.code, Some(252), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_names_the_amis_of_a_run_whose_source_packer_built() {
    let stage = Stage::at_speed(500.0).await;
    let folder = stage.home.path();
    let built = format!(
        "{{\"builds\": [{{\"builder_type\": \"amazon-ebs\", \"artifact_id\": \
         \"us-west-2:{IMAGE}\", \"packer_run_uuid\": \"one\"}}], \"last_run_uuid\": \"one\"}}"
    );
    std::fs::write(folder.join("built.json"), built).expect("written");
    let files = [folder.join("built.json"), folder.join("images.json")];
    let [from, to] = files.each_ref().map(|file| file.to_str().expect("a path"));
    let first = [
        "distribute",
        "--local",
        "--packer-manifest",
        from,
        "--manifest",
        to,
    ];
    let arguments: Vec<&str> = first.iter().chain(&TARGETS).copied().collect();
    let done = stage.run(&arguments).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let text = std::fs::read_to_string(&files[1]).expect("a manifest");
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(manifest["SourceImageId"], IMAGE);
    assert_eq!(
        manifest["Images"].as_array().map(Vec::len),
        Some(2),
        "{manifest}"
    );
    let id = &stage.sandbox.images("222222222222", "us-west-2")[0].image_id;
    assert_eq!(manifest["Images"][0]["ImageId"], id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_watched_to_its_end() {
    let stage = distributed().await;
    let listed = stage.run(&["runs", "--output", "text"]).await;
    let run = listed.stdout.split('\t').next().expect("a run").to_owned();
    let watched = stage
        .run(&["watch", &run, "--output", "text", "--timeout", "20s"])
        .await;
    assert_eq!(watched.code, Some(0), "{watched:?}");
    let expected = format!("\trun\t{run} Succeeded of {IMAGE}\n");
    assert!(watched.stdout.contains(&expected), "{watched:?}");
    let closed = format!("\tclosed\tsnap-0a1b2c3d4e5f60711 to 222222222222 444444444444 by {run}");
    assert!(watched.stdout.contains(&closed), "{watched:?}");
    let all = stage
        .run(&["watch", "--every", "1s", "--timeout", "0s"])
        .await;
    assert_eq!(all.code, Some(4), "{all:?}");
    let unknown = stage.run(&["watch", "0123456789abcdef"]).await;
    assert_eq!(unknown.code, Some(252), "{unknown:?}");
}
