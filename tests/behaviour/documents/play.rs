//! Plays every step that a request may take. A copy breaks and is made again, a target fails and
//! succeeds later, and the same request is sent again at the end.

use std::collections::BTreeSet;
use std::time::Duration;

use amiferry::ids::{AccountId, Region};
use amiferry::plan;
use amiferry::request::{Defaults, Request};
use amiferry::state::SourceRef;
use amiferry_sandbox::Sandbox;
use aws_credential_types::Credentials;
use serde_json::{Value, json};

use super::{ACCOUNT, FIRST, SECOND};
use crate::launch_grants::{SCALING, arn, launches, runs};
use crate::support::*;

/// Drives a call to its end, with an act between the steps.
async fn drive(
    sandbox: &Sandbox,
    event: &Value,
    mut meanwhile: impl FnMut(&Sandbox),
) -> Result<Value, String> {
    let mut event = event.clone();
    for _ in 0..500 {
        let reply = call(sandbox, &event).await;
        let reply = reply.map_err(|e| e.error_type().to_owned())?;
        if reply["Status"] != "Continue" {
            return Ok(reply);
        }
        meanwhile(sandbox);
        let wait = reply["WaitSeconds"].as_u64().expect("a number");
        tokio::time::sleep(Duration::from_secs(wait)).await;
        event = json!({"State": reply["State"]});
    }
    Err("no end".to_owned())
}

/// Describes an answer in a few words.
fn brief(reply: &Value) -> String {
    let mut words = vec![reply["Status"].as_str().unwrap_or_default().to_owned()];
    let targets = reply["Result"]["Targets"].as_array();
    for target in targets.into_iter().flatten() {
        let word = target["Cause"].as_str().or(target["Status"].as_str());
        let region = target["Region"].as_str().unwrap_or_default();
        words.push(format!("{region} {}", word.unwrap_or_default()));
    }
    words.join(", ")
}

fn expect(what: &str, is: &str, wanted: &str) -> Result<(), String> {
    if is == wanted {
        Ok(())
    } else {
        Err(format!("{what}: {is}"))
    }
}

/// Checks that nothing is open at the source.
fn closed(sandbox: &Sandbox) -> Result<(), String> {
    for snapshot in sandbox.snapshots(SOURCE, HOME) {
        if !snapshot.create_volume_permissions.is_empty() {
            return Err("a snapshot is left open".to_owned());
        }
    }
    if !sandbox.images(SOURCE, HOME)[0]
        .launch_permissions
        .is_empty()
    {
        return Err("the image is left open".to_owned());
    }
    let grants = sandbox.grants(SOURCE_KEY).len();
    expect("grants left", &grants.to_string(), "0")
}

/// Checks that nothing is open, and that a later sweep forgets the run.
async fn swept(sandbox: &Sandbox) -> Result<(), String> {
    closed(sandbox)?;
    tokio::time::sleep(Duration::from_hours(1)).await;
    drive(sandbox, &json!({"Sweep": {}}), |_| {}).await?;
    Ok(())
}

fn count(sandbox: &Sandbox, place: Place, images: usize, snapshots: usize) -> Result<(), String> {
    let there = (
        sandbox.images(place.0, place.1).len(),
        sandbox.snapshots(place.0, place.1).len(),
    );
    let wanted = (images, snapshots);
    let (there, wanted) = (format!("{there:?}"), format!("{wanted:?}"));
    expect("images and snapshots", &there, &wanted)
}

/// Plays every step that the request may take.
pub async fn play(sandbox: &Sandbox, wish: &Value) -> Result<(), String> {
    // Roles and policies take a while to show everywhere.
    tokio::time::sleep(Duration::from_mins(1)).await;
    if wish["Mode"] == "Share" {
        play_share(sandbox, wish).await
    } else {
        play_copy(sandbox, wish).await
    }
}

async fn play_copy(sandbox: &Sandbox, wish: &Value) -> Result<(), String> {
    let event = json!({ "Distribute": wish });
    let mut broken = BTreeSet::new();
    let reply = drive(sandbox, &event, |sandbox| {
        sandbox.edit(|aws| {
            for copy in aws.pending_copies() {
                let Some(made) = aws.snapshot(&copy) else {
                    continue;
                };
                // Breaks one copy of each account, and every copy of the second target.
                let second = made.owner_id == ACCOUNT && made.region == SECOND.1;
                if second || broken.insert(made.owner_id) {
                    aws.fail_copy(&copy, "internal error");
                }
            }
        });
    })
    .await?;
    let wanted = "PartiallySucceeded, us-west-2 Succeeded, us-east-1 CopyFailed";
    expect("first", &brief(&reply), wanted)?;
    count(sandbox, FIRST, 1, 2)?;
    count(sandbox, SECOND, 0, 0)?;
    closed(sandbox)?;
    let reply = drive(sandbox, &event, |_| {}).await?;
    let wanted = "Succeeded, us-west-2 Succeeded, us-east-1 Succeeded";
    expect("second", &brief(&reply), wanted)?;
    count(sandbox, FIRST, 1, 2)?;
    count(sandbox, SECOND, 1, 2)?;
    closed(sandbox)?;
    let run = reply["Result"]["RunId"].as_str().expect("a run");
    // An Update's first call names its source, which is known for the usual image only.
    if wish["ReencryptKmsKeyId"].is_null() {
        retagged(sandbox, wish, run).await?;
    }
    let reply = drive(sandbox, &deletion(sandbox, wish, run), |_| {}).await?;
    expect(
        "Delete",
        reply["Status"].as_str().unwrap_or_default(),
        "Succeeded",
    )?;
    for place in [FIRST, SECOND] {
        count(sandbox, place, 0, 0)?;
        let grants = sandbox.grants(&key_arn(place)).len();
        expect("grants to launch left", &grants.to_string(), "0")?;
    }
    swept(sandbox).await
}

async fn retagged(sandbox: &Sandbox, wish: &Value, run: &str) -> Result<(), String> {
    let reply = drive(sandbox, &retagging(sandbox, wish, run), |_| {}).await?;
    let wanted = "Succeeded, us-west-2 Succeeded, us-east-1 Succeeded";
    expect("Update", &brief(&reply), wanted)?;
    let tags = &sandbox.images(FIRST.0, FIRST.1)[0].tags;
    let tags = (tags.get("stage").map(String::as_str), tags.get("team"));
    expect("tags", &format!("{tags:?}"), r#"(Some("prod"), None)"#)
}

/// Returns the first call of a custom resource's Update that sets one tag and removes a tag of the
/// source.
fn retagging(sandbox: &Sandbox, wish: &Value, run: &str) -> Value {
    let mut event = deletion(sandbox, wish, run);
    let state = &mut event["State"];
    for target in state["Targets"].as_array_mut().expect("targets") {
        target["Phase"] = json!("Looking");
    }
    state["Order"]["Tags"] = json!({"stage": "prod"});
    state["Order"]["CopyTags"] = json!(false);
    state["Order"]["Retag"] = json!({"Former": {"stage": null}, "CopyTags": true});
    event
}

/// Returns the first call of a custom resource's Delete with `OnDelete: Deregister`.
fn deletion(sandbox: &Sandbox, wish: &Value, run: &str) -> Value {
    let defaults = Defaults {
        region: Region::parse(HOME).expect("a Region"),
        account: None,
    };
    let request = Request::parse(wish, &defaults).expect("a request");
    let account = |id: &str| AccountId::parse(id).expect("an account");
    let request = request.with_members(&[account(ACCOUNT)], &account(SOURCE));
    let request = request.expect("targets");
    let source = json!({"ImageId": AMI, "Region": HOME, "AccountId": SOURCE,
        "Snapshots": [ROOT, DATA], "Keys": [SOURCE_KEY]});
    let source: SourceRef = serde_json::from_value(source).expect("a source");
    let now = sandbox.now().duration_since(std::time::UNIX_EPOCH);
    let now = i64::try_from(now.expect("after 1970").as_secs()).expect("seconds");
    json!({"State": plan::withdraw(&request, source, false, run, now)})
}

async fn play_share(sandbox: &Sandbox, wish: &Value) -> Result<(), String> {
    let reply = drive(sandbox, &json!({ "Distribute": wish }), |_| {}).await?;
    // A share with an organization must not list its accounts.
    let named = wish["TargetAccountIds"].is_array() || wish["ServiceLinkedRoles"].is_array();
    let wanted = if named {
        "Succeeded, us-west-2 Succeeded"
    } else {
        "Succeeded"
    };
    expect("Share", &brief(&reply), wanted)?;
    let admin = Credentials::new("AKIAADMIN222222222222", "admin-secret", None, None, "test");
    if !runs(sandbox, admin, FIRST, AMI).await {
        return Err("the account does not launch".to_owned());
    }
    if !wish["ServiceLinkedRoles"].is_null()
        && !launches(sandbox, &arn(ACCOUNT, SCALING), HOME, AMI).await
    {
        return Err("Auto Scaling does not launch".to_owned());
    }
    let mut back = wish.clone();
    back["Unshare"] = json!(true);
    let reply = drive(sandbox, &json!({ "Distribute": back }), |_| {}).await?;
    expect(
        "Unshare",
        reply["Status"].as_str().unwrap_or_default(),
        "Succeeded",
    )?;
    swept(sandbox).await
}
