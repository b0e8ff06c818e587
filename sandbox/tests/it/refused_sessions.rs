//! Provoking the refusals of signatures, credentials and STS.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::client::{Answer, Client};
use crate::worlds::{Bench, COPIER, FERRY, PRODUCER};

const WITH_ID: (&str, &str) = ("ExternalId", "shared-secret");

pub async fn provoke(name: &str) -> Option<Answer> {
    if let Some(answer) = signatures(name).await {
        return Some(answer);
    }
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
    let stranger = Client {
        key: "AKIASTRANGER".to_owned(),
        ..consumer.clone()
    };
    let forger = Client {
        secret: "guessed".to_owned(),
        ..consumer.clone()
    };
    let old = bench.sandbox.now() - Duration::from_mins(6);
    let unsigned = || Request::post("https://ec2.us-west-2.amazonaws.com/");
    let form = |service: &str, action: &str| {
        let version = if service == "ec2" {
            "2016-11-15"
        } else {
            "2011-06-15"
        };
        Request::post(format!("https://{service}.us-west-2.amazonaws.com/"))
            .body(Bytes::from(format!("Action={action}&Version={version}")))
            .expect("a request")
    };
    let target = || {
        Request::post("https://kms.us-west-2.amazonaws.com/")
            .header("x-amz-target", "TrentService.ListAliases")
            .body(Bytes::from_static(b"{}"))
            .expect("a request")
    };
    Some(match name {
        "MISSING_AUTHENTICATION_TOKEN" => {
            consumer
                .answer(unsigned().body(Bytes::new()).expect("a request"))
                .await
        }
        "INCOMPLETE_SIGNATURE" => {
            let header = unsigned().header("authorization", "AWS4-HMAC-SHA256 Credential=x");
            consumer
                .answer(header.body(Bytes::new()).expect("a request"))
                .await
        }
        "AUTH_FAILURE" => forger.ec2("DescribeRegions", &[]).await,
        "EC2_REQUEST_EXPIRED" => {
            consumer
                .answer(consumer.signed_at("ec2", form("ec2", "DescribeRegions"), old))
                .await
        }
        "INVALID_CLIENT_TOKEN_ID" => stranger.sts("GetCallerIdentity", &[]).await,
        "SIGNATURE_DOES_NOT_MATCH" => forger.sts("GetCallerIdentity", &[]).await,
        "SIGNATURE_EXPIRED" => {
            consumer
                .answer(consumer.signed_at("sts", form("sts", "GetCallerIdentity"), old))
                .await
        }
        "WRONG_SCOPE" => {
            let elsewhere = consumer.in_region("us-east-1");
            elsewhere
                .answer(elsewhere.signed("sts", form("sts", "GetCallerIdentity")))
                .await
        }
        "EXPIRED_TOKEN" | "KMS_EXPIRED_TOKEN" => {
            let session = bench.ferry.assume(COPIER, &[WITH_ID]).await;
            tokio::time::sleep(Duration::from_mins(61)).await;
            if name == "EXPIRED_TOKEN" {
                session.sts("GetCallerIdentity", &[]).await
            } else {
                session.kms("ListAliases", json!({})).await
            }
        }
        "KMS_UNRECOGNIZED_CLIENT" => stranger.kms("ListAliases", json!({})).await,
        "KMS_INVALID_SIGNATURE" => forger.kms("ListAliases", json!({})).await,
        "KMS_SIGNATURE_EXPIRED" => {
            consumer
                .answer(consumer.signed_at("kms", target(), old))
                .await
        }
        _ => return None,
    })
}
