//! Provoking the refusals of signatures, credentials and STS.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::client::{Answer, Client};
use crate::worlds::{Bench, COPIER, FERRY, PRODUCER};

const WITH_ID: (&str, &str) = ("ExternalId", "shared-secret");

pub async fn provoke(name: &str) -> Option<Answer> {
    first_of!(signatures(name), credentials(name), sessions(name))
}

async fn sessions(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let ferry = &bench.ferry;
    let assume = |more: Vec<(&'static str, String)>| async move {
        let mut params = vec![("RoleArn", COPIER), ("RoleSessionName", "test"), WITH_ID];
        params.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
        params.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
        ferry.sts("AssumeRole", &params).await
    };
    Some(match name {
        "STS_ACCESS_DENIED" => assume(vec![("ExternalId", "guessed".to_owned())]).await,
        "STS_VALIDATION" => assume(vec![("RoleSessionName", "x".to_owned())]).await,
        "STS_CHAINING" => assume(vec![("DurationSeconds", "3601".to_owned())]).await,
        "STS_MAX_SESSION" => {
            let own = [
                ("RoleArn", FERRY),
                ("RoleSessionName", "test"),
                ("DurationSeconds", "7200"),
            ];
            let trust = json!({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": PRODUCER}, "Action": "sts:AssumeRole"}]});
            let role = amiferry_sandbox::Role::admin("self").trust_policy(trust);
            let mut world = crate::worlds::world();
            world.accounts[0].roles.push(role);
            let bench = Bench::of(world);
            let mut params = own.to_vec();
            params[0].1 = "arn:aws:iam::111111111111:role/self";
            bench.producer.sts("AssumeRole", &params).await
        }
        "STS_POLICY_MALFORMED" => assume(vec![("Policy", "{}".to_owned())]).await,
        "STS_POLICY_TOO_LARGE" => assume(vec![("Policy", " ".repeat(1101))]).await,
        "STS_POLICY_TOO_LONG" => assume(vec![("Policy", " ".repeat(2049))]).await,
        "GLOBAL_TOKEN_IN_OPT_IN_REGION" => global_token(&bench).await,
        _ => return None,
    })
}

/// Uses a token of `sts.amazonaws.com` in an opt-in Region.
async fn global_token(bench: &Bench) -> Answer {
    let global = bench.ferry.in_region("us-east-1");
    let body = format!(
        "Action=AssumeRole&Version=2011-06-15&RoleArn={COPIER}&RoleSessionName=test\
         &ExternalId=shared-secret"
    );
    let request = Request::post("https://sts.amazonaws.com/")
        .body(Bytes::from(body))
        .expect("a request");
    let answer = global.answer(global.signed("sts", request)).await.ok();
    let session = Client {
        key: answer.text("AccessKeyId").expect("a key"),
        secret: answer.text("SecretAccessKey").expect("a secret"),
        token: answer.text("SessionToken"),
        ..global.clone()
    };
    session.ec2("DescribeRegions", &[]).await.ok();
    session
        .in_region("ap-east-1")
        .ec2("DescribeRegions", &[])
        .await
}

async fn signatures(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let consumer = &bench.consumer;
    let elsewhere = consumer.in_region("us-east-1");
    let old = bench.sandbox.now() - Duration::from_mins(6);
    let post = |service: &str| Request::post(format!("https://{service}.us-west-2.amazonaws.com/"));
    let identity = || {
        let body = Bytes::from_static(b"Action=GetCallerIdentity&Version=2011-06-15");
        post("sts").body(body)
    };
    let request = match name {
        "MISSING_AUTHENTICATION_TOKEN" => post("ec2").body(Bytes::new()).expect("a request"),
        "INCOMPLETE_SIGNATURE" => {
            let garbled = post("ec2").header("authorization", "AWS4-HMAC-SHA256 Credential=x");
            garbled.body(Bytes::new()).expect("a request")
        }
        "EC2_REQUEST_EXPIRED" => {
            let body = Bytes::from_static(b"Action=DescribeRegions&Version=2016-11-15");
            let request = post("ec2").body(body).expect("a request");
            consumer.signed_at("ec2", request, old)
        }
        "SIGNATURE_EXPIRED" => consumer.signed_at("sts", identity().expect("a request"), old),
        "WRONG_SCOPE" => elsewhere.signed("sts", identity().expect("a request")),
        "KMS_SIGNATURE_EXPIRED" => {
            let target = post("kms").header("x-amz-target", "TrentService.ListAliases");
            let request = target.body(Bytes::from_static(b"{}"));
            consumer.signed_at("kms", request.expect("a request"), old)
        }
        _ => return None,
    };
    Some(consumer.answer(request).await)
}

async fn credentials(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let stranger = Client {
        key: "AKIASTRANGER".to_owned(),
        ..bench.consumer.clone()
    };
    let forger = Client {
        secret: "guessed".to_owned(),
        ..bench.consumer.clone()
    };
    let expired = async || {
        let session = bench.ferry.assume(COPIER, &[WITH_ID]).await;
        tokio::time::sleep(Duration::from_mins(61)).await;
        session
    };
    Some(match name {
        "AUTH_FAILURE" => forger.ec2("DescribeRegions", &[]).await,
        "INVALID_CLIENT_TOKEN_ID" => stranger.sts("GetCallerIdentity", &[]).await,
        "SIGNATURE_DOES_NOT_MATCH" => forger.sts("GetCallerIdentity", &[]).await,
        "EXPIRED_TOKEN" => expired().await.sts("GetCallerIdentity", &[]).await,
        "KMS_EXPIRED_TOKEN" => expired().await.kms("ListAliases", json!({})).await,
        "KMS_UNRECOGNIZED_CLIENT" => stranger.kms("ListAliases", json!({})).await,
        "KMS_INVALID_SIGNATURE" => forger.kms("ListAliases", json!({})).await,
        _ => return None,
    })
}
