//! Found before anything is copied, by the run and by Preflight alike.

use amiferry::error::Error;
use amiferry_sandbox::{Account, Image, Key, Sandbox, World};
use serde_json::{Value, json};

use crate::preflight::{found, look, looked_into};
use crate::support::*;

const TARGET: Place = ("222222222222", HOME);
const KEY_ID: &str = "11111111-aaaa-bbbb-cccc-000000000001";

fn sandbox(source: Account) -> Sandbox {
    sandbox_with(source, looked_into(TARGET.0))
}

fn sandbox_with(source: Account, target: Account) -> Sandbox {
    let world = World::new().copy_mib_per_second(4096.0);
    Sandbox::new(world.account(source).account(target))
}

fn asked(more: &Value) -> Value {
    let mut asked = if more["Mode"] == "Share" {
        json!({"SourceImageId": AMI, "Targets": [{"AccountId": TARGET.0}]})
    } else {
        request(&[TARGET])
    };
    for (key, value) in more.as_object().expect("words") {
        asked[key] = value.clone();
    }
    asked
}

/// Returns the only finding that is an error.
fn only_error<'a>(reply: &'a Value, check: &str) -> &'a Value {
    let findings = reply["Findings"].as_array().expect("Findings");
    let errors: Vec<&Value> = findings.iter().filter(|f| f["Level"] == "Error").collect();
    assert!(
        errors.len() == 1 && errors[0]["Check"] == check,
        "{check}: {reply}"
    );
    errors[0]
}

fn contains(value: &Value, words: &str) {
    assert!(
        value.as_str().is_some_and(|said| said.contains(words)),
        "{words}: {value}"
    );
}

/// Checks that the source got no permission and the target no copy.
fn assert_untouched(sandbox: &Sandbox) {
    for operation in [
        "ModifySnapshotAttribute",
        "ModifyImageAttribute",
        "CreateGrant",
        "PutKeyPolicy",
        "CopySnapshot",
        "RegisterImage",
    ] {
        let really = |call: &&amiferry_sandbox::Call| {
            call.operation == operation
                && call.params.get("DryRun").is_none_or(|flag| flag != "true")
        };
        assert_eq!(
            sandbox.ledger().iter().filter(really).count(),
            0,
            "{operation}"
        );
    }
}

/// Checks that the run refuses the request, and that Preflight finds it, with these words in reason
/// and remedy.
async fn refused_at_once(source: Account, more: Value, what: &str, remedy: &str) {
    let sandbox = sandbox(source);
    let reply = look(&sandbox, &asked(&more)).await;
    let finding = only_error(&reply, "Source");
    contains(&finding["Reason"], what);
    contains(&finding["Remedy"], remedy);
    let error = call(&sandbox, &json!({"Distribute": asked(&more)}))
        .await
        .expect_err("nothing is begun");
    assert!(matches!(error, Error::InvalidRequest { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains(what) && said.contains(remedy), "{said}");
    assert_untouched(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn an_unusable_source_key_is_named_with_its_state() {
    for (state, command) in [
        ("Disabled", "aws kms enable-key"),
        ("PendingDeletion", "aws kms cancel-key-deletion"),
    ] {
        for more in [
            json!({}),
            json!({"KeyAccess": "None"}),
            json!({"KeyAccess": "Policy"}),
            json!({"Mode": "Share"}),
        ] {
            let mut source = producer();
            source.roles[0] = function_role().policy(documented("KeyPolicies"));
            source.keys = vec![Key::new(HOME, KEY_ID).state(state)];
            refused_at_once(source, more, &format!("{SOURCE_KEY} is {state}"), command).await;
        }
    }
}

fn with_image(change: impl FnOnce(&mut Image)) -> Account {
    let mut source = producer();
    change(&mut source.images[0]);
    source
}

#[tokio::test(start_paused = true)]
async fn a_root_device_without_a_snapshot_is_refused_before_copying() {
    let nowhere = with_image(|image| image.root_device_name = Some("/dev/sda1".to_owned()));
    refused_at_once(nowhere, json!({}), "root device /dev/sda1", "EBS volume").await;
}

#[tokio::test(start_paused = true)]
async fn a_disabled_source_is_refused_as_disabled() {
    for more in [json!({}), json!({"Mode": "Share"})] {
        let disabled = with_image(|image| image.state = "disabled".to_owned());
        refused_at_once(disabled, more, "is disabled", "aws ec2 enable-image").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_under_an_aws_managed_key_is_one_finding_with_its_remedy() {
    let sandbox = sandbox(crate::staging::under_aws_ebs(1));
    let reply = look(&sandbox, &asked(&json!({}))).await;
    let findings = reply["Findings"].as_array().expect("Findings");
    let errors = findings.iter().filter(|f| f["Level"] == "Error");
    for error in errors {
        assert_eq!(error["Check"], "Source", "{reply}");
        contains(&error["Remedy"], "aws ec2 copy-image");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_another_image_has_fails_at_the_first_look() {
    for state in ["available", "disabled"] {
        let theirs = Image::new(
            HOME,
            "ami-00000000000000bad",
            "golden-copied-from-111111111111",
        )
        .with(|image| image.state = state.to_owned());
        let sandbox = sandbox_with(producer(), looked_into(TARGET.0).image(theirs.clone()));
        let reply = look(&sandbox, &asked(&json!({}))).await;
        let finding = only_error(&reply, "NameTaken");
        contains(&finding["Reason"], "ami-00000000000000bad");
        let begun = sandbox.now();
        let reply = to_the_end(&sandbox, &distribute(&[TARGET])).await;
        let result = target(&reply, TARGET);
        assert_eq!(result["Cause"], "NameTaken", "{reply}");
        contains(&result["Reason"], "ami-00000000000000bad");
        if state == "disabled" {
            contains(&result["Reason"], "disabled");
            contains(&finding["Reason"], "disabled");
        }
        assert!(sandbox.now().duration_since(begun).unwrap().as_secs() < 5);
        assert_untouched(&sandbox);
        let there = sandbox.images(TARGET.0, HOME);
        assert_eq!(there.len(), 1, "{there:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_its_owner_disabled_is_kept_and_named() {
    let sandbox = sandbox(producer());
    let reply = to_the_end(&sandbox, &distribute(&[TARGET])).await;
    let image = target(&reply, TARGET)["ImageId"]
        .as_str()
        .unwrap()
        .to_owned();
    sandbox.edit(|aws| aws.change_image(&image, |image| image.state = "disabled".to_owned()));
    let before = sandbox.snapshots(TARGET.0, HOME);
    sandbox.clear_ledger();

    let reply = look(&sandbox, &asked(&json!({}))).await;
    let finding = only_error(&reply, "ImageDisabled");
    contains(&finding["Remedy"], "aws ec2 enable-image");

    let begun = sandbox.now();
    let reply = to_the_end(&sandbox, &distribute(&[TARGET])).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let result = target(&reply, TARGET);
    assert_eq!(result["Cause"], "ImageDisabled", "{reply}");
    assert_eq!(result["ImageId"], image.as_str(), "{reply}");
    contains(&result["Reason"], &image);
    contains(
        &result["Remedy"],
        &format!("aws ec2 enable-image --image-id {image}"),
    );
    assert!(sandbox.now().duration_since(begun).unwrap().as_secs() < 5);
    assert_untouched(&sandbox);
    assert_eq!(sandbox.snapshots(TARGET.0, HOME), before);
}

/// The alias of the target stood for another key when the copy was made.
#[tokio::test(start_paused = true)]
async fn a_copy_under_a_former_key_of_the_alias_does_not_count_as_present() {
    let sandbox = sandbox(producer());
    to_the_end(&sandbox, &distribute(&[TARGET])).await;
    let image = sandbox.images(TARGET.0, HOME)[0].image_id.clone();
    sandbox.edit(|aws| {
        aws.change_image(&image, |image| {
            image.tags.insert("amiferry:key".to_owned(), "0".repeat(16));
        })
    });
    sandbox.clear_ledger();
    let reply = look(&sandbox, &asked(&json!({}))).await;
    only_error(&reply, "NameTaken");
    let reply = to_the_end(&sandbox, &distribute(&[TARGET])).await;
    assert_eq!(target(&reply, TARGET)["Cause"], "NameTaken", "{reply}");
}

#[tokio::test(start_paused = true)]
async fn a_licensed_image_causes_a_warning() {
    let sandbox = sandbox(with_image(|image| {
        image.platform_details = "Windows".to_owned();
        image.usage_operation = "RunInstances:0002".to_owned();
    }));
    let reply = look(&sandbox, &asked(&json!({"Strategy": "Snapshots"}))).await;
    let finding = found(&reply, "Licence").unwrap_or_else(|| panic!("{reply}"));
    assert_eq!(finding["Level"], "Warning");
    contains(&finding["Reason"], "RunInstances:0002");
    contains(&finding["Remedy"], "Leave out Strategy");
    assert_eq!(reply["Status"], "Ready", "{reply}");
}

/// The dry run sends the run's own request: with an architecture alone EC2 would assume a
/// paravirtual image.
#[tokio::test(start_paused = true)]
async fn preflight_dry_runs_the_image_that_the_run_registers() {
    let sandbox = sandbox(with_image(|image| {
        image.architecture = "arm64".to_owned();
        image.ena_support = true;
    }));
    let reply = look(&sandbox, &asked(&json!({}))).await;
    assert_eq!(reply["Status"], "Ready", "{reply}");
    assert!(found(&reply, "RegisterImage").is_none(), "{reply}");
    let asked = sandbox.ledger();
    let asked = asked.iter().find(|c| c.operation == "RegisterImage");
    let asked = asked.expect("a dry run").params.clone();
    sandbox.clear_ledger();
    let reply = to_the_end(&sandbox, &distribute(&[TARGET])).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let sent = sandbox.ledger();
    let sent = sent.iter().find(|c| c.operation == "RegisterImage");
    let sent = sent.expect("a call").params.clone();
    let same =
        |key: &&String| !key.contains("SnapshotId") && *key != "DryRun" && !key.contains("Tag");
    let keys = |params: &std::collections::BTreeMap<String, String>| -> Vec<String> {
        params.keys().filter(same).cloned().collect()
    };
    assert_eq!(keys(&asked), keys(&sent));
}
