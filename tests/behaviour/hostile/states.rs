//! States made wrong: each is refused by name, or followed to an end. That end removes nothing of
//! others, and opens nothing to principals that the state does not name.

use std::time::Duration;

use amiferry::error::Error;
use amiferry::state::State;
use amiferry_sandbox::{Account, BlockDeviceMapping, Ebs, Image, Sandbox, Snapshot, World};
use serde_json::{Value, json};

use super::mutate::{garble, mutate};
use super::play::{Rng, play};
use super::seeds::{FOREIGN_COPY, FOREIGN_IMAGE};
use super::{is_well_said, nothing_is_public, only_looks, seeds, tells_no_secret};
use crate::support::*;

/// A snapshot in the source account that other people have shared.
const OTHER: &str = "snap-0bbbbbbbbbbbbbbb1";
const OTHERS: [&str; 2] = ["222222222222", "999999999999"];
/// The number of calls after which a run counts as endless.
const MOST_CALLS: usize = 3000;

#[test]
fn a_mutated_state_is_refused_by_name_or_does_no_harm() {
    seeds::states();
    play("states", 100, |rng| Box::pin(one(rng)));
}

/// Returns a world with a snapshot of the source account that others may use, and an image in a
/// target that no run made. Some states claim both.
fn a_world_with_others() -> World {
    let mut other = Snapshot::new(HOME, OTHER, 8).key(SOURCE_KEY);
    other
        .create_volume_permissions
        .extend(OTHERS.map(str::to_owned));
    let world = World::new()
        .copy_mib_per_second(4096.0)
        .account(producer().snapshot(other));
    let place = TWO[0];
    let theirs = Snapshot::new(place.1, FOREIGN_COPY, 8).key(&key_arn(place));
    let image = Image::new(place.1, FOREIGN_IMAGE, "theirs")
        .mapping(BlockDeviceMapping::ebs(
            "/dev/xvda",
            Ebs::snapshot(FOREIGN_COPY),
        ))
        .with(|image| image.root_device_name = Some("/dev/xvda".to_owned()));
    let accounts: [Account; 3] = [
        consumer("222222222222", &[HOME, "us-east-1"])
            .snapshot(theirs)
            .image(image),
        consumer("333333333333", &[HOME, "us-east-1"]),
        consumer("444444444444", &["eu-west-1"]),
    ];
    accounts.into_iter().fold(world, World::account)
}

async fn one(rng: &mut Rng) -> Result<String, String> {
    let mut state = rng
        .choice(seeds::states())
        .cloned()
        .expect("there are seeds");
    for _ in 0..rng.u8(0..4) {
        mutate(rng, &mut state);
    }
    let mut payload = json!({ "State": state }).to_string();
    if rng.u8(0..10) == 0 {
        garble(rng, &mut payload);
    }
    if std::env::var_os("AMIFERRY_FUZZ_SEED").is_some() {
        println!("{payload}");
    }
    let sandbox = Sandbox::new(a_world_with_others());
    let ended = drive(&sandbox, &payload).await;
    let checked = ended.and_then(|word| check(&sandbox, &payload).map(|()| word));
    checked.map_err(|said| {
        let shown: String = payload.chars().take(3000).collect();
        format!("{said}\nPayload: {shown}")
    })
}

async fn drive(sandbox: &Sandbox, payload: &str) -> Result<String, String> {
    let mut payload = payload.to_owned();
    let mut errors = 0;
    for _ in 0..MOST_CALLS {
        let called = function(sandbox)
            .await
            .handle(&payload, &invocation(sandbox))
            .await;
        match called {
            Ok(reply) => {
                tells_no_secret("a reply", &reply.to_string())?;
                if reply["Status"] != "Continue" {
                    return Ok(reply["Status"].as_str().unwrap_or("(no status)").to_owned());
                }
                let again = State::open(&reply["State"]);
                again.map_err(|e| format!("the function refuses its own state: {e}"))?;
                let wait = reply["WaitSeconds"]
                    .as_u64()
                    .filter(|s| (1..=600).contains(s));
                let wait = wait.ok_or_else(|| format!("waits for {}", reply["WaitSeconds"]))?;
                tokio::time::sleep(Duration::from_secs(wait)).await;
                payload = json!({"State": reply["State"]}).to_string();
            }
            Err(error) => {
                is_well_said(&error)?;
                let passing = matches!(error, Error::Throttled(_) | Error::Internal(_));
                errors += 1;
                if !passing || errors > 3 {
                    let refused = matches!(error.error_type(), "InvalidRequest" | "InvalidState");
                    if refused && !sandbox.ledger().is_empty() {
                        return Err(format!("calls were made before {error}"));
                    }
                    return Ok(error.error_type().to_owned());
                }
            }
        }
    }
    Err(format!("does not end: {MOST_CALLS} calls"))
}

/// Checks that the things of others are untouched, and that nothing was opened beyond the payload.
fn check(sandbox: &Sandbox, payload: &str) -> Result<(), String> {
    nothing_is_public(sandbox)?;
    let (account, region) = TWO[0];
    let theirs = sandbox
        .images(account, region)
        .into_iter()
        .find(|i| i.image_id == FOREIGN_IMAGE);
    let snapshot = sandbox
        .snapshots(account, region)
        .into_iter()
        .find(|s| s.snapshot_id == FOREIGN_COPY);
    if theirs.is_none_or(|i| !i.tags.is_empty()) || snapshot.is_none_or(|s| !s.tags.is_empty()) {
        return Err(
            "an image or snapshot that is none of ours was taken away or tagged".to_owned(),
        );
    }
    let other = sandbox
        .snapshots(SOURCE, HOME)
        .into_iter()
        .find(|s| s.snapshot_id == OTHER);
    let permitted = other
        .map(|s| s.create_volume_permissions)
        .unwrap_or_default();
    if !OTHERS
        .iter()
        .all(|account| permitted.iter().any(|p| p == account))
    {
        return Err(format!(
            "a snapshot that is none of the image's lost its permissions: {permitted:?}"
        ));
    }
    if permitted.len() != OTHERS.len() {
        return Err(format!(
            "a snapshot that is none of the image's is shared: {permitted:?}"
        ));
    }
    only_named_principals_were_permitted(sandbox, payload)
}

/// Checks that no call gave anything to a principal that the payload does not name, or changed the
/// snapshot of others.
fn only_named_principals_were_permitted(sandbox: &Sandbox, payload: &str) -> Result<(), String> {
    for call in sandbox
        .ledger()
        .iter()
        .filter(|call| !only_looks(&call.operation))
    {
        let given = call
            .params
            .get("OperationType")
            .is_some_and(|operation| operation == "add");
        let users = call
            .params
            .iter()
            .filter(|(key, _)| key.starts_with("UserId."));
        for (_, user) in users.filter(|_| given) {
            if !payload.contains(user.as_str()) {
                return Err(format!(
                    "{user} was permitted, and the payload does not name it"
                ));
            }
        }
        if call.params.values().any(|value| value.contains(OTHER)) {
            return Err(format!(
                "{} of a snapshot that is none of the image's",
                call.operation
            ));
        }
    }
    Ok(())
}

/// The state lost a part on its way.
#[test]
fn an_error_about_a_wrong_state_quotes_only_part_of_it() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        let sandbox = Sandbox::new(world(&TWO));
        let long = "x".repeat(100_000);
        for (pointer, value) in [
            ("", json!({ &*long: 1 })),
            ("/Phase", json!(long)),
            ("/Source/ImageId", json!(long)),
            (
                "/Targets/0/Phase",
                json!("Copying\n2026-01-01 INFO all is well"),
            ),
            (
                "/Targets/0/Phase",
                json!({"Stuck": {"Why": "", "Left": ["snap-1; rm -rf /"]}}),
            ),
            ("/Source/Keys", json!(["*"])),
            ("/Order/Tags", json!({"amiferry:run": "x"})),
            ("/Execution", json!("x,+999999999999")),
        ] {
            let mut state: Value = seeds::states()[2].clone();
            match (state.pointer_mut(pointer), pointer) {
                (Some(Value::Object(object)), "") => {
                    object.extend(value.as_object().cloned().unwrap_or_default());
                }
                (Some(here), _) => *here = value,
                (None, _) => {
                    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
                    state.pointer_mut(parent).expect("its parent")[key] = value;
                }
            }
            let error = call(&sandbox, &json!({ "State": state }))
                .await
                .expect_err(pointer);
            assert_eq!(error.error_type(), "InvalidState", "{pointer}: {error}");
            is_well_said(&error).unwrap_or_else(|said| panic!("{pointer}: {said}"));
        }
        assert_eq!(sandbox.ledger().len(), 0);
    });
}

/// The state names snapshots and keys of the source account that are not the image's. A caller of
/// the function may have images distributed, not everything that its role could open.
#[test]
fn a_state_with_a_forged_source_opens_it_to_nobody() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        let another = "arn:aws:kms:us-west-2:111111111111:key/11111111-aaaa-bbbb-cccc-00000000000f";
        let only_keys = json!([ROOT, DATA]);
        for (snapshots, keys, image) in [
            (json!([OTHER]), json!([SOURCE_KEY]), AMI),
            (json!([OTHER]), json!([SOURCE_KEY]), "ami-00000000000000000"),
            (only_keys, json!([SOURCE_KEY, another]), AMI),
        ] {
            for share in [Value::Null, json!({"Snapshots": true})] {
                let sandbox = Sandbox::new(a_world_with_others());
                let mut state = seeds::states()[2].clone();
                state["Phase"] = json!("Sharing");
                state["Source"]["Snapshots"] = snapshots.clone();
                state["Source"]["Keys"] = keys.clone();
                state["Source"]["ImageId"] = json!(image);
                state["Order"]["RevokeAfterCopy"] = json!(false);
                state["Order"]["Share"] = share;
                state["Targets"] = json!([{"AccountId": "333333333333", "Region": HOME,
                    "RoleName": "AmiCopyRole", "Phase": "Ready"}]);
                let payload = json!({ "State": state }).to_string();
                let ended = drive(&sandbox, &payload).await.expect("an end");
                // A run is stuck if a resource that it wants to close does not exist.
                assert!(["Failed", "Stuck"].contains(&&*ended), "{ended}: {payload}");
                for operation in [
                    "ModifySnapshotAttribute",
                    "ModifyImageAttribute",
                    "CreateGrant",
                ] {
                    assert_eq!(calls(&sandbox, operation), 0, "{operation} for {payload}");
                }
            }
        }
    });
}

/// The caller's clock was wrong, or the state was written by hand. The function neither waits nor
/// stops asking until then.
#[tokio::test(start_paused = true)]
async fn times_in_the_future_in_a_state_are_brought_back_to_now() {
    let sandbox = Sandbox::new(a_world_with_others());
    let mut state = seeds::states()[2].clone();
    let later = sandbox.now() + Duration::from_hours(300 * 24);
    let later = later
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    state["Sharing"]["At"] = json!(later);
    for (of, key) in [("Work", "Since"), ("Work", "LastStart"), ("Pace", "Due")] {
        state["Targets"][0][of][key] = json!(later);
    }
    state["Started"] = json!(later);
    let payload = json!({ "State": state }).to_string();
    let ended = tokio::time::timeout(Duration::from_hours(1), drive(&sandbox, &payload)).await;
    ended.expect("it ends within the hour").expect("an end");
    assert!(
        sandbox.ledger().len() < 1000,
        "{} calls",
        sandbox.ledger().len()
    );
}
