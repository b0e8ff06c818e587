//! Variations of other cases: tags of any characters, one odd snapshot among three, shares in place
//! of copies, and custom resources in place of calls.

use amiferry::error::Error;
use amiferry_sandbox::{Account, BlockDeviceMapping, Ebs, Key, Sandbox, Snapshot, World};
use serde_json::{Map, Value, json};

use crate::custom_resource::Stack;
use crate::preflight::{found, look, looked_into};
use crate::support::*;

const TARGET: Place = ("222222222222", HOME);
const ABROAD: Place = ("222222222222", "us-east-1");
const THIRD: &str = "snap-0123456789abcdef2";
const ODD_KEY_ID: &str = "11111111-aaaa-bbbb-cccc-000000000009";

/// EC2 takes any character in a tag's value: 256 of them, or none.
fn values() -> Vec<String> {
    let given = [
        "",
        " leading and trailing ",
        "a&b<c>d\"e'f",
        "line\nbreak\ttab",
        "100% + 1/3 = ?&#;",
        "größer 漢字 🦀",
        "{name}-{image}",
        "$.State ${Var} \\",
        "-_.:/=+@",
    ];
    let given = given.into_iter().map(str::to_owned);
    given.chain(["ü".repeat(256)]).collect()
}

#[tokio::test(start_paused = true)]
async fn tag_values_of_any_characters_are_carried_over_unchanged() {
    let named = values().into_iter().enumerate();
    let tags: Vec<(String, String)> = named
        .map(|(n, value)| (format!("cost/ü {n}"), value))
        .collect();
    for (place, asked) in [
        (TARGET, false),
        (TARGET, true),
        (ABROAD, false),
        (ABROAD, true),
    ] {
        let mut source = producer();
        let mut wish = request(&[place]);
        if asked {
            let given = tags.iter().map(|(key, value)| (key.clone(), json!(value)));
            wish["Tags"] = Value::Object(given.collect::<Map<_, _>>());
        } else {
            source.images[0].tags.extend(tags.clone());
            source.snapshots[0].tags.extend(tags.clone());
        }
        let sandbox = Sandbox::new(world_with(source, &[place]));
        let reply = to_the_end(&sandbox, &json!({ "Distribute": wish })).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        let image = &sandbox.images(place.0, place.1)[0].tags;
        let snapshots = sandbox.snapshots(place.0, place.1);
        let root = snapshots.iter().find(|s| s.tags.contains_key("part"));
        let root = &root.expect("the copy of the root").tags;
        for (key, value) in &tags {
            assert_eq!(image.get(key), Some(value), "the image's {key}");
            assert_eq!(root.get(key), Some(value), "the snapshot's {key}");
        }
    }
}

/// An odd snapshot, and the expected outcome of each kind of request.
struct Odd {
    made: fn(&mut Account, &mut Snapshot),
    /// The words of the refusal to copy, or to share.
    copying: Option<&'static str>,
    sharing: Option<&'static str>,
}

fn odd_key() -> Key {
    Key::new(HOME, ODD_KEY_ID)
}

fn odd_key_arn() -> String {
    format!("arn:aws:kms:{HOME}:{SOURCE}:key/{ODD_KEY_ID}")
}

const ODDITIES: [Odd; 6] = [
    Odd {
        made: |_, _| {},
        copying: None,
        sharing: None,
    },
    Odd {
        made: |_, snapshot| snapshot.kms_key_arn = None,
        copying: None,
        sharing: None,
    },
    Odd {
        made: |account, snapshot| {
            account.keys.push(odd_key());
            snapshot.kms_key_arn = Some(odd_key_arn());
        },
        copying: None,
        sharing: None,
    },
    Odd {
        made: |account, snapshot| {
            account.keys.push(odd_key().state("Disabled"));
            snapshot.kms_key_arn = Some(odd_key_arn());
        },
        copying: Some("aws kms enable-key"),
        sharing: Some("aws kms enable-key"),
    },
    Odd {
        made: |_, snapshot| snapshot.kms_key_arn = Some("alias/aws/ebs".to_owned()),
        copying: Some("aws ec2 copy-image"),
        sharing: Some("aws ec2 copy-image"),
    },
    Odd {
        made: |_, snapshot| "archive".clone_into(&mut snapshot.storage_tier),
        copying: Some("restore-snapshot-tier"),
        sharing: Some("restore-snapshot-tier"),
    },
];

/// Three snapshots, of which the last is odd.
fn source_with(odd: &Odd) -> Account {
    let mut source = producer();
    let mut third = Snapshot::new(HOME, THIRD, 4).key(SOURCE_KEY);
    (odd.made)(&mut source, &mut third);
    if third.kms_key_arn.is_none() {
        third.encrypted = false;
    }
    let ebs = Ebs::snapshot(THIRD).gp3(4, 3000, 125);
    let mapping = BlockDeviceMapping::ebs("/dev/sdd", ebs);
    source.images[0].block_device_mappings.push(mapping);
    source.snapshot(third)
}

fn wishes(odd: &Odd) -> [(Value, Option<&'static str>); 3] {
    let share = json!({"SourceImageId": AMI, "Mode": "Share", "TargetAccountIds": [TARGET.0]});
    [
        (request(&[TARGET]), odd.copying),
        (request(&[ABROAD]), odd.copying),
        (share, odd.sharing),
    ]
}

fn world_of(source: Account, wish: &Value) -> World {
    let region = wish["Targets"][0]["Region"].as_str().unwrap_or(HOME);
    let mut target = looked_into(TARGET.0);
    if region != HOME {
        target = consumer(TARGET.0, &[ABROAD.1]);
    }
    let world = World::new().copy_mib_per_second(4096.0);
    world.account(source).account(target)
}

#[tokio::test(start_paused = true)]
async fn one_odd_snapshot_of_three_is_copied_or_named() {
    for odd in &ODDITIES {
        for (wish, refused) in wishes(odd) {
            let sandbox = Sandbox::new(world_of(source_with(odd), &wish));
            let looked = look(&sandbox, &wish).await;
            let played = call(&sandbox, &json!({ "Distribute": wish })).await;
            let Some(remedy) = refused else {
                assert_eq!(looked["Status"], "Ready", "{looked}");
                let reply = match played {
                    Ok(reply) if reply["Status"] == "Continue" => {
                        to_the_end(&sandbox, &json!({"State": reply["State"]})).await
                    }
                    played => played.expect("a reply"),
                };
                assert_eq!(reply["Status"], "Succeeded", "{reply}");
                continue;
            };
            let error = played.expect_err("refused");
            assert!(matches!(error, Error::InvalidRequest { .. }), "{error}");
            let finding = found(&looked, "Source").unwrap_or_else(|| panic!("{looked}"));
            let reason = finding["Reason"].as_str().unwrap_or_default();
            assert!(reason.contains(THIRD) && !reason.contains(ROOT), "{reason}");
            assert!(
                finding["Remedy"]
                    .as_str()
                    .is_some_and(|r| r.contains(remedy)),
                "{finding}"
            );
            let said = error.to_string();
            assert!(said.contains(THIRD) && said.contains(remedy), "{said}");
            assert_nothing(&sandbox, &[TARGET, ABROAD]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_custom_resource_gets_the_answer_that_a_call_gets() {
    for odd in &ODDITIES {
        for (wish, refused) in wishes(odd) {
            let stack = Stack::of(world_of(source_with(odd), &wish));
            let answer = stack.send(&stack.event("Create", &wish)).await;
            let Some(remedy) = refused else {
                assert_eq!(answer["Status"], "SUCCESS", "{answer}");
                continue;
            };
            assert_eq!(answer["Status"], "FAILED", "{answer}");
            let reason = answer["Reason"].as_str().unwrap_or_default();
            assert!(
                reason.contains(THIRD) && reason.contains(remedy),
                "{reason}"
            );
        }
    }
}
