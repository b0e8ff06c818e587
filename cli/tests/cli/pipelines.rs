//! Jobs of CI systems: the commands of the page and of the action, in the jobs' order.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::pages::{REQUEST, blocks, root};
use crate::stage::{self, Ended, IMAGE, Stage, ended};

fn page() -> String {
    std::fs::read_to_string(root().join("docs/pipelines.md")).expect("a page")
}

/// Returns a shell that finds a program of this text as `amiferry`.
fn shell_with(stage: &Stage, text: &str, script: &str) -> Command {
    let folder = stage.home.path().join("bin");
    std::fs::create_dir_all(&folder).expect("a folder");
    let program = folder.join("amiferry");
    std::fs::write(&program, text).expect("written");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&program, executable).expect("an executable");
    stage::shell(stage, &folder, script)
}

/// The sandbox executes no state machine, so the program carries out in the job what it would give
/// to the stack.
fn here() -> String {
    let program = env!("CARGO_BIN_EXE_amiferry");
    format!(
        "#!/bin/bash\n[[ $1 != distribute ]] || set -- \"$@\" --local\nexec '{program}' \"$@\"\n"
    )
}

/// Returns the AMI of the first target, by the manifest that a job wrote.
fn first_image(folder: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(folder.join(name)).expect("a manifest");
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    manifest["Images"][0]["ImageId"]
        .as_str()
        .expect("an AMI")
        .to_owned()
}

fn assert_distributed(stage: &Stage, job: &Ended, manifest: &str) {
    assert_eq!(job.code, Some(0), "{job:?}");
    let there = &stage.sandbox.images("222222222222", "us-west-2")[0].image_id;
    assert_eq!(first_image(stage.home.path(), manifest), *there);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_gitlab_distributes_and_keeps_the_manifest() {
    let stage = Stage::at_speed(500.0).await;
    std::fs::write(stage.home.path().join("request.yaml"), REQUEST).expect("written");
    let page = page();
    let job: Value = serde_saphyr::from_str(blocks(&page, "yaml gitlab")[0]).expect("YAML");
    let job = &job["distribute"];
    let lines = |key: &str| -> Vec<String> {
        let lines = job[key].as_array().expect("lines").iter();
        lines
            .map(|line| line.as_str().expect("a line").to_owned())
            .collect()
    };
    let script = [lines("before_script"), lines("script")]
        .concat()
        .join("\n");
    let token = stage.home.path().join("token");
    let mut shell = shell_with(&stage, &here(), &script);
    shell
        .env("AWS_TOKEN", "a-token")
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
    let played = ended(shell).await;
    assert_distributed(&stage, &played, "images.json");
    assert_eq!(std::fs::read_to_string(&token).expect("a token"), "a-token");
    assert_eq!(job["artifacts"]["paths"][0], "images.json");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_post_processor_of_packer_distributes_what_packer_built() {
    let stage = Stage::at_speed(500.0).await;
    let folder = stage.home.path();
    let targets = REQUEST
        .lines()
        .filter(|line| !line.starts_with("SourceImageId"));
    std::fs::write(
        folder.join("targets.yaml"),
        targets.collect::<Vec<_>>().join("\n"),
    )
    .expect("written");
    let built = format!(
        "{{\"builds\": [{{\"builder_type\": \"amazon-ebs\", \"artifact_id\": \
         \"us-west-2:{IMAGE}\", \"packer_run_uuid\": \"one\"}}], \"last_run_uuid\": \"one\"}}"
    );
    std::fs::write(folder.join("manifest.json"), built).expect("written");
    let page = page();
    let template = blocks(&page, "hcl")[0];
    let lines = template.lines().map(str::trim);
    let inline: Vec<&str> = lines
        .filter(|line| line.starts_with("\"amiferry "))
        .collect();
    assert_eq!(inline.len(), 1, "{template}");
    let command = inline[0].trim_matches(['"', ',']);
    let played = ended(shell_with(&stage, &here(), command)).await;
    assert_distributed(&stage, &played, "amis.json");
}

/// Returns the action's definition.
fn action() -> Value {
    let text = std::fs::read_to_string(root().join("action.yml")).expect("an action");
    serde_saphyr::from_str(&text).expect("YAML")
}

/// Plays the last step of the action in a job, and returns its outputs and its summary.
async fn step(stage: &Stage, program: &str, variables: &[(&str, &str)]) -> (Ended, String, String) {
    let action = action();
    let steps = action["runs"]["steps"].as_array().expect("steps");
    let step = steps.last().expect("a step");
    let mut shell = shell_with(stage, program, step["run"].as_str().expect("a script"));
    let files: [PathBuf; 2] = ["output", "summary"].map(|name| stage.home.path().join(name));
    shell
        .env("GITHUB_ACTION_PATH", root())
        .env("GITHUB_OUTPUT", &files[0])
        .env("GITHUB_STEP_SUMMARY", &files[1]);
    let names = step["env"].as_object().expect("variables").keys();
    for name in names.filter(|name| *name != "AWS_REGION") {
        let given = variables.iter().find(|(given, _)| given == name);
        shell.env(name, given.map_or("", |(_, value)| value));
    }
    let played = ended(shell).await;
    let read = |file: &PathBuf| std::fs::read_to_string(file).unwrap_or_default();
    (played, read(&files[0]), read(&files[1]))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_action_distributes_and_writes_outputs_and_a_summary() {
    let stage = Stage::at_speed(500.0).await;
    std::fs::write(stage.home.path().join("request.yaml"), REQUEST).expect("written");
    let given = [
        ("REQUEST", "request.yaml"),
        ("STACK", "amiferry"),
        ("MANIFEST", "images.json"),
        ("FLAGS", "--tag team=images --quiet"),
    ];
    let (played, outputs, summary) = step(&stage, &here(), &given).await;
    assert_distributed(&stage, &played, "images.json");
    let image = first_image(stage.home.path(), "images.json");
    assert!(
        outputs.contains("\nstatus=Succeeded\nimages=[{"),
        "{outputs}"
    );
    assert!(
        summary.starts_with(&format!("### {IMAGE}: Succeeded\n")),
        "{summary}"
    );
    let row = format!("| 222222222222 | us-west-2 | Succeeded | {image} |  |");
    assert!(summary.contains(&row), "{summary}");
    assert!(
        summary.contains("Open on the source: 0 resources."),
        "{summary}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_action_fails_with_a_refused_request_and_says_so() {
    let stage = Stage::at_speed(500.0).await;
    let given = [
        ("IMAGE", "ami-xyz"),
        ("STACK", "amiferry"),
        ("MANIFEST", "images.json"),
    ];
    let (played, outputs, summary) = step(&stage, &here(), &given).await;
    assert_eq!(played.code, Some(252), "{played:?}");
    assert_eq!(outputs, "");
    assert!(summary.contains("ended with code 252"), "{summary}");
}

/// The state machine tells a failure in words. They reach the summary, and the code of the program
/// is the step's.
#[tokio::test(flavor = "multi_thread")]
async fn the_action_shows_the_words_of_an_execution_that_failed() {
    let stage = Stage::at_speed(500.0).await;
    let program = "#!/bin/bash\necho '{\"Images\": []}' >images.json\n\
        echo '{\"Status\": \"PartiallySucceeded\", \"Notice\": \"1 of 2 targets\"}'\nexit 3\n";
    let given = [("STACK", "amiferry"), ("MANIFEST", "images.json")];
    let (played, outputs, summary) = step(&stage, program, &given).await;
    assert_eq!(played.code, Some(3), "{played:?}");
    assert_eq!(outputs, "run-id=\nstatus=PartiallySucceeded\nimages=[]\n");
    assert_eq!(
        summary,
        "### amiferry: PartiallySucceeded\n\n1 of 2 targets\n"
    );
}

/// The examples use inputs and outputs that the action has.
#[test]
fn the_job_of_github_names_inputs_and_outputs_of_the_action() {
    let page = page();
    let job: Value = serde_saphyr::from_str(blocks(&page, "yaml github")[0]).expect("YAML");
    let steps = job["jobs"]["distribute"]["steps"]
        .as_array()
        .expect("steps");
    let uses = steps
        .iter()
        .find(|step| step.get("with").is_some())
        .expect("a step");
    let action = action();
    for name in uses["with"].as_object().expect("inputs").keys() {
        assert!(action["inputs"].get(name).is_some(), "{name}");
    }
    for (name, input) in action["inputs"].as_object().expect("inputs") {
        let required = input["required"] == true;
        assert!(!required || uses["with"].get(name).is_some(), "{name}");
    }
    assert!(action["outputs"].get("images").is_some());
}
