//! The settings of the function bound every request, whatever the shape of its event; a refusal
//! names the setting.

use amiferry::error::Error;
use amiferry::setup::Settings;
use amiferry_sandbox::{Organization, Sandbox, World};
use serde_json::{Value, json};

use crate::custom_resource::{Stack, with};
use crate::support::*;

const ONE: &str = "222222222222";
const OTHER_ORG: &str = "o-zzzzzzzzzz";
const TEAM: &str = "ou-ab12-11111111";
const OUTSIDER: &str = "444444444444";

/// Returns settings with these bounds and no others; a blank bound is absent.
fn bounded(accounts: &str, organization: &str, share: &str) -> Settings {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Settings {
        allowed_accounts: given(accounts),
        allowed_organization: given(organization),
        allow_share: given(share),
        ..settings()
    }
}

async fn ask(sandbox: &Sandbox, settings: &Settings, event: &Value) -> Result<Value, Error> {
    let function = function_with(sandbox, settings.clone()).await;
    let payload = event.to_string();
    function.handle(&payload, &invocation(sandbox)).await
}

/// Returns the request in each shape of a direct call, a task or an event of EventBridge.
fn ways(words: &Value) -> Vec<(&'static str, Value)> {
    vec![
        ("Distribute", json!({ "Distribute": words })),
        ("Preflight", json!({ "Preflight": words })),
        ("Policies", json!({ "Policies": words })),
        (
            "Open",
            json!({"Open": {"Distribute": words}, "Execution": "run-1", "Last": {}}),
        ),
        (
            "Open of a custom resource",
            json!({"Open": {"CustomResource": resource(words), "ResponseUrlAt": resource_at(words)},
                "Execution": "run-1", "Last": {}}),
        ),
        ("EventBridge", became_available()),
    ]
}

fn resource(words: &Value) -> Value {
    json!({"RequestType": "Create", "StackId": crate::custom_resource::STACK,
        "RequestId": "request-1", "LogicalResourceId": "GoldenImage",
        "ResourceType": "Custom::AmiDistribution", "ResourceProperties": words})
}

fn resource_at(words: &Value) -> String {
    use amiferry::event::custom_resource::CustomResource;
    let resource = CustomResource::parse(&resource(words)).expect("a resource");
    resource.url_at()
}

fn became_available() -> Value {
    json!({"version": "0", "id": "11111111-2222-3333-4444-555555555555", "source": "aws.ec2",
        "detail-type": "EC2 AMI State Change",
        "account": SOURCE, "region": HOME, "detail": {"ImageId": AMI, "State": "available"}})
}

/// Returns settings for EventBridge whose own request is this one.
fn with_own(settings: &Settings, words: &Value) -> Settings {
    let mut own = words.clone();
    let keys = own.as_object_mut().expect("an object");
    for key in ["SourceImageId", "AmiId"] {
        keys.remove(key);
    }
    Settings {
        request: Some(own.to_string()),
        ..settings.clone()
    }
}

fn opted_in(sandbox: &Sandbox) {
    let tag = ("amiferry:distribute".to_owned(), "true".to_owned());
    sandbox.edit(|aws| aws.change_image(AMI, |image| image.tags.extend([tag])));
}

/// Checks that every event shape of the request is refused by this name, and that the function only
/// reads.
async fn refused_by_every_way(words: &Value, settings: &Settings, begin: &str, of: fn() -> World) {
    let settings = with_own(settings, words);
    for (way, event) in ways(words) {
        let sandbox = Sandbox::new(of());
        opted_in(&sandbox);
        let error = ask(&sandbox, &settings, &event).await.expect_err(way);
        assert_eq!(error.error_type(), "InvalidRequest", "{way}: {error}");
        let said = error.to_string();
        assert!(
            said.starts_with(begin),
            "{way}: {said:?} does not begin with {begin:?}"
        );
        let organizations = ["DescribeOrganization", "DescribeAccount", "ListAccounts"];
        for call in sandbox.ledger() {
            let reads = organizations.contains(&call.operation.as_str())
                || way == "EventBridge" && call.operation == "DescribeImages";
            assert!(reads, "{way}: {} was called", call.operation);
        }
        assert_closed(&sandbox);
    }
}

fn two() -> World {
    world(&TWO)
}

/// Returns a world whose management account is the source, with two accounts in the team's unit,
/// one of them suspended, and one outside.
fn organized() -> World {
    organized_by(SOURCE)
}

fn organized_by(management: &str) -> World {
    let organization = Organization::new(ORG, management, "r-ab12").unit(TEAM, "team", "r-ab12");
    World::new()
        .copy_mib_per_second(4096.0)
        .organization(organization)
        .account(producer().parent("r-ab12"))
        .account(consumer(ONE, &[HOME]).parent(TEAM))
        .account(
            consumer("333333333333", &[HOME])
                .parent(TEAM)
                .state("SUSPENDED"),
        )
        .account(consumer("555555555555", &[HOME]).parent("r-ab12"))
        .account(consumer(OUTSIDER, &[HOME]))
}

fn copy_to(account: &str) -> Value {
    json!({"SourceImageId": AMI, "Targets": [{"AccountId": account, "KmsKeyId": "alias/amis"}]})
}

fn share_with(account: &str) -> Value {
    json!({"SourceImageId": AMI, "Mode": "Share", "Targets": [{"AccountId": account}]})
}

#[tokio::test(start_paused = true)]
async fn an_account_not_listed_is_refused_in_every_event_shape() {
    let settings = bounded("333333333333", "", "true");
    let begin = "AMIFERRY_ALLOWED_ACCOUNTS: does not list 222222222222,";
    for words in [request(&TWO), share_with(ONE)] {
        refused_by_every_way(&words, &settings, begin, two).await;
    }
}

#[tokio::test(start_paused = true)]
async fn lasting_permissions_are_refused_in_every_event_shape_unless_allowed_and_bounded() {
    let kept = with(copy_to(ONE), "RevokeAfterCopy", json!("false"));
    for (words, what) in [
        (share_with(ONE), "Mode: Share"),
        (kept, "RevokeAfterCopy: false"),
    ] {
        let begin = format!("AMIFERRY_ALLOW_SHARE: is not true, so {what} is refused");
        refused_by_every_way(&words, &bounded(ONE, "", ""), &begin, two).await;
        let begin = "AMIFERRY_ALLOWED_ACCOUNTS: is not set, and neither is";
        refused_by_every_way(&words, &bounded("", "", "true"), begin, two).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_audience_of_another_organization_is_refused_in_every_event_shape() {
    let words = |key: &str, value: &str| {
        json!({"SourceImageId": AMI, key: value,
        "TargetKmsKeyIds": "alias/amis"})
    };
    let begin = "AMIFERRY_ALLOWED_ORGANIZATION: is o-zzzzzzzzzz, but";
    let elsewhere = bounded("", OTHER_ORG, "true");
    for (key, value) in [("OrganizationId", ORG), ("OrganizationalUnitIds", TEAM)] {
        refused_by_every_way(&words(key, value), &elsewhere, begin, organized).await;
        let mut share = words(key, value);
        share["Mode"] = json!("Share");
        share
            .as_object_mut()
            .expect("an object")
            .remove("TargetKmsKeyIds");
        refused_by_every_way(&share, &elsewhere, begin, organized).await;
        // A list of accounts does not bound an audience, which the request names as such.
        let begin = "AMIFERRY_ALLOWED_ORGANIZATION: is not set";
        refused_by_every_way(&share, &bounded(ONE, "", "true"), begin, organized).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_outside_the_organization_is_refused_where_organizations_can_be_read() {
    let settings = bounded("", ORG, "true");
    for (account, words) in [
        (OUTSIDER, copy_to(OUTSIDER)),
        (OUTSIDER, share_with(OUTSIDER)),
        // This account is suspended.
        ("333333333333", copy_to("333333333333")),
    ] {
        let begin = format!("AMIFERRY_ALLOWED_ORGANIZATION: is {ORG}, of which {account} is no");
        refused_by_every_way(&words, &settings, &begin, organized).await;
    }
}

/// The source account is a plain member, to which Organizations denies its lists.
#[tokio::test(start_paused = true)]
async fn unreadable_organizations_refuses_a_share_and_leaves_a_copy_to_iam() {
    let world = || organized_by("555555555555");
    let settings = bounded("", ORG, "true");
    let begin = format!("AMIFERRY_ALLOWED_ORGANIZATION: cannot be checked for {ONE}");
    refused_by_every_way(&share_with(ONE), &settings, &begin, world).await;
    let kept = with(copy_to(ONE), "RevokeAfterCopy", json!(false));
    refused_by_every_way(&kept, &settings, &begin, world).await;
    let sandbox = Sandbox::new(world());
    let reply = ask(&sandbox, &settings, &json!({"Distribute": copy_to(ONE)})).await;
    let reply = reply.expect("left to IAM");
    assert!(
        ["Continue", "Succeeded"]
            .map(Value::from)
            .contains(&reply["Status"]),
        "{reply}"
    );
    // An account in the list needs no answer of Organizations.
    let sandbox = Sandbox::new(world());
    let listed = bounded(ONE, ORG, "true");
    let reply = ask(&sandbox, &listed, &json!({"Distribute": share_with(ONE)})).await;
    assert_eq!(reply.expect("listed")["Status"], "Succeeded");
    assert_eq!(calls(&sandbox, "DescribeOrganization"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_within_the_settings_succeeds() {
    let kept = with(copy_to(ONE), "RevokeAfterCopy", json!(false));
    let audience = json!({"SourceImageId": AMI, "OrganizationId": ORG, "Mode": "Share"});
    let unit = json!({"SourceImageId": AMI, "OrganizationalUnitIds": TEAM,
        "TargetKmsKeyIds": "alias/amis"});
    for (settings, words) in [
        (bounded("", "", ""), copy_to(ONE)),
        (bounded(ONE, "", ""), copy_to(ONE)),
        (bounded("", ORG, ""), copy_to(ONE)),
        // Either setting suffices.
        (bounded(OUTSIDER, ORG, ""), copy_to(ONE)),
        (bounded(OUTSIDER, ORG, ""), copy_to(OUTSIDER)),
        (bounded(ONE, "", "true"), share_with(ONE)),
        (bounded("", ORG, "true"), share_with(ONE)),
        (bounded(ONE, "", "true"), kept),
        (bounded("", ORG, "true"), audience),
        (bounded("", ORG, ""), unit),
    ] {
        let sandbox = Sandbox::new(organized());
        let mut event = json!({ "Distribute": words });
        let reply = loop {
            let reply = ask(&sandbox, &settings, &event).await.expect("allowed");
            if reply["Status"] != "Continue" {
                break reply;
            }
            let seconds = reply["WaitSeconds"].as_u64().expect("WaitSeconds");
            tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
            event = json!({"State": reply["State"]});
        };
        assert_eq!(
            reply["Status"], "Succeeded",
            "{words} with {settings:?}: {reply}"
        );
    }
}

/// Settings that have become narrower or malformed do not block the end of a share.
#[tokio::test(start_paused = true)]
async fn a_share_can_be_closed_under_any_settings() {
    for settings in [
        bounded("", "", ""),
        bounded("x", "y", "z"),
        bounded(OUTSIDER, OTHER_ORG, ""),
    ] {
        let sandbox = Sandbox::new(two());
        let share = json!({"Distribute": share_with(ONE)});
        let given = call(&sandbox, &share).await.expect("shared");
        assert_eq!(given["Status"], "Succeeded", "{given}");
        let mut back = share.clone();
        back["Distribute"]["Unshare"] = json!(true);
        let reply = loop {
            let reply = ask(&sandbox, &settings, &back).await.expect("taken back");
            if reply["Status"] != "Continue" {
                break reply;
            }
            tokio::time::sleep(std::time::Duration::from_secs(20)).await;
            back = json!({"State": reply["State"]});
        };
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        assert_closed(&sandbox);
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_setting_refuses_every_request_and_is_named() {
    let malformed = |change: fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        settings
    };
    for (settings, begin) in [
        (
            malformed(|s| s.allowed_accounts = Some("222222222222;333333333333".to_owned())),
            "AMIFERRY_ALLOWED_ACCOUNTS: ",
        ),
        (
            malformed(|s| s.allowed_organization = Some("r-ab12".to_owned())),
            "AMIFERRY_ALLOWED_ORGANIZATION: ",
        ),
        (
            malformed(|s| s.allow_share = Some("yes".to_owned())),
            "AMIFERRY_ALLOW_SHARE: must be true or false",
        ),
        (
            malformed(|s| s.response_hosts = Some("http://127.0.0.1".to_owned())),
            "AMIFERRY_RESPONSE_HOSTS: ",
        ),
    ] {
        refused_by_every_way(&request(&TWO), &settings, begin, two).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_without_its_bucket_distributes_and_resumes_nothing() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let state = call(&sandbox, &distribute(&TWO)).await.expect("begun")["State"].clone();
    for bucket in [None, Some(String::new()), Some("Not A Bucket".to_owned())] {
        let settings = Settings {
            bucket,
            ..settings()
        };
        let settings = with_own(&settings, &request(&TWO));
        let mut events = ways(&request(&TWO));
        events.push(("State", json!({ "State": state })));
        events.push(("Turn", json!({"State": state, "Turn": 1})));
        for (way, event) in events {
            let sandbox = Sandbox::new(two());
            opted_in(&sandbox);
            let served = ask(&sandbox, &settings, &event).await;
            if way == "Policies" {
                assert!(served.is_ok(), "{served:?}");
                continue;
            }
            let error = served.expect_err(way);
            assert_eq!(error.error_type(), "InvalidRequest", "{way}: {error}");
            assert!(
                error.to_string().starts_with("AMIFERRY_BUCKET: "),
                "{way}: {error}"
            );
            assert_eq!(sandbox.ledger().len(), 0, "{way}");
        }
    }
}

/// CloudFormation gets the refusal as its answer, with and without a state machine. A Delete
/// succeeds.
#[tokio::test(start_paused = true)]
async fn a_refused_custom_resource_is_answered_with_the_reason() {
    let no_bucket = Settings {
        bucket: None,
        ..settings()
    };
    let share = share_with(ONE);
    for (settings, words, begin) in [
        (
            bounded(OUTSIDER, "", ""),
            request(&TWO),
            "InvalidRequest: AMIFERRY_ALLOWED_ACCOUNTS: does not list",
        ),
        (
            bounded(ONE, "", ""),
            share.clone(),
            "InvalidRequest: AMIFERRY_ALLOW_SHARE: ",
        ),
        (
            bounded("x", "", ""),
            request(&TWO),
            "InvalidRequest: AMIFERRY_ALLOWED_ACCOUNTS: ",
        ),
        (
            no_bucket,
            request(&TWO),
            "InvalidRequest: AMIFERRY_BUCKET: ",
        ),
    ] {
        for machine in [None, Some(MACHINE.to_owned())] {
            let settings = Settings {
                state_machine: machine.clone(),
                ..settings.clone()
            };
            let stack = Stack::new(&TWO);
            for kind in ["Create", "Update"] {
                let mut event = stack.event(kind, &words);
                event["PhysicalResourceId"] = json!("amiferry-0123456789abcdef");
                event["OldResourceProperties"] = words.clone();
                let answer = stack.send_with(&settings, &event).await;
                assert_eq!(answer["Status"], "FAILED", "{kind}: {answer}");
                let reason = answer["Reason"].as_str().expect("a reason");
                assert!(reason.starts_with(begin), "{kind}: {reason}");
            }
            assert_eq!(stack.sandbox.ledger().len(), 0);
            if machine.is_some() && settings.bucket.is_some() {
                continue;
            }
            let mut delete = stack.event("Delete", &words);
            delete["PhysicalResourceId"] = json!("amiferry-nothing");
            let answer = stack.send_with(&settings, &delete).await;
            assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        }
    }
}

/// The settings become narrower while the run is at work.
#[tokio::test(start_paused = true)]
async fn a_state_from_broader_settings_opens_nothing_under_narrower_ones() {
    let sandbox = Sandbox::new(two());
    sandbox.set_fault(|call| match call.operation.as_str() {
        "ModifySnapshotAttribute" => amiferry_sandbox::Fault::Refuse {
            status: 503,
            code: "RequestLimitExceeded".to_owned(),
            message: "slowly".to_owned(),
        },
        _ => amiferry_sandbox::Fault::None,
    });
    let event = json!({"Distribute": copy_to(ONE)});
    let mut reply = short_call(&sandbox, &event).await;
    sandbox.clear_fault();
    while reply["Status"] == "Continue" {
        let seconds = reply["WaitSeconds"].as_u64().expect("WaitSeconds");
        tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
        let event = json!({"State": reply["State"]});
        reply = ask(&sandbox, &bounded(OUTSIDER, "", ""), &event)
            .await
            .expect("a reply");
    }
    assert_eq!(
        target(&reply, (ONE, HOME))["Cause"],
        "NotAllowed",
        "{reply}"
    );
    assert_nothing(&sandbox, &[(ONE, HOME)]);
    assert_closed(&sandbox);
}
