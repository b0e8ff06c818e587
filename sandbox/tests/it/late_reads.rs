//! Reads that show a change late, each kind by a delay of its own, while the change is in effect.

use std::collections::BTreeSet;
use std::time::Duration;

use amiferry_sandbox::world::LateReads;
use serde_json::json;

use crate::client::{Client, Params};
use crate::launching::launch;
use crate::worlds::{Bench, CONSUMER, IMAGE, PRODUCER, ROOT, SOURCE_KEY, UNSHARED, WEST, world};

const DELAY: Duration = Duration::from_secs(20);
/// The moment `TICK` before `DELAY` has passed.
const JUST_BEFORE: Duration = Duration::from_millis(19_999);
const TICK: Duration = Duration::from_millis(1);
const GRANTEE: &str = "arn:aws:iam::222222222222:user/admin";

const TAGS: [&str; 3] = ["image tag", "snapshot tag", "tag filter"];
const PERMISSIONS: [&str; 2] = ["createVolumePermission", "launchPermission"];
const GRANTS: [&str; 1] = ["grant"];
const IMAGES: [&str; 1] = ["image by ID"];
const SNAPSHOTS: [&str; 1] = ["snapshot by ID"];
const LISTINGS: [&str; 2] = ["image in a listing", "snapshot in a listing"];

pub fn all() -> BTreeSet<&'static str> {
    let kinds: [&[&str]; 6] = [&TAGS, &PERMISSIONS, &GRANTS, &IMAGES, &SNAPSHOTS, &LISTINGS];
    kinds.into_iter().flatten().copied().collect()
}

/// The resources of a test, by ID.
pub struct Made {
    image: String,
    snapshot: String,
    grant: String,
}

pub async fn change(client: &Client, action: &str, params: Params<'_>) {
    client.ec2(action, params).await.ok();
}

const STAGE: [(&str, &str); 2] = [("ResourceId.1", IMAGE), ("ResourceId.2", ROOT)];

/// Makes a change for every kind of read. Registering the image proves that the copy is in effect.
pub async fn make(bench: &Bench) -> Made {
    let tag = [("Tag.1.Key", "stage"), ("Tag.1.Value", "new")];
    change(&bench.producer, "CreateTags", &[STAGE, tag].concat()).await;
    let open = |id, of| [(id, of), ("OperationType", "add"), ("UserId.1", CONSUMER)];
    let (snapshot, image) = (open("SnapshotId", UNSHARED), open("ImageId", IMAGE));
    change(&bench.producer, "ModifySnapshotAttribute", &snapshot).await;
    change(&bench.producer, "ModifyImageAttribute", &image).await;
    let grant =
        json!({"KeyId": SOURCE_KEY, "GranteePrincipal": GRANTEE, "Operations": ["DescribeKey"]});
    let grant = bench.producer.kms("CreateGrant", grant).await.ok().json();
    let snapshot = bench.copy().await;
    assert!(bench.sandbox.edit(|aws| aws.complete_copy(&snapshot)));
    let root = [("BlockDeviceMapping.1.Ebs.SnapshotId", snapshot.as_str())];
    let image = bench.register("late", &root).await.ok().text("imageId");
    Made {
        image: image.expect("an image"),
        grant: grant["GrantId"].as_str().expect("a grant").to_owned(),
        snapshot,
    }
}

/// Takes back every change of `make`.
pub async fn unmake(bench: &Bench, made: &Made) {
    let tag = [("Tag.1.Key", "stage")];
    let params: Vec<_> = STAGE.into_iter().chain(tag).collect();
    change(&bench.producer, "DeleteTags", &params).await;
    let close = |id, of| {
        [
            (id, of),
            ("OperationType", "remove"),
            ("UserId.1", CONSUMER),
        ]
    };
    let (snapshot, image) = (close("SnapshotId", UNSHARED), close("ImageId", IMAGE));
    change(&bench.producer, "ModifySnapshotAttribute", &snapshot).await;
    change(&bench.producer, "ModifyImageAttribute", &image).await;
    let grant = json!({"KeyId": SOURCE_KEY, "GrantId": made.grant});
    bench.producer.kms("RevokeGrant", grant).await.ok();
    let (image, snapshot) = (made.image.as_str(), made.snapshot.as_str());
    change(&bench.consumer, "DeregisterImage", &[("ImageId", image)]).await;
    change(
        &bench.consumer,
        "DeleteSnapshot",
        &[("SnapshotId", snapshot)],
    )
    .await;
}

/// Asserts that every change is, or is no longer, in effect: for other calls, and for inspection.
pub async fn assert_effect(bench: &Bench, made: &Made, expected: bool) {
    let shared = [("SnapshotId.1", UNSHARED)];
    let shared = bench.consumer.ec2("DescribeSnapshots", &shared).await;
    let key = json!({"KeyId": SOURCE_KEY});
    let granted = bench.consumer.kms("DescribeKey", key).await;
    let launched = launch(&bench.consumer, &made.image, &[]).await;
    let image = launch(&bench.consumer, IMAGE, &[]).await;
    let effects = [shared.status, granted.status, launched.status, image.status];
    let effects = effects.map(|status| status == 200);
    assert_eq!(effects, [expected; 4]);
    let sandbox = &bench.sandbox;
    let tagged = |tags: &std::collections::BTreeMap<String, String>| tags.contains_key("stage");
    let facts = [
        sandbox
            .images(PRODUCER, WEST)
            .iter()
            .any(|i| tagged(&i.tags)),
        sandbox
            .snapshots(PRODUCER, WEST)
            .iter()
            .any(|s| tagged(&s.tags)),
        sandbox
            .images(CONSUMER, WEST)
            .iter()
            .any(|i| i.image_id == made.image),
        sandbox
            .snapshots(CONSUMER, WEST)
            .iter()
            .any(|s| s.snapshot_id == made.snapshot),
        sandbox
            .grants(SOURCE_KEY)
            .iter()
            .any(|g| g.grant_id == made.grant),
    ];
    assert_eq!(facts, [expected; 5]);
}

/// Returns the reads that show the changes of `make`.
pub async fn seen(bench: &Bench, made: &Made) -> BTreeSet<&'static str> {
    let (owner, other) = (&bench.producer, &bench.consumer);
    let shows = async |client: &Client, action: &str, params: Params<'_>, what: &str| {
        client.ec2(action, params).await.body.contains(what)
    };
    let own = ("Owner.1", "self");
    let stage = [("Filter.1.Name", "tag:stage"), ("Filter.1.Value.1", "new")];
    let volume = [
        ("SnapshotId", UNSHARED),
        ("Attribute", "createVolumePermission"),
    ];
    let launch = [("ImageId", IMAGE), ("Attribute", "launchPermission")];
    let (by_image, by_snapshot) = (
        ("ImageId.1", &*made.image),
        ("SnapshotId.1", &*made.snapshot),
    );
    let (images, snapshots) = ("DescribeImages", "DescribeSnapshots");
    let listed = owner.kms("ListGrants", json!({"KeyId": SOURCE_KEY})).await;
    let reads = [
        (
            TAGS[0],
            shows(owner, images, &[("ImageId.1", IMAGE)], "<key>stage</key>").await,
        ),
        (
            TAGS[1],
            shows(
                owner,
                snapshots,
                &[("SnapshotId.1", ROOT)],
                "<key>stage</key>",
            )
            .await,
        ),
        (TAGS[2], shows(owner, snapshots, &stage, ROOT).await),
        (
            PERMISSIONS[0],
            shows(owner, "DescribeSnapshotAttribute", &volume, CONSUMER).await,
        ),
        (
            PERMISSIONS[1],
            shows(owner, "DescribeImageAttribute", &launch, CONSUMER).await,
        ),
        (GRANTS[0], listed.ok().body.contains(&made.grant)),
        (
            IMAGES[0],
            shows(other, images, &[by_image], "<imagesSet>").await,
        ),
        (
            SNAPSHOTS[0],
            shows(other, snapshots, &[by_snapshot], "<snapshotSet>").await,
        ),
        (LISTINGS[0], shows(other, images, &[own], &made.image).await),
        (
            LISTINGS[1],
            shows(other, snapshots, &[own], &made.snapshot).await,
        ),
    ];
    let seen = reads.into_iter().filter(|(_, seen)| *seen);
    seen.map(|(read, _)| read).collect()
}

/// Asserts that these reads, and no others, are late by exactly `DELAY`, for changes of both ways.
async fn assert_late(late_reads: LateReads, late: &[&'static str]) {
    let late: BTreeSet<&str> = late.iter().copied().collect();
    let prompt: BTreeSet<&str> = all().difference(&late).copied().collect();
    let bench = Bench::of(world().late_reads(late_reads));
    let made = make(&bench).await;
    assert_effect(&bench, &made, true).await;
    assert_eq!(seen(&bench, &made).await, prompt);
    tokio::time::sleep(JUST_BEFORE).await;
    assert_eq!(seen(&bench, &made).await, prompt);
    tokio::time::sleep(TICK).await;
    assert_eq!(seen(&bench, &made).await, all());
    unmake(&bench, &made).await;
    assert_effect(&bench, &made, false).await;
    assert_eq!(seen(&bench, &made).await, late);
    tokio::time::sleep(JUST_BEFORE).await;
    assert_eq!(seen(&bench, &made).await, late);
    tokio::time::sleep(TICK).await;
    assert_eq!(seen(&bench, &made).await, BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn a_read_without_delays_is_prompt() {
    assert_late(LateReads::default(), &[]).await;
}

#[tokio::test(start_paused = true)]
async fn late_tags_leave_other_reads_prompt() {
    let late = LateReads {
        tags: DELAY,
        ..LateReads::default()
    };
    assert_late(late, &TAGS).await;
}

#[tokio::test(start_paused = true)]
async fn late_permissions_leave_other_reads_prompt() {
    let late = LateReads {
        permissions: DELAY,
        ..LateReads::default()
    };
    assert_late(late, &PERMISSIONS).await;
}

#[tokio::test(start_paused = true)]
async fn late_grants_leave_other_reads_prompt() {
    let late = LateReads {
        grants: DELAY,
        ..LateReads::default()
    };
    assert_late(late, &GRANTS).await;
}

#[tokio::test(start_paused = true)]
async fn late_images_leave_other_reads_prompt() {
    let late = LateReads {
        images: DELAY,
        ..LateReads::default()
    };
    assert_late(late, &IMAGES).await;
}

#[tokio::test(start_paused = true)]
async fn late_snapshots_leave_other_reads_prompt() {
    let late = LateReads {
        snapshots: DELAY,
        ..LateReads::default()
    };
    assert_late(late, &SNAPSHOTS).await;
}

#[tokio::test(start_paused = true)]
async fn late_listings_leave_other_reads_prompt() {
    let late = LateReads {
        listings: DELAY,
        ..LateReads::default()
    };
    assert_late(late, &LISTINGS).await;
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_listed_and_in_force_by_separate_delays() {
    for (counts, listed) in [(DELAY, Duration::ZERO), (Duration::ZERO, DELAY)] {
        let late = LateReads {
            grants: listed,
            ..LateReads::default()
        };
        let bench = Bench::of(world().late_reads(late).grant_delay(counts));
        let made = make(&bench).await;
        let is_listed = seen(&bench, &made).await.contains("grant");
        let key = json!({"KeyId": SOURCE_KEY});
        let is_in_force = bench.consumer.kms("DescribeKey", key).await.status == 200;
        assert_eq!(is_listed, listed.is_zero());
        assert_eq!(is_in_force, counts.is_zero());
    }
}

#[tokio::test(start_paused = true)]
async fn tags_of_a_creating_call_show_after_the_longer_of_both_delays() {
    for (tag_delay, tags) in [(DELAY, DELAY / 2), (DELAY / 2, DELAY)] {
        let late = LateReads {
            tags,
            ..LateReads::default()
        };
        let bench = Bench::of(world().late_reads(late).tag_delay(tag_delay));
        let tag = [
            ("TagSpecification.1.ResourceType", "image"),
            ("TagSpecification.1.Tag.1.Key", "run"),
            ("TagSpecification.1.Tag.1.Value", "1"),
        ];
        bench.register("tagged", &tag).await.ok();
        let tagged = async || {
            let by_key = [("Filter.1.Name", "tag-key"), ("Filter.1.Value.1", "run")];
            let found = bench.consumer.ec2("DescribeImages", &by_key).await.ok();
            found.text("imageId").is_some()
        };
        tokio::time::sleep(JUST_BEFORE).await;
        assert!(!tagged().await);
        tokio::time::sleep(TICK).await;
        assert!(tagged().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_resource_deleted_before_it_shows_still_shows_for_its_lifetime() {
    let late = LateReads {
        images: DELAY,
        listings: DELAY,
        ..LateReads::default()
    };
    let bench = Bench::of(world().late_reads(late));
    let made = make(&bench).await;
    tokio::time::sleep(DELAY / 2).await;
    unmake(&bench, &made).await;
    let expected = |shown: bool| {
        let late = [&IMAGES[..], &LISTINGS[..]].concat();
        late.into_iter().filter(|_| shown).collect::<BTreeSet<_>>()
    };
    assert_eq!(seen(&bench, &made).await, expected(false));
    tokio::time::sleep(DELAY / 2).await;
    assert_eq!(seen(&bench, &made).await, expected(true));
    tokio::time::sleep(DELAY / 2).await;
    assert_eq!(seen(&bench, &made).await, expected(false));
}

/// Returns the value of the snapshot's tag that DescribeSnapshots shows.
pub async fn stage(bench: &Bench) -> Option<u64> {
    let by_id = [("SnapshotId.1", UNSHARED)];
    let shown = bench.producer.ec2("DescribeSnapshots", &by_id).await.ok();
    shown.text("value").and_then(|value| value.parse().ok())
}

/// Returns the accounts that DescribeSnapshotAttribute shows.
pub async fn accounts(bench: &Bench) -> Vec<String> {
    let params = [
        ("SnapshotId", UNSHARED),
        ("Attribute", "createVolumePermission"),
    ];
    let shown = bench.producer.ec2("DescribeSnapshotAttribute", &params);
    shown.await.ok().texts("userId")
}

#[tokio::test(start_paused = true)]
async fn changes_by_a_test_show_as_late_as_changes_by_calls() {
    let late = LateReads {
        tags: DELAY,
        permissions: DELAY,
        ..LateReads::default()
    };
    let bench = Bench::of(world().late_reads(late));
    let changed = bench.sandbox.edit(|aws| {
        aws.share_snapshot(UNSHARED, CONSUMER)
            && aws.change_snapshot(UNSHARED, |s| {
                s.tags.insert("n".to_owned(), "1".to_owned());
            })
    });
    assert!(changed);
    assert_eq!(stage(&bench).await, None);
    assert!(accounts(&bench).await.is_empty());
    tokio::time::sleep(DELAY).await;
    assert_eq!(stage(&bench).await, Some(1));
    assert_eq!(accounts(&bench).await, [CONSUMER]);
}

#[test]
fn a_world_file_sets_each_delay() {
    let text = "[late_reads]\nseed = 7\ntags_seconds = 1\npermissions_seconds = 2\n\
                grants_seconds = 3\n\
                images_seconds = 4\nsnapshots_seconds = 5\nlistings_seconds = 6.5";
    let read = amiferry_sandbox::World::from_toml(text).expect("a world");
    let expected = LateReads {
        seed: Some(7),
        tags: Duration::from_secs(1),
        permissions: Duration::from_secs(2),
        grants: Duration::from_secs(3),
        images: Duration::from_secs(4),
        snapshots: Duration::from_secs(5),
        listings: Duration::from_millis(6500),
    };
    assert_eq!(read.late_reads, expected);
}
