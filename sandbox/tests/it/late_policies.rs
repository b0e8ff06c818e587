//! Key policies that are in force only after a delay.

use std::time::Duration;

use serde_json::{Value, json};

use crate::policies::{document, permit_owner};
use crate::worlds::{Bench, PRODUCER, SOURCE_KEY, source_key_policy, world};

const DELAY: Duration = Duration::from_mins(1);

fn closed() -> Value {
    document(&[permit_owner(PRODUCER)])
}

fn open() -> Value {
    let mut policy = source_key_policy();
    policy["Statement"][1]
        .as_object_mut()
        .expect("an object")
        .remove("Condition");
    policy
}

async fn put(bench: &Bench, policy: &Value) {
    let body = json!({"KeyId": SOURCE_KEY, "Policy": policy.to_string()});
    bench.producer.kms("PutKeyPolicy", body).await.ok();
}

async fn may(bench: &Bench) -> bool {
    let body = json!({"KeyId": SOURCE_KEY});
    bench.consumer.kms("DescribeKey", body).await.status == 200
}

#[tokio::test(start_paused = true)]
async fn a_put_key_policy_shows_at_once_and_is_in_force_later() {
    let bench = Bench::of(world().policy_delay(DELAY));
    assert!(!may(&bench).await);
    put(&bench, &open()).await;
    assert_eq!(bench.sandbox.key_policy(SOURCE_KEY), Some(open()));
    let read = bench
        .producer
        .kms("GetKeyPolicy", json!({"KeyId": SOURCE_KEY}));
    let read = read.await.ok().json();
    assert_eq!(read["Policy"], open().to_string());
    assert!(!may(&bench).await);
    tokio::time::sleep(DELAY / 2).await;
    put(&bench, &closed()).await;
    assert!(!may(&bench).await);
    tokio::time::sleep(DELAY / 2).await;
    assert!(may(&bench).await, "the first policy is in force");
    tokio::time::sleep(DELAY / 2).await;
    assert!(!may(&bench).await, "the second policy is in force");
}

#[tokio::test(start_paused = true)]
async fn a_put_key_policy_breaks_a_copy_once_it_is_in_force() {
    let bench = Bench::of(world().policy_delay(DELAY).copy_mib_per_second(50.0));
    let id = bench.copy().await;
    put(&bench, &closed()).await;
    tokio::time::sleep(DELAY / 2).await;
    assert_eq!(bench.state_of(&id).await.0, "pending");
    // No call arrives until after the copy would have ended.
    assert_eq!(bench.end_of(&id).await.0, "error");
    let bench = Bench::of(world().policy_delay(DELAY));
    let id = bench.copy().await;
    put(&bench, &closed()).await;
    assert_eq!(bench.end_of(&id).await.0, "completed");
}

#[tokio::test(start_paused = true)]
async fn a_key_policy_set_by_a_test_is_in_force_at_once() {
    let bench = Bench::of(world().policy_delay(DELAY));
    put(&bench, &closed()).await;
    bench.set_key_policy(SOURCE_KEY, open());
    assert!(may(&bench).await);
    tokio::time::sleep(DELAY).await;
    assert!(
        may(&bench).await,
        "a test's policy replaces a policy that was put before"
    );
}
