//! Undocumented habits of AWS, each with both values.

use std::time::Duration;

use amiferry_sandbox::{Facts, LaunchPermission, World};
use serde_json::json;

use crate::client::{Answer, Client};
use crate::policies::{allow, document, permit, permit_owner, root, when};
use crate::refused_keys::{COPYING, grant};
use crate::worlds::{
    Bench, CONSUMER, COPIER, EAST, IMAGE, OWN, PRODUCER, ROOT, SOURCE_KEY, TARGET_KEY, UNSHARED,
    WEST, world,
};

const WITH_ID: (&str, &str) = ("ExternalId", "shared-secret");

fn bench(change: impl FnOnce(&mut Facts)) -> Bench {
    let mut facts = Facts::default();
    change(&mut facts);
    Bench::of(world().facts(facts))
}

fn id(answer: Answer) -> String {
    answer.ok().text("snapshotId").expect("a snapshot")
}

/// Copies a snapshot whose key the caller cannot use, where AWS checks the key at once.
pub async fn without_source_key() -> Answer {
    let bench = bench(|facts| facts.late_source_checks = false);
    bench.set_key_policy(SOURCE_KEY, document(&[permit_owner(PRODUCER)]));
    bench.copy_of(ROOT, &[]).await
}

#[test]
fn a_world_file_declares_facts() {
    let text = "[facts]\nrole_grantees = false\nsession_token_percent = 200";
    let world = World::from_toml(text).expect("a world");
    let expected = Facts {
        role_grantees: false,
        session_token_percent: 200,
        ..Facts::default()
    };
    assert_eq!(world.facts, expected);
    let world = World::from_toml("").expect("a world");
    assert_eq!(world.facts, Facts::default());
}

#[test]
fn the_documented_facts_are_the_defaults() {
    let page = include_str!("../../../ARCHITECTURE.md");
    let (_, rest) = page.split_once("```toml\n[facts]\n").expect("the table");
    let (table, _) = rest.split_once("```").expect("its end");
    assert_eq!(table.lines().count(), 9, "{table}");
    let world = World::from_toml(&format!("[facts]\n{table}")).expect("a world");
    assert_eq!(world.facts, Facts::default());
}

#[tokio::test(start_paused = true)]
async fn a_role_of_another_account_copies_by_its_grant_only_where_role_grantees_hold() {
    let account = root(CONSUMER);
    for (holds, grantee, expected) in [
        (true, COPIER, "completed"),
        (true, &account, "completed"),
        (false, COPIER, "error"),
        (false, &account, "completed"),
    ] {
        let bench = bench(|facts| facts.role_grantees = holds);
        bench.set_key_policy(SOURCE_KEY, document(&[permit_owner(PRODUCER)]));
        let mut body = grant();
        body["GranteePrincipal"] = json!(grantee);
        bench.producer.kms("CreateGrant", body).await.ok();
        let copier = bench.ferry.assume(COPIER, &[WITH_ID]).await;
        let params = [
            ("SourceRegion", WEST),
            ("SourceSnapshotId", ROOT),
            ("Encrypted", "true"),
            ("KmsKeyId", "target"),
        ];
        let copy = id(copier.ec2("CopySnapshot", &params).await);
        // A direct call of the role is decided by the grant alone.
        let describe = json!({"KeyId": SOURCE_KEY});
        copier.kms("DescribeKey", describe).await.ok();
        assert_eq!(bench.end_of(&copy).await.0, expected, "{holds} {grantee}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_to_a_role_of_the_keys_own_account_counts_in_any_case() {
    let bench = bench(|facts| facts.role_grantees = false);
    bench.set_key_policy(TARGET_KEY, document(&[permit_owner(PRODUCER)]));
    assert_eq!(end(&bench, OWN).await, "error");
    bench.set_key_policy(TARGET_KEY, document(&[permit_owner(CONSUMER)]));
    let body = json!({"KeyId": TARGET_KEY, "GranteePrincipal": COPIER, "Operations": COPYING});
    bench.consumer.kms("CreateGrant", body).await.ok();
    bench.set_key_policy(TARGET_KEY, document(&[permit_owner(PRODUCER)]));
    let copier = bench.ferry.assume(COPIER, &[WITH_ID]).await;
    let params = [
        ("SourceRegion", WEST),
        ("SourceSnapshotId", OWN),
        ("Encrypted", "true"),
        ("KmsKeyId", "target"),
    ];
    let copy = id(copier.ec2("CopySnapshot", &params).await);
    assert_eq!(bench.end_of(&copy).await.0, "completed");
}

async fn end(bench: &Bench, source: &str) -> String {
    let copy = id(bench.copy_of(source, &[]).await);
    bench.end_of(&copy).await.0
}

#[tokio::test(start_paused = true)]
async fn a_source_is_checked_late_or_at_once() {
    let late = Bench::new();
    let unseen = id(late.copy_of(UNSHARED, &[]).await);
    let message = late.end_of(&unseen).await.1;
    assert_eq!(message, "Source snapshot is not found");
    late.set_key_policy(SOURCE_KEY, document(&[permit_owner(PRODUCER)]));
    assert_eq!(end(&late, ROOT).await, "error");

    let strict = bench(|facts| facts.late_source_checks = false);
    let unseen = strict.copy_of(UNSHARED, &[]).await;
    assert_eq!(unseen.code.as_deref(), Some("InvalidSnapshot.NotFound"));
    let refused = without_source_key().await;
    let name = refused.refusal.as_deref();
    assert_eq!(name, Some("COPY_SOURCE_KEY_REFUSED"));
    assert_eq!(end(&strict, ROOT).await, "completed");
    // The key of the copy is checked late in any case.
    let copy = id(strict.copy_of(ROOT, &[("KmsKeyId", "nowhere")]).await);
    assert_eq!(strict.end_of(&copy).await.0, "error");
}

#[tokio::test(start_paused = true)]
async fn an_encrypted_snapshot_needs_a_presigned_url_only_where_the_world_says_so() {
    let params = [
        ("SourceRegion", WEST),
        ("SourceSnapshotId", ROOT),
        ("DestinationRegion", WEST),
        ("Encrypted", "true"),
        ("KmsKeyId", "alias/amis"),
    ];
    assert_eq!(end(&Bench::new(), ROOT).await, "completed");
    let bench = bench(|facts| facts.presigned_url_optional = false);
    let bare = bench.copy_of(ROOT, &[]).await;
    assert_eq!(bare.code.as_deref(), Some("MissingParameter"));
    let url = bench.consumer.presigned(&params);
    let copy = id(bench.copy_of(ROOT, &[("PresignedUrl", &url)]).await);
    assert_eq!(bench.end_of(&copy).await.0, "completed");
    assert_eq!(end(&bench, crate::worlds::PLAIN).await, "completed");
}

#[tokio::test(start_paused = true)]
async fn via_service_names_the_region_of_the_source_or_of_the_copy() {
    for (of_source, named, expected) in [
        (true, WEST, "completed"),
        (true, EAST, "error"),
        (false, WEST, "error"),
        (false, EAST, "completed"),
    ] {
        let bench = bench(|facts| facts.via_source_region = of_source);
        let via = json!({"StringEquals": {"kms:ViaService": format!("ec2.{named}.amazonaws.com")}});
        let all = when(permit(&root(CONSUMER), "kms:*"), via);
        bench.set_key_policy(SOURCE_KEY, document(&[permit_owner(PRODUCER), all]));
        let east = bench.consumer.in_region(EAST);
        let params = [
            ("SourceRegion", WEST),
            ("SourceSnapshotId", ROOT),
            ("Encrypted", "true"),
            ("KmsKeyId", "east"),
        ];
        id(east.ec2("CopySnapshot", &params).await);
        tokio::time::sleep(Duration::from_hours(1)).await;
        let copies = bench.sandbox.snapshots(CONSUMER, EAST);
        assert_eq!(copies[0].state, expected, "{of_source} {named}");
    }
}

const AS_A_WHOLE: [(&str, &str); 5] = [
    ("SourceRegion", WEST),
    ("SourceImageId", IMAGE),
    ("Name", "copy"),
    ("Encrypted", "true"),
    ("KmsKeyId", "target"),
];

/// Has the consumer copy the image, which it may launch.
async fn copy_of_image(bench: &Bench) -> Answer {
    let user = LaunchPermission::User(CONSUMER.to_owned());
    bench.sandbox.edit(|aws| {
        aws.change_image(IMAGE, |image| {
            image.launch_permissions.insert(user);
        })
    });
    bench.consumer.ec2("CopyImage", &AS_A_WHOLE).await
}

#[tokio::test(start_paused = true)]
async fn copy_image_takes_an_encrypted_image_of_another_account_or_not() {
    for across in [true, false] {
        let bench = bench(|facts| facts.image_copies_across_accounts = across);
        let copied = copy_of_image(&bench).await;
        let expected = (!across).then_some("COPY_IMAGE_STORAGE");
        assert_eq!(copied.refusal.as_deref(), expected);
        let own = [&AS_A_WHOLE[..4], &[("KmsKeyId", "source")]].concat();
        bench.producer.ec2("CopyImage", &own).await.ok();
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_of_a_copied_snapshot_keeps_its_billing_or_loses_it() {
    for (keep, of_copy) in [(true, "RunInstances:0010"), (false, "RunInstances")] {
        let bench = bench(|facts| facts.copies_keep_billing = keep);
        bench.sandbox.edit(|aws| {
            aws.change_snapshot(OWN, |snapshot| {
                let red_hat = ("Red Hat Enterprise Linux", "RunInstances:0010");
                snapshot.lineage_platform = Some((red_hat.0.to_owned(), red_hat.1.to_owned()));
            })
        });
        let copy = id(bench.copy_of(OWN, &[]).await);
        assert_eq!(bench.end_of(&copy).await.0, "completed");
        for (snapshot, operation) in [(OWN, "RunInstances:0010"), (&copy, of_copy)] {
            let params = [("BlockDeviceMapping.1.Ebs.SnapshotId", snapshot)];
            bench.register(snapshot, &params).await.ok();
            let images = bench.sandbox.images(CONSUMER, WEST);
            let image = images.iter().find(|image| image.name == snapshot);
            let image = image.expect("the image");
            assert_eq!(image.usage_operation, operation, "{keep} {snapshot}");
            let linux = image.platform_details == "Linux/UNIX";
            assert_eq!(linux, operation == "RunInstances");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_grant_outlives_its_parent_or_goes_with_it() {
    for (outlive, left) in [(true, 2), (false, 1)] {
        let bench = bench(|facts| facts.child_grants_outlive = outlive);
        let parent = bench.producer.kms("CreateGrant", grant()).await.ok().json();
        let copier: Client = bench.ferry.assume(COPIER, &[WITH_ID]).await;
        let nobody = "arn:aws:iam::222222222222:user/nobody";
        let child = json!({"KeyId": SOURCE_KEY, "GranteePrincipal": nobody,
            "Operations": ["Decrypt"]});
        copier.kms("CreateGrant", child.clone()).await.ok();
        // A grant that the owner created by itself is nobody's child.
        bench.producer.kms("CreateGrant", child).await.ok();
        assert_eq!(bench.sandbox.grants(SOURCE_KEY).len(), 3);
        let revoke = json!({"KeyId": SOURCE_KEY, "GrantId": parent["GrantId"]});
        bench.producer.kms("RevokeGrant", revoke).await.ok();
        assert_eq!(bench.sandbox.grants(SOURCE_KEY).len(), left, "{outlive}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_added_child_grant_goes_with_its_parent_and_its_own_children() {
    let bench = bench(|facts| facts.child_grants_outlive = false);
    let parent = bench.producer.kms("CreateGrant", grant()).await.ok().json();
    let parent = parent["GrantId"].as_str().expect("a grant").to_owned();
    let added = |aws: &mut amiferry_sandbox::Aws| aws.add_child_grant(SOURCE_KEY, CONSUMER, COPIER);
    assert!(bench.sandbox.edit(added) && bench.sandbox.edit(added));
    assert!(
        bench
            .sandbox
            .edit(|aws| aws.revoke_grant(SOURCE_KEY, &parent))
    );
    assert!(bench.sandbox.grants(SOURCE_KEY).is_empty());
}

#[tokio::test(start_paused = true)]
async fn session_policies_fill_the_packed_size_by_the_worlds_percentage() {
    let policy = document(&[allow("ec2:*", "*")]).to_string();
    let policy = format!("{policy:600}");
    for (percent, packed) in [(100, Some("54")), (150, Some("81")), (200, None)] {
        let bench = bench(|facts| facts.session_token_percent = percent);
        let params = [
            ("RoleArn", COPIER),
            ("RoleSessionName", "test"),
            WITH_ID,
            ("Policy", &policy),
        ];
        let answer = bench.ferry.sts("AssumeRole", &params).await;
        assert_eq!(answer.text("PackedPolicySize").as_deref(), packed);
        let full = packed.is_none().then_some("PackedPolicyTooLarge");
        assert_eq!(answer.code.as_deref(), full);
    }
}

#[tokio::test(start_paused = true)]
async fn copy_image_takes_an_image_with_billing_data_of_another_account_or_not() {
    for across in [true, false] {
        let bench = bench(|facts| facts.billed_images_across_accounts = across);
        bench.sandbox.edit(|aws| {
            aws.change_image(IMAGE, |image| {
                "RunInstances:0010".clone_into(&mut image.usage_operation);
            })
        });
        let copied = copy_of_image(&bench).await;
        let expected = (!across).then_some("COPY_IMAGE_BILLING");
        assert_eq!(copied.refusal.as_deref(), expected);
        if across {
            let images = bench.sandbox.images(CONSUMER, WEST);
            assert_eq!(images[0].usage_operation, "RunInstances:0010");
        }
    }
}
