//! Multi-Region keys: one ID, and a key of its own in each Region.

use amiferry_sandbox::Key;
use serde_json::json;

use crate::policies::{document, permit};
use crate::worlds::{Bench, CONSUMER, COPIER, EAST, WEST, world};

const ID: &str = "mrk-0123456789abcdef0123456789abcdef";

fn arn(region: &str) -> String {
    format!("arn:aws:kms:{region}:{CONSUMER}:key/{ID}")
}

fn bench() -> Bench {
    let mut world = world();
    let keys = [
        Key::new(WEST, ID),
        Key::new(EAST, ID),
        Key::new("eu-west-1", ID),
    ];
    world.accounts[1].keys.extend(keys);
    Bench::of(world)
}

#[tokio::test(start_paused = true)]
async fn a_multi_region_key_lists_primary_and_replicas() {
    let bench = bench();
    let describe = async |region: &str| {
        let client = bench.consumer.in_region(region);
        let answer = client.kms("DescribeKey", json!({"KeyId": ID})).await;
        answer.ok().json()["KeyMetadata"].clone()
    };
    let primary = describe(WEST).await;
    assert_eq!(primary["MultiRegion"], true);
    let configuration = &primary["MultiRegionConfiguration"];
    assert_eq!(configuration["MultiRegionKeyType"], "PRIMARY");
    let replica = describe(EAST).await;
    assert_eq!(replica["Arn"], arn(EAST));
    let configuration = &replica["MultiRegionConfiguration"];
    assert_eq!(configuration["MultiRegionKeyType"], "REPLICA");
    assert_eq!(
        configuration["PrimaryKey"],
        json!({"Arn": arn(WEST), "Region": WEST})
    );
    assert_eq!(
        configuration["ReplicaKeys"],
        json!([
            {"Arn": arn("eu-west-1"), "Region": "eu-west-1"},
            {"Arn": arn(EAST), "Region": EAST},
        ])
    );
    let plain = bench
        .consumer
        .kms("DescribeKey", json!({"KeyId": "target"}));
    let plain = plain.await.ok().json()["KeyMetadata"].clone();
    assert_eq!(plain["MultiRegion"], false);
    assert!(plain["MultiRegionConfiguration"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_replica_has_policy_grants_and_state_of_its_own() {
    let bench = bench();
    let east = bench.consumer.in_region(EAST);
    let grant = json!({"KeyId": ID, "GranteePrincipal": COPIER, "Operations": ["Decrypt"]});
    east.kms("CreateGrant", grant.clone()).await.ok();
    assert_eq!(bench.sandbox.grants(&arn(EAST)).len(), 1);
    assert!(bench.sandbox.grants(&arn(WEST)).is_empty());
    bench.set_key_policy(&arn(EAST), document(&[permit(COPIER, "kms:*")]));
    assert_eq!(east.kms("CreateGrant", grant.clone()).await.status, 400);
    bench.consumer.kms("CreateGrant", grant.clone()).await.ok();
    assert!(bench.sandbox.edit(|aws| aws.disable_key(&arn(WEST))));
    let answer = bench.consumer.kms("CreateGrant", grant).await;
    assert_eq!(answer.refusal.as_deref(), Some("KEY_DISABLED"));
    // An ARN of another Region names no key here.
    let other = json!({"KeyId": arn(EAST)});
    let answer = bench.consumer.kms("DescribeKey", other).await;
    assert_eq!(answer.refusal.as_deref(), Some("KEY_INVALID_ARN"));
}
