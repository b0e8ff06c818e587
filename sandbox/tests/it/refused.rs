//! Every refusal of the table, provoked once. A refusal that nothing provokes does not belong
//! there.

use std::time::Duration;

use amiferry_sandbox::Limits;
use amiferry_sandbox::refusals;
use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::client::Answer;
use crate::worlds::{Bench, CONSUMER, WEST, world};
use crate::{
    autoscaling, fast_restores, image_references, launch_templates, parameters as of_ssm,
    refused_copies, refused_iam, refused_images, refused_instances, refused_keys,
    refused_organizations, refused_s3, refused_sessions, refused_states, settings, snapshot_locks,
    stacks, volumes,
};

#[tokio::test(start_paused = true)]
async fn every_refusal_is_provoked_and_matches_its_table() {
    let mut unprovoked = Vec::new();
    for refusal in refusals::all() {
        let Some(answer) = provoke(refusal.name).await else {
            unprovoked.push(refusal.name);
            continue;
        };
        if refusal.status == 200 {
            let start = refusal.message.split("{}").next().expect("a start");
            assert!(
                answer.body.starts_with(start),
                "{}: {answer:?}",
                refusal.name
            );
            continue;
        }
        assert_eq!(
            answer.status, refusal.status,
            "{}: {answer:?}",
            refusal.name
        );
        if refusal.name != "REQUEST_TOO_LARGE" {
            assert_eq!(answer.refusal.as_deref(), Some(refusal.name), "{answer:?}");
            assert_eq!(answer.code.as_deref(), Some(refusal.code), "{answer:?}");
        }
    }
    assert!(unprovoked.is_empty(), "never provoked: {unprovoked:?}");
}

async fn provoke(name: &str) -> Option<Answer> {
    first_of!(
        requests(name),
        throttled(name),
        barred(name),
        refused_sessions::provoke(name),
        refused_copies::provoke(name),
        refused_images::provoke(name),
        refused_instances::provoke(name),
        refused_organizations::provoke(name),
        refused_iam::provoke(name),
        refused_states::provoke(name),
        refused_s3::provoke(name),
        settings::provoke(name),
        stacks::provoke(name),
        launch_templates::provoke(name),
        autoscaling::provoke(name),
        fast_restores::provoke(name),
        image_references::provoke(name),
        snapshot_locks::provoke(name),
        volumes::provoke(name),
        of_ssm::provoke(name),
        parameters(name),
        refused_keys::provoke(name),
    )
}

async fn requests(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let (consumer, nobody) = (&bench.consumer, &bench.nobody);
    let request = match name {
        "MALFORMED_REQUEST" => {
            let request = Request::post("https://ec2.us-west-2.amazonaws.com/");
            let request = request.body(Bytes::from_static(b"\xff\xfe"));
            consumer.signed("ec2", request.expect("a request"))
        }
        "KMS_MALFORMED_REQUEST" => consumer.json("DescribeKey", "{".to_owned()),
        "REQUEST_TOO_LARGE" => return Some(crate::over_http::too_large().await),
        "NO_SUCH_VERSION" => consumer.query("ec2", "DescribeRegions", "2010-01-01", &[]),
        "NOT_IMPLEMENTED" => return Some(consumer.ec2("DescribeVpcs", &[]).await),
        "LAMBDA_TOO_LARGE" => consumer.invoke("ferry", "Event", vec![b' '; 1024 * 1024 + 1]),
        "LAMBDA_ACCESS_DENIED" => nobody.invoke("ferry", "Event", b"{}".to_vec()),
        _ => return None,
    };
    Some(consumer.answer(request).await)
}

async fn throttled(name: &str) -> Option<Answer> {
    let limits = Limits {
        throttling: true,
        ..Limits::default()
    };
    let bench = Bench::of(world().limits(limits));
    let consumer = &bench.consumer;
    Some(match name {
        "REQUEST_LIMIT_EXCEEDED" => {
            for _ in 0..100 {
                consumer.ec2("DescribeRegions", &[]).await.ok();
            }
            consumer.ec2("DescribeRegions", &[]).await
        }
        "KMS_THROTTLING" => {
            let revoke = json!({"KeyId": "target", "GrantId": "0".repeat(64)});
            for _ in 0..50 {
                consumer.kms("RevokeGrant", revoke.clone()).await;
            }
            consumer.kms("RevokeGrant", revoke).await
        }
        _ => return None,
    })
}

/// Provokes the refusals of a disabled Region and of a suspended account.
async fn barred(name: &str) -> Option<Answer> {
    const REGION: &str = "ap-east-1";
    let bench = Bench::new();
    let (sandbox, consumer) = (&bench.sandbox, &bench.consumer);
    let far = consumer.in_region(REGION);
    let disable = || sandbox.edit(|aws| aws.disable_region(CONSUMER, REGION));
    let suspend = || sandbox.edit(|aws| aws.suspend_account(CONSUMER));
    Some(match name {
        "OPT_IN_REQUIRED" => {
            disable();
            far.ec2("DescribeRegions", &[]).await
        }
        "KMS_REGION_DISABLED" => {
            disable();
            far.kms("ListAliases", json!({})).await
        }
        "STS_REGION_DISABLED" => {
            disable();
            far.sts("GetCallerIdentity", &[]).await
        }
        "ACCOUNT_BLOCKED" => {
            suspend();
            consumer.ec2("DescribeRegions", &[]).await
        }
        "ACCOUNT_SUSPENDED" => {
            suspend();
            consumer.sts("GetCallerIdentity", &[]).await
        }
        "KMS_ACCOUNT_SUSPENDED" => {
            suspend();
            consumer.kms("ListAliases", json!({})).await
        }
        _ => return None,
    })
}

async fn parameters(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let describe = |params: &'static [(&'static str, &'static str)]| {
        bench.consumer.ec2("DescribeSnapshots", params)
    };
    Some(match name {
        "MISSING_PARAMETER" => bench.consumer.ec2("DeleteSnapshot", &[]).await,
        "UNKNOWN_PARAMETER" => describe(&[("SnapshotID.1", "x")]).await,
        "INVALID_PARAMETER_VALUE" => describe(&[("DryRun", "perhaps")]).await,
        "INVALID_FILTER" => {
            describe(&[("Filter.1.Name", "colour"), ("Filter.1.Value.1", "x")]).await
        }
        "FILTER_WITHOUT_VALUES" => describe(&[("Filter.1.Name", "status")]).await,
        "TOO_MANY_FILTER_VALUES" => {
            let names: Vec<String> = (1..=201).map(|i| format!("Filter.1.Value.{i}")).collect();
            let mut params: Vec<(&str, &str)> =
                names.iter().map(|name| (name.as_str(), "x")).collect();
            params.push(("Filter.1.Name", "status"));
            bench.consumer.ec2("DescribeSnapshots", &params).await
        }
        "MAX_RESULTS_RANGE" => describe(&[("MaxResults", "4")]).await,
        "MAX_RESULTS_WITH_IDS" => {
            describe(&[("MaxResults", "10"), ("SnapshotId.1", "snap-12345678")]).await
        }
        "INVALID_NEXT_TOKEN" => describe(&[("MaxResults", "10"), ("NextToken", "elsewhere")]).await,
        "DRY_RUN_OPERATION" => describe(&[("DryRun", "true")]).await,
        "UNAUTHORIZED_OPERATION" => bench.nobody.ec2("DescribeSnapshots", &[]).await,
        _ => return None,
    })
}

const HOSTILE: [(&str, &str, &[u8]); 5] = [
    (
        "POST",
        "https://ec2.us-west-2.amazonaws.com/",
        b"Action=DescribeImages&Version=2016-11-15&Filter.0.Name=%ff&ImageId.4294967296=x",
    ),
    (
        "GET",
        "https://ec2.us-west-2.amazonaws.com/?Action=&Version=%00",
        b"",
    ),
    (
        "DELETE",
        "https://ec2.us-west-2.amazonaws.com/%2e%2e/x?&&&=",
        b"\0\0\0",
    ),
    (
        "PUT",
        "https://lambda.us-west-2.amazonaws.com/2015-03-31/functions/%ff/invocations",
        b"{}",
    ),
    (
        "POST",
        "https://sts.us-west-2.amazonaws.com/",
        b"Action=AssumeRole&Version=2011-06-15&RoleArn=%F0%9F%92%A9",
    ),
];

#[tokio::test(start_paused = true)]
async fn a_hostile_request_is_refused_signed_or_not() {
    let bench = Bench::new();
    let consumer = &bench.consumer;
    for (method, uri, body) in HOSTILE {
        for service in ["ec2", "sts", "kms", "iam", "lambda", "organizations", "s3"] {
            let request = || {
                let request = Request::builder().method(method).uri(uri);
                request.body(Bytes::from_static(body)).expect("a request")
            };
            let signed = consumer.answer(consumer.signed(service, request())).await;
            assert!(signed.status >= 400, "{signed:?}");
            let unsigned = consumer.answer(request()).await;
            assert!(unsigned.status >= 400, "{unsigned:?}");
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.sandbox.images(CONSUMER, WEST).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hostile_json_body_is_refused() {
    let bench = Bench::new();
    let consumer = &bench.consumer;
    for body in [
        "null",
        "[]",
        "{\"KeyId\": 7}",
        "{\"KeyId\": \"arn:\"}",
        "{\"KeyId\": \"arn:aws:kms:us-west-2:1:\"}",
        "\u{0}",
    ] {
        let request = consumer.json("DescribeKey", body.to_owned());
        let answer = consumer.answer(request).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hostile_authorization_header_is_refused() {
    let bench = Bench::new();
    for header in [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b",
        "Bearer x",
        "AWS4-HMAC-SHA256 Credential=////aws4_request, SignedHeaders=, Signature=",
    ] {
        let request = Request::post("https://ec2.us-west-2.amazonaws.com/")
            .header("authorization", header)
            .header("x-amz-date", "20260101T000000Z")
            .body(Bytes::new());
        let answer = bench.consumer.answer(request.expect("a request")).await;
        assert!(answer.status >= 400, "{answer:?}");
    }
}
