use clap::{Command, FromArgMatches};
use serde_json::{Value, json};

use super::*;

fn region() -> Region {
    Region::parse("us-west-2").expect("a Region")
}

fn given<S: Scope>(arguments: &[&str]) -> Wish<S> {
    let command = Wish::<S>::augment_args(Command::new("verb"));
    let arguments = std::iter::once("verb").chain(arguments.iter().copied());
    let matches = command.try_get_matches_from(arguments).expect("arguments");
    Wish::from_arg_matches(&matches).expect("a wish")
}

fn words<S: Scope>(arguments: &[&str]) -> Result<Value, String> {
    let read = given::<S>(arguments).read(&region());
    read.map(|(words, _)| words).map_err(|e| e.to_string())
}

/// Returns a file with this text; its name ends as given.
fn file(suffix: &str, text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(suffix).tempfile();
    let file = file.expect("a file");
    std::fs::write(file.path(), text).expect("written");
    file
}

const IMAGE: &str = "ami-0a1b2c3d4e5f60718";

#[test]
fn every_key_of_a_request_but_those_of_resources_has_a_flag() {
    let named: Vec<&str> = keys(None).map(|key| key.name).collect();
    for key in &KEYS {
        let of_resource = OF_RESOURCES.contains(&key.name);
        assert_eq!(named.contains(&key.name), !of_resource, "{}", key.name);
    }
}

#[test]
fn flags_become_the_json_of_the_documents() {
    let request = words::<CopyMode>(&[
        "--image",
        IMAGE,
        "--target",
        "222222222222/us-east-1=alias/amis",
        "--target",
        "333333333333",
        "--tag",
        "team=images",
        "--tag",
        "formula=a=b",
        "--copy-tags=false",
        "--revoke-after-copy",
        "--service-linked-roles",
        "spot.amazonaws.com,autoscaling.amazonaws.com",
        "--copy-completion-minutes",
        "60",
        "--key-access",
        "Policy",
    ]);
    let expected = json!({
        "SourceImageId": IMAGE,
        "Targets": [
            {"AccountId": "222222222222", "Region": "us-east-1", "KmsKeyId": "alias/amis"},
            {"AccountId": "333333333333"}],
        "Tags": {"team": "images", "formula": "a=b"},
        "CopyTags": false,
        "RevokeAfterCopy": true,
        "ServiceLinkedRoles": ["spot.amazonaws.com", "autoscaling.amazonaws.com"],
        "CopyCompletionMinutes": 60,
        "KeyAccess": "Policy",
    });
    assert_eq!(request, Ok(expected));
}

#[test]
fn json_yaml_and_an_event_of_the_function_are_the_same_request() {
    let expected = json!({"SourceImageId": IMAGE, "Targets": [{"AccountId": "012345678901"}]});
    let texts = [
        (".json", expected.to_string()),
        (".json", json!({"Distribute": expected}).to_string()),
        (
            ".yaml",
            format!("SourceImageId: {IMAGE}\nTargets:\n- AccountId: '012345678901'\n"),
        ),
        (".yml", expected.to_string()),
    ];
    for (suffix, text) in texts {
        let file = file(suffix, &text);
        let path = file.path().to_str().expect("a path");
        assert_eq!(
            words::<CopyMode>(&["-f", path]),
            Ok(expected.clone()),
            "{text}"
        );
    }
}

#[test]
fn a_flag_has_precedence_over_the_file_under_either_name_of_its_key() {
    let file = file(
        ".json",
        r#"{"AmiId": "ami-00000000", "TargetAccountId": "222222222222"}"#,
    );
    let path = file.path().to_str().expect("a path");
    let request = words::<CopyMode>(&["-f", path, "--image", IMAGE]);
    let expected = json!({"SourceImageId": IMAGE, "TargetAccountId": "222222222222"});
    assert_eq!(request, Ok(expected));
}

#[test]
fn a_wrong_request_has_the_message_of_the_library() {
    let arguments = [
        "--image",
        IMAGE,
        "--target",
        "222222222222",
        "--target",
        "12345",
    ];
    let said = words::<CopyMode>(&arguments).expect_err("12345 is no account");
    assert!(
        said.starts_with("Targets[1].AccountId: \"12345\" is not an AWS account ID"),
        "{said}"
    );
    let file = file(
        ".json",
        r#"{"SourceImageId": "ami-00000000", "Target": "222222222222"}"#,
    );
    let said = words::<CopyMode>(&["-f", file.path().to_str().expect("a path")]);
    let said = said.expect_err("Target is no key");
    assert!(said.starts_with("Targets: is required"), "{said}");
    let said = words::<CopyMode>(&[]).expect_err("nothing was given");
    assert!(said.contains("--generate-skeleton"), "{said}");
}

#[test]
fn yaml_that_names_a_key_twice_or_is_no_object_is_refused() {
    for text in ["SourceImageId: a\nSourceImageId: b\n", "- a\n", "a: [\n"] {
        let file = file(".yaml", text);
        let path = file.path().to_str().expect("a path");
        let said = words::<CopyMode>(&["-f", path]).expect_err(text);
        assert!(said.starts_with(path), "{said}");
    }
}

#[test]
fn a_verb_sets_its_mode_and_refuses_a_file_of_another() {
    let shared = words::<ShareMode>(&["--image", IMAGE, "--target", "222222222222"]);
    assert_eq!(shared.expect("a share")["Mode"], "Share");
    let taken_back = words::<UnshareMode>(&["--image", IMAGE, "--target", "222222222222"]);
    assert_eq!(taken_back.expect("an unshare")["Unshare"], true);
    let copied = words::<CopyMode>(&["--image", IMAGE, "--target", "222222222222"]);
    assert_eq!(copied.expect("a copy").get("Mode"), None);

    let target = r#""SourceImageId": "ami-00000000", "TargetAccountId": "222222222222""#;
    let share = file(".json", &format!(r#"{{{target}, "Mode": "Share"}}"#));
    let said = words::<CopyMode>(&["-f", share.path().to_str().expect("a path")]);
    assert!(
        said.expect_err("another mode")
            .contains("use amiferry share")
    );
    let unshare = file(".json", &format!(r#"{{{target}, "Unshare": "true"}}"#));
    let said = words::<ShareMode>(&["-f", unshare.path().to_str().expect("a path")]);
    assert!(
        said.expect_err("an unshare")
            .contains("use amiferry unshare")
    );
}

#[test]
fn help_is_text_without_markdown() {
    assert_eq!(
        flags::plain("see [Auto Scaling](#auto) and `x`: [b](c)."),
        "see Auto Scaling and x: b."
    );
    assert_eq!(
        flags::plain("`Targets[0]`, a [link](#x)"),
        "Targets[0], a link"
    );
}
