//! Runs from their requests to their ends, in one process or in several.

use std::path::PathBuf;
use std::process::Child;

use serde_json::Value;

use crate::stage::{IMAGE, Stage, TARGETS, begun, end_of, interrupt, saved, saved_with};

/// At this speed the copies of the demo take ten seconds.
const SLOW: f64 = 26.0;
/// At this speed they take half a second.
const FAST: f64 = 500.0;

fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let first = ["distribute", "--local", "--image", IMAGE];
    first.iter().chain(&TARGETS).chain(more).copied().collect()
}

/// Starts the program, and returns when the state of its run is saved.
async fn started(stage: &Stage, arguments: &[&str]) -> (Child, PathBuf) {
    let child = begun(stage.program(arguments));
    let (path, _) = saved_with(stage, "State").await;
    (child, path)
}

fn assert_one_image_each(stage: &Stage) {
    for (account, region) in [("222222222222", "us-west-2"), ("444444444444", "us-east-1")] {
        assert_eq!(stage.copies(account, region), 1, "{account} {region}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distribution_is_followed_to_its_end_and_leaves_no_state() {
    let stage = Stage::at_speed(FAST).await;
    let ended = stage.run(&arguments(&[])).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_one_image_each(&stage);
    assert_eq!(saved(&stage), Vec::<PathBuf>::new());
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(
        lines[0].starts_with("ACCOUNT       REGION     STATUS     IMAGE"),
        "{ended:?}"
    );
    assert!(
        lines[1].starts_with("222222222222  us-west-2  Succeeded  ami-"),
        "{ended:?}"
    );
    assert!(
        lines[4].ends_with(": Succeeded. Nothing is left open"),
        "{ended:?}"
    );
    assert!(
        ended
            .stderr
            .contains("222222222222 us-west-2  Succeeded: ami-"),
        "{ended:?}"
    );
    assert!(!ended.stderr.contains('\u{1b}'), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_streamed_as_it_ends_and_the_rest_of_the_reply_last() {
    let stage = Stage::at_speed(FAST).await;
    let ended = stage
        .run(&arguments(&["--output", "jsonl", "--quiet"]))
        .await;
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    let lines = ended.stdout.lines().map(serde_json::from_str);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>().expect("JSON");
    assert_eq!(lines.len(), 3, "{ended:?}");
    assert!(
        lines[..2]
            .iter()
            .all(|target| target["Status"] == "Succeeded"),
        "{ended:?}"
    );
    assert_eq!(lines[2]["Status"], "Succeeded");
    assert!(lines[2]["Result"]["Receipt"].is_array(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_target_has_its_remedy_and_an_exit_code() {
    let stage = Stage::at_speed(FAST).await;
    let more = ["--target", "333333333333=alias/missing", "--output", "json"];
    let ended = stage.run(&arguments(&more)).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let reply = ended.json();
    assert_eq!(reply["Status"], "PartiallySucceeded");
    let targets = reply["Result"]["Targets"].as_array().expect("targets");
    let failed = targets
        .iter()
        .find(|target| target["Status"] == "Failed")
        .expect("one failed");
    assert!(
        failed["Remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("333333333333"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_is_resumed_and_copies_nothing_again() {
    let stage = Stage::at_speed(SLOW).await;
    let (mut child, path) = started(&stage, &arguments(&[])).await;
    child.kill().expect("killed");
    child.wait().expect("ended");
    let run = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .expect("a run");
    let ended = stage.run(&["resume", run, "--output", "json"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json()["Result"]["RunId"], run);
    assert_eq!(stage.calls("CopySnapshot"), 4);
    assert_one_image_each(&stage);
    assert_eq!(saved(&stage), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_says_how_to_go_on_and_the_time_is_up_likewise() {
    let stage = Stage::at_speed(SLOW).await;
    let (child, path) = started(&stage, &arguments(&[])).await;
    interrupt(&child);
    let interrupted = end_of(child).await;
    assert_eq!(interrupted.code, Some(130), "{interrupted:?}");
    let run = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .expect("a run");
    let how = format!("amiferry resume {run}");
    assert!(interrupted.stderr.contains(&how), "{interrupted:?}");
    use_of_the_file_is_its_owners(&path);

    let late = stage.run(&["resume", run, "--timeout", "0s"]).await;
    assert_eq!(late.code, Some(4), "{late:?}");
    assert!(late.stderr.contains(&how), "{late:?}");
    let path = path.to_str().expect("a path");
    assert_eq!(stage.run(&["resume", path]).await.code, Some(0));
}

fn use_of_the_file_is_its_owners(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_nobody_began_here_is_refused_with_what_to_do() {
    let stage = Stage::at_speed(FAST).await;
    let ended = stage.run(&["resume", "0123456789abcdef"]).await;
    assert_eq!(ended.code, Some(252), "{ended:?}");
    assert!(
        ended.stderr.contains("Give the same request again"),
        "{ended:?}"
    );
}
