//! Preflight asks for what the run asks for, and decides what can be decided.

use amiferry_sandbox::{Account, Call, Key, Limits, Sandbox, World};
use serde_json::{Value, json};

use crate::preflight::{found, look, looked_into};
use crate::support::*;

const TARGET: Place = ("222222222222", HOME);
const OTHER: Place = ("333333333333", HOME);
const KEY_ID: &str = "22222222-aaaa-bbbb-cccc-000000000002";

fn sandbox(source: Account, targets: impl IntoIterator<Item = Account>) -> Sandbox {
    let world = World::new().copy_mib_per_second(65_536.0).account(source);
    Sandbox::new(targets.into_iter().fold(world, World::account))
}

fn word<'a>(finding: &'a Value, key: &str) -> &'a str {
    finding[key].as_str().unwrap_or_else(|| panic!("{finding}"))
}

/// Returns the documented role without its statements for shares: it may grant to copy roles only.
fn granting_to_copy_roles() -> Account {
    let mut source = producer();
    let policies = &mut source.roles[0].policies;
    policies.retain(|policy| !policy.contains("GrantToAccounts"));
    source
}

fn grants(calls: &[Call]) -> Vec<(String, Vec<String>)> {
    let calls = calls.iter().filter(|call| call.operation == "CreateGrant");
    calls
        .map(|call| {
            let operations = call
                .params
                .iter()
                .filter(|(key, _)| key.starts_with("Operations"));
            let operations = operations.map(|(_, value)| value.clone()).collect();
            (call.params["GranteePrincipal"].clone(), operations)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn preflight_dry_runs_the_grant_that_the_run_makes() {
    let share =
        json!({"SourceImageId": AMI, "Mode": "Share", "Targets": [{"AccountId": TARGET.0}]});
    for (source, wish) in [
        (granting_to_copy_roles(), request(&[TARGET])),
        (producer(), share),
    ] {
        let sandbox = sandbox(source, [looked_into(TARGET.0)]);
        let reply = look(&sandbox, &wish).await;
        assert_eq!(reply["Status"], "Ready", "{reply}");
        assert_eq!(found(&reply, "SourceKey"), None, "{reply}");
        let asked = grants(&sandbox.ledger());
        sandbox.clear_ledger();
        let reply = to_the_end(&sandbox, &json!({ "Distribute": wish })).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        assert_eq!(asked, grants(&sandbox.ledger()));
        assert_eq!(asked.len(), 1, "{asked:?}");
    }
}

/// The dry run of the grant finds the missing permission, though the role of another target does
/// not exist.
#[tokio::test(start_paused = true)]
async fn a_missing_copy_role_does_not_hide_a_denied_grant() {
    let mut poor = granting_to_copy_roles();
    for policy in &mut poor.roles[0].policies {
        *policy = policy.replace("\"ReEncryptFrom\",", "");
    }
    for (source, refused) in [(granting_to_copy_roles(), false), (poor, true)] {
        let targets = [Account::new(OTHER.0), looked_into(TARGET.0)];
        let reply = look(&sandbox(source, targets), &request(&[OTHER, TARGET])).await;
        let missing = found(&reply, "AssumeRole").unwrap_or_else(|| panic!("{reply}"));
        assert_eq!(missing["AccountId"], OTHER.0);
        assert_eq!(found(&reply, "SourceKey").is_some(), refused, "{reply}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_key_that_ebs_cannot_use_is_named_with_its_spec_or_usage() {
    for (spec, usage, said) in [
        ("RSA_2048", Some("ENCRYPT_DECRYPT"), "RSA_2048"),
        ("RSA_2048", Some("SIGN_VERIFY"), "SIGN_VERIFY"),
        ("ECC_NIST_P256", Some("SIGN_VERIFY"), "SIGN_VERIFY"),
        ("HMAC_256", None, "GENERATE_VERIFY_MAC"),
    ] {
        let mut target = looked_into(TARGET.0);
        let mut key = Key::new(HOME, KEY_ID).alias("alias/amis");
        key.spec = Some(spec.to_owned());
        key.usage = usage.map(str::to_owned);
        target.keys = vec![key];
        let sandbox = sandbox(producer(), [target]);
        let reply = look(&sandbox, &request(&[TARGET])).await;
        assert_eq!(reply["Status"], "NotReady", "{reply}");
        let finding = found(&reply, "TargetKey").unwrap_or_else(|| panic!("{reply}"));
        assert_eq!(finding["Level"], "Error");
        sandbox.clear_ledger();
        let reply = to_the_end(&sandbox, &distribute(&[TARGET])).await;
        let result = target_of(&reply);
        assert_eq!(result["Cause"], "TargetKeyUnsuitable", "{reply}");
        for result in [finding, result] {
            let reason = word(result, "Reason");
            assert!(
                reason.contains(said) && reason.contains(KEY_ID),
                "{said}: {result}"
            );
            assert!(
                word(result, "Remedy").contains("SYMMETRIC_DEFAULT, ENCRYPT_DECRYPT"),
                "{result}"
            );
        }
        assert_eq!(
            calls(&sandbox, "ModifySnapshotAttribute"),
            0,
            "nothing is opened"
        );
        assert_eq!(calls(&sandbox, "CreateGrant"), 0, "nothing is opened");
    }
}

fn target_of(reply: &Value) -> &Value {
    target(reply, TARGET)
}

/// Returns the findings about `CopyCompletionMinutes`.
fn warnings(reply: &Value) -> Vec<Value> {
    let findings = reply["Findings"].as_array().expect("Findings").iter();
    let ours = findings.filter(|f| f["Check"] == "CopyCompletionMinutes");
    ours.cloned().collect()
}

/// EC2 copies 500 MiB of a snapshot a second at most, which is 439 GiB in a quarter of an hour.
#[tokio::test(start_paused = true)]
async fn copies_too_large_for_the_requested_time_cause_a_warning() {
    for (gib, minutes, least) in [
        (439, 15, None),
        (440, 15, Some(30)),
        (2000, 30, Some(75)),
        (2000, 75, None),
    ] {
        let mut source = producer();
        let data = source.snapshots.iter_mut().find(|s| s.snapshot_id == DATA);
        data.expect("the snapshot").volume_size = gib;
        for mapping in &mut source.images[0].block_device_mappings {
            let ebs = mapping.ebs.as_mut();
            let data = ebs.filter(|ebs| ebs.snapshot_id.as_deref() == Some(DATA));
            if let Some(ebs) = data {
                ebs.volume_size = Some(gib);
            }
        }
        let sandbox = sandbox(source, [looked_into(TARGET.0)]);
        let mut wish = request(&[TARGET]);
        wish["CopyCompletionMinutes"] = json!(minutes);
        let reply = look(&sandbox, &wish).await;
        let warned = warnings(&reply);
        let Some(least) = least else {
            assert_eq!(
                warned,
                Vec::<Value>::new(),
                "{gib} GiB in {minutes} minutes"
            );
            continue;
        };
        assert_eq!(warned.len(), 1, "{reply}");
        assert_eq!(warned[0]["Level"], "Warning");
        let reason = word(&warned[0], "Reason");
        assert!(
            reason.contains(DATA) && reason.contains(&format!("{gib} GiB")),
            "{reason}"
        );
        assert_eq!(
            word(&warned[0], "Remedy"),
            format!("CopyCompletionMinutes of at least {least}")
        );
        assert_eq!(reply["Status"], "Ready", "slower is no failure: {reply}");
    }
}

/// EC2 makes copies with `CopyCompletionMinutes` one after another.
#[tokio::test(start_paused = true)]
async fn copies_that_exceed_the_requested_time_together_cause_one_warning() {
    let sandbox = sandbox(producer(), [looked_into(TARGET.0), looked_into(OTHER.0)]);
    let mut wish = request(&[TARGET, OTHER]);
    wish["CopyCompletionMinutes"] = json!(480);
    let reply = look(&sandbox, &wish).await;
    let warned = warnings(&reply);
    assert_eq!(warned.len(), 1, "{reply}");
    let reason = word(&warned[0], "Reason");
    assert!(
        reason.contains("one after another") && reason.contains("up to 960 minutes"),
        "{reason}"
    );
    // A request without a time has nothing to exceed.
    let reply = look(&sandbox, &request(&[TARGET, OTHER])).await;
    assert_eq!(warnings(&reply), Vec::<Value>::new());
}

/// `Ready` says that no finding is an error; `Unknown` beside it counts the checks that could not
/// be made.
#[tokio::test(start_paused = true)]
async fn ready_counts_the_checks_that_could_not_be_made() {
    let blind = sandbox(producer(), [consumer(TARGET.0, &[HOME])]);
    let reply = look(&blind, &request(&[TARGET])).await;
    assert_eq!(
        (&reply["Status"], &reply["Unknown"]),
        (&json!("Ready"), &json!(2)),
        "{reply}"
    );
    let seeing = sandbox(producer(), [looked_into(TARGET.0)]);
    let reply = look(&seeing, &request(&[TARGET])).await;
    assert_eq!(reply["Status"], "Ready");
    assert_eq!(reply.get("Unknown"), None, "{reply}");
}

/// An alias names one key in each Region, an ARN a key in one Region.
#[tokio::test(start_paused = true)]
async fn a_multi_region_key_of_another_region_is_refused_with_the_right_id() {
    let sandbox = sandbox(producer(), [looked_into(TARGET.0)]);
    let id = "mrk-22222222222222222222222222222222";
    let key = |account: &str| format!("arn:aws:kms:us-east-1:{account}:key/{id}");
    for (key, hint) in [(key(TARGET.0), true), (key(OTHER.0), false)] {
        let mut wish = request(&[TARGET]);
        wish["Targets"][0]["KmsKeyId"] = json!(key);
        let error = call(&sandbox, &json!({ "Distribute": wish })).await;
        let said = error.expect_err("refused").to_string();
        assert!(
            said.contains("must be in account 222222222222 in us-west-2"),
            "{said}"
        );
        assert_eq!(
            said.contains(&format!("({id} names the replica there")),
            hint,
            "{said}"
        );
    }
    assert_eq!(sandbox.ledger().len(), 0);
}

/// EC2 throttles a burst of requests, whichever caller used up the bucket; the run waits.
#[tokio::test(start_paused = true)]
async fn an_image_of_ten_snapshots_is_copied_within_a_quota_of_five() {
    let mut source = producer();
    for n in 2..10 {
        let id = format!("snap-0123456789abcde{n:02}");
        let device = format!("/dev/sd{}", char::from(b'c' + n));
        let ebs = amiferry_sandbox::Ebs::snapshot(&id).gp3(8, 3000, 125);
        source = source.snapshot(amiferry_sandbox::Snapshot::new(HOME, &id, 8).key(SOURCE_KEY));
        let mapping = amiferry_sandbox::BlockDeviceMapping::ebs(&device, ebs);
        source.images[0].block_device_mappings.push(mapping);
    }
    let limits = Limits {
        concurrent_copies: 5,
        ..Limits::default()
    };
    let world = World::new().copy_mib_per_second(4096.0).limits(limits);
    let sandbox = Sandbox::new(world.account(source).account(consumer(TARGET.0, &[HOME])));
    let reply = to_the_end(&sandbox, &distribute(&[TARGET])).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(sandbox.snapshots(TARGET.0, HOME).len(), 10, "one copy each");
    let ended =
        |call: &&Call| matches!(&call.outcome, Some(Err(code)) if code == "ResourceLimitExceeded");
    assert!(
        sandbox.ledger().iter().filter(ended).count() > 0,
        "the quota was never met"
    );
    assert_closed(&sandbox);
}
