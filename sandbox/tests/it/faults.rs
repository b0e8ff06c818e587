//! The ledger, and faults of calls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use amiferry_sandbox::Fault;
use serde_json::json;

use crate::refused_keys::grant;
use crate::worlds::{Bench, CONSUMER, OWN, PRODUCER, SOURCE_KEY, WEST};

const TAG: [(&str, &str); 3] = [
    ("ResourceId.1", OWN),
    ("Tag.1.Key", "run"),
    ("Tag.1.Value", "1"),
];

#[tokio::test(start_paused = true)]
async fn every_call_is_in_the_ledger() {
    let bench = Bench::new();
    bench.consumer.ec2("CreateTags", &TAG).await.ok();
    bench.producer.kms("CreateGrant", grant()).await.ok();
    bench.nobody.ec2("DescribeImages", &[]).await;
    let ledger = bench.sandbox.ledger();
    let told: Vec<_> = ledger
        .iter()
        .map(|c| {
            (
                c.seq,
                c.service.as_str(),
                c.operation.as_str(),
                c.account.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (1, "ec2", "CreateTags", CONSUMER),
            (2, "kms", "CreateGrant", PRODUCER),
            (3, "ec2", "DescribeImages", CONSUMER)
        ]
    );
    assert_eq!(
        ledger[0].params.get("Tag.1.Key").map(String::as_str),
        Some("run")
    );
    assert_eq!(
        ledger[1].params.get("Operations.2").map(String::as_str),
        Some("CreateGrant")
    );
    assert_eq!(ledger[2].principal, "arn:aws:iam::222222222222:user/nobody");
    assert_eq!(ledger[0].outcome, Some(Ok(())));
    assert_eq!(
        ledger[2].outcome,
        Some(Err("UnauthorizedOperation".to_owned()))
    );
    assert!(ledger.iter().all(|call| call.request_id.len() == 36));
    bench.sandbox.clear_ledger();
    bench.consumer.ec2("DescribeRegions", &[]).await.ok();
    assert_eq!(bench.sandbox.ledger()[0].seq, 4);
}

#[tokio::test(start_paused = true)]
async fn a_fault_before_has_no_effect_and_a_fault_after_has() {
    for (fault, happened) in [(Fault::ResetBefore, false), (Fault::ResetAfter, true)] {
        let bench = Bench::new();
        let struck = fault.clone();
        bench.sandbox.set_fault(move |call| {
            if call.operation == "CreateTags" {
                struck.clone()
            } else {
                Fault::None
            }
        });
        let request = bench
            .consumer
            .query("ec2", "CreateTags", "2016-11-15", &TAG);
        let error = bench.sandbox.send(request).await.expect_err("a reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let tagged = bench.sandbox.snapshots(CONSUMER, WEST)[0]
            .tags
            .contains_key("run");
        assert_eq!(tagged, happened, "{fault:?}");
        assert_eq!(bench.sandbox.ledger()[0].outcome.is_some(), happened);
        bench.sandbox.clear_fault();
        bench.consumer.ec2("CreateTags", &TAG).await.ok();
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_refuses_or_delays_a_call() {
    let bench = Bench::new();
    let once = AtomicBool::new(true);
    bench.sandbox.set_fault(move |call| {
        if once.swap(false, Ordering::SeqCst) {
            let code = if call.service == "kms" {
                "LimitExceededException"
            } else {
                "RequestLimitExceeded"
            };
            return Fault::Refuse {
                status: 503,
                code: code.to_owned(),
                message: "slow down".to_owned(),
            };
        }
        Fault::Delay(Duration::from_secs(30))
    });
    let refused = bench
        .consumer
        .kms("ListGrants", json!({"KeyId": "target"}))
        .await;
    assert_eq!(
        (refused.status, refused.json()["__type"].as_str()),
        (503, Some("LimitExceededException"))
    );
    let before = bench.sandbox.now();
    bench.consumer.ec2("DescribeRegions", &[]).await.ok();
    assert_eq!(
        bench.sandbox.now().duration_since(before).expect("later"),
        Duration::from_secs(30)
    );
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_announced_after_its_effect() {
    let bench = Bench::new();
    bench.sandbox.set_fault(|_| Fault::HangAfter);
    let sandbox = bench.sandbox.clone();
    let request = bench.producer.json("CreateGrant", grant().to_string());
    let hanging = tokio::spawn(async move { sandbox.send(request).await });
    bench.sandbox.hung().await;
    assert_eq!(bench.sandbox.grants(SOURCE_KEY).len(), 1);
    assert!(!hanging.is_finished());
    hanging.abort();
    // A hang before the wait also resolves it.
    let sandbox = bench.sandbox.clone();
    let request = bench.producer.json("ListAliases", "{}".to_owned());
    let hanging = tokio::spawn(async move { sandbox.send(request).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench.sandbox.hung().await;
    hanging.abort();
}

#[tokio::test(start_paused = true)]
async fn latency_is_divided_by_speed() {
    let bench = Bench::of(
        crate::worlds::world()
            .latency(Duration::from_secs(10))
            .speed(5.0),
    );
    let before = bench.sandbox.now();
    bench.consumer.ec2("DescribeRegions", &[]).await.ok();
    assert_eq!(
        bench.sandbox.now().duration_since(before).expect("later"),
        Duration::from_secs(2)
    );
}

#[tokio::test(start_paused = true)]
async fn an_asynchronous_invocation_is_kept_for_the_test() {
    let bench = Bench::new();
    let ferry = &bench.ferry;
    let answer = ferry
        .answer(ferry.invoke("amiferry", "Event", b"{\"State\":{}}".to_vec()))
        .await;
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
    let taken = bench.sandbox.lambda_invocations();
    assert_eq!(
        (taken[0].function_name.as_str(), taken[0].payload.as_slice()),
        ("amiferry", &b"{\"State\":{}}"[..])
    );
    assert!(bench.sandbox.lambda_invocations().is_empty());
    let waiting = ferry
        .answer(ferry.invoke("amiferry", "RequestResponse", b"{}".to_vec()))
        .await;
    assert_eq!(waiting.status, 501);
}
