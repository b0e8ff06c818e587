//! Requests that are refused before the first call, and exit codes.

use std::io::Write;
use std::process::Stdio;

use serde_json::json;

use crate::stage::{Ended, IMAGE, Stage, ended, program};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_request_ends_with_the_code_of_usage_and_calls_nothing() {
    let stage = Stage::at_speed(1.0).await;
    let wrong = stage
        .run(&[
            "distribute",
            "--local",
            "--image",
            IMAGE,
            "--target",
            "2222",
        ])
        .await;
    assert_eq!(wrong.code, Some(252));
    assert!(
        wrong
            .stderr
            .starts_with("error: Targets[0].AccountId: \"2222\" is not"),
        "{wrong:?}"
    );
    let unknown = stage.run(&["distribute", "--locally"]).await;
    assert_eq!(unknown.code, Some(252), "{unknown:?}");
    assert_eq!(stage.sandbox.ledger().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_bounds_the_command_line_as_it_bounds_the_function() {
    let stage = Stage::at_speed(1.0).await;
    let mut command = stage.program(&["share", "--image", IMAGE, "--target", "222222222222"]);
    command.env("AMIFERRY_ALLOWED_ACCOUNTS", "333333333333");
    let refused = ended(command).await;
    assert_eq!(refused.code, Some(252), "{refused:?}");
    assert!(
        refused.stderr.contains("AMIFERRY_ALLOWED_ACCOUNTS"),
        "{refused:?}"
    );
    assert_eq!(stage.sandbox.objects("amiferry-bucket").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_credentials_and_a_refusal_have_codes_of_their_own() {
    let stage = Stage::at_speed(1.0).await;
    let arguments = ["policies", "--image", IMAGE, "--target", "222222222222"];
    let mut command = stage.program(&arguments);
    command.env("AWS_ACCESS_KEY_ID", "AKIANOBODY0000000000");
    let unknown = ended(command).await;
    assert_eq!(unknown.code, Some(253), "{unknown:?}");

    let arguments = [
        "policies",
        "--image",
        "ami-00000000",
        "--target",
        "222222222222",
    ];
    let missing = stage.run(&arguments).await;
    assert_eq!(missing.code, Some(254), "{missing:?}");
}

#[test]
fn no_credentials_and_no_region_are_told_before_the_first_call() {
    let home = tempfile::tempdir().expect("a folder");
    let run = |region: &str| -> Ended {
        let mut command = program(home.path(), &["runs", "--bucket", "amiferry-bucket"]);
        command.env("AWS_REGION", region);
        command.output().expect("the program runs").into()
    };
    let nobody = run("us-west-2");
    assert_eq!(nobody.code, Some(253), "{nobody:?}");
    assert!(nobody.stderr.contains("no credentials"), "{nobody:?}");
    let mut nowhere = program(home.path(), &["runs"]);
    nowhere
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE000000000")
        .env("AWS_SECRET_ACCESS_KEY", "x");
    let nowhere = Ended::from(nowhere.output().expect("the program runs"));
    assert_eq!(nowhere.code, Some(252), "{nowhere:?}");
    assert!(nowhere.stderr.contains("--region"), "{nowhere:?}");
}

#[test]
fn a_mistake_in_a_request_is_told_before_missing_credentials() {
    let home = tempfile::tempdir().expect("a folder");
    let arguments = ["plan", "--image", "ami-xyz", "--target", "222222222222"];
    let mut command = program(home.path(), &arguments);
    command.env("AWS_REGION", "us-west-2");
    let wrong = Ended::from(command.output().expect("the program runs"));
    assert_eq!(wrong.code, Some(252), "{wrong:?}");
    assert!(
        wrong.stderr.starts_with("error: SourceImageId: "),
        "{wrong:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_names_a_process_that_prints_credentials() {
    let stage = Stage::at_speed(1.0).await;
    let credentials = json!({"Version": 1, "AccessKeyId": "AKIAPRODUCER00000001",
        "SecretAccessKey": "producer/secret/of/the/sandbox/only/0001"});
    let folder = stage.home.path();
    std::fs::write(folder.join("credentials.json"), credentials.to_string()).expect("written");
    let process = format!("cat {}", folder.join("credentials.json").display());
    let config = format!("[profile builds]\nregion = us-west-2\ncredential_process = {process}\n");
    std::fs::write(folder.join("config"), config).expect("written");
    let mut command = stage.program(&["runs", "--profile", "builds"]);
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env_remove("AWS_REGION")
        .env("PATH", "/usr/bin:/bin")
        .env("AWS_CONFIG_FILE", folder.join("config"));
    let listed = ended(command).await;
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert_eq!(listed.stdout, "The ledger has no runs.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_from_standard_input_may_be_yaml() {
    let stage = Stage::at_speed(1.0).await;
    let mut command = stage.program(&["policies", "-f", "-", "--output", "json"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let yaml = format!("SourceImageId: {IMAGE}\nTargetAccountIds: ['222222222222']\n");
    let stdin = child.stdin.take();
    stdin
        .expect("standard input")
        .write_all(yaml.as_bytes())
        .expect("written");
    let output = tokio::task::spawn_blocking(move || child.wait_with_output());
    let printed = Ended::from(output.await.expect("a thread").expect("the program runs"));
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let documents = printed.json()["Policies"].as_array().map(Vec::len);
    assert!(documents.is_some_and(|count| count > 2), "{printed:?}");
}

#[test]
fn a_skeleton_needs_no_credentials_and_is_a_request() {
    let home = tempfile::tempdir().expect("a folder");
    let output = program(home.path(), &["distribute", "--generate-skeleton"]).output();
    let skeleton = Ended::from(output.expect("the program runs"));
    assert_eq!(skeleton.code, Some(0), "{skeleton:?}");
    insta::assert_snapshot!(skeleton.stdout);
}
