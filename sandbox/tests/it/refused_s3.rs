//! Refusals of S3.

use std::time::Duration;

use amiferry_sandbox::Sandbox;

use crate::client::{Answer, Client, Params};
use crate::s3::{BUCKET, EASTERN, allow, bench, bucket, policy, request, world};
use crate::s3_buckets;
use crate::worlds::{CONSUMER, PRODUCER};

pub async fn provoke(name: &str) -> Option<Answer> {
    if !name.starts_with("S3_") {
        return None;
    }
    let (sandbox, client) = bench();
    first_of!(
        credentials(name, &sandbox, &client),
        signatures(name, &sandbox, &client),
        payloads(name, &client),
        operations(name, &sandbox, &client),
        s3_buckets::provoke(name, &sandbox, &client),
    )
}

async fn get(client: &Client) -> Answer {
    client.s3("GET", "/a", &[], b"").await
}

async fn to(client: &Client, uri: &str) -> Answer {
    let request = client.signed("s3", request("GET", uri, &[], b""));
    client.answer(request).await
}

async fn credentials(name: &str, sandbox: &Sandbox, client: &Client) -> Option<Answer> {
    let client = client.clone();
    let changed = match name {
        "S3_UNKNOWN_KEY" => Client {
            key: "AKIANOBODY".to_owned(),
            ..client
        },
        "S3_INVALID_TOKEN" => Client {
            token: Some("x".to_owned()),
            ..client
        },
        "S3_SIGNATURE" => Client {
            secret: "x".to_owned(),
            ..client
        },
        "S3_EXPIRED_TOKEN" => {
            sandbox.edit(|aws| aws.expire_credentials("AKIAADMIN"));
            client
        }
        "S3_ACCOUNT_PROBLEM" => {
            sandbox.edit(|aws| aws.suspend_account(PRODUCER));
            client
        }
        "S3_REGION_DISABLED" => {
            sandbox.edit(|aws| aws.disable_region(PRODUCER, "ap-east-1"));
            client.in_region("ap-east-1")
        }
        _ => return None,
    };
    Some(changed.s3("GET", "/a", &[], b"").await)
}

async fn signatures(name: &str, sandbox: &Sandbox, client: &Client) -> Option<Answer> {
    let uri = format!("https://{BUCKET}.s3.us-west-2.amazonaws.com/a");
    let unsigned = || request("GET", &uri, &[], b"");
    let sent = match name {
        "S3_ANONYMOUS" => unsigned(),
        "S3_MALFORMED_AUTHORIZATION" => {
            let headers = [("authorization", "AWS4-HMAC-SHA256 Credential=a/b")];
            request("GET", &uri, &headers, b"")
        }
        "S3_WRONG_REGION" => client.in_region("us-east-1").signed("s3", unsigned()),
        "S3_WRONG_SERVICE" => client.signed("ec2", unsigned()),
        "S3_SKEWED" => {
            let early = sandbox.now() - Duration::from_mins(16);
            client.signed_at("s3", unsigned(), early)
        }
        "S3_HEADERS_NOT_SIGNED" => {
            let mut signed = client.s3_request("GET", "/a", &[], b"");
            let value = http::HeaderValue::from_static(PRODUCER);
            let headers = signed.headers_mut();
            headers.insert("x-amz-expected-bucket-owner", value);
            signed
        }
        _ => return None,
    };
    Some(client.answer(sent).await)
}

async fn payloads(name: &str, client: &Client) -> Option<Answer> {
    const STREAM: (&str, &str) = ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    let put = |headers: Params<'static>, body: &'static [u8]| client.s3("PUT", "/a", headers, body);
    Some(match name {
        "S3_CONTENT_SHA_MISSING" => {
            let uri = format!("https://{BUCKET}.s3.us-west-2.amazonaws.com/a");
            client
                .answer(client.signed_bare(request("GET", &uri, &[], b"")))
                .await
        }
        "S3_CONTENT_SHA_INVALID" => put(&[("x-amz-content-sha256", "abc")], b"1").await,
        "S3_CONTENT_SHA_MISMATCH" => {
            let mut signed = client.s3_request("PUT", "/a", &[], b"1");
            *signed.body_mut() = bytes::Bytes::from_static(b"2");
            client.answer(signed).await
        }
        "S3_BAD_DIGEST" => put(&[("x-amz-checksum-crc32", "AAAAAA==")], b"1").await,
        "S3_INCOMPLETE_BODY" => put(&[STREAM], b"5\r\n123").await,
        "S3_MALFORMED_TRAILER" => {
            put(&[STREAM], b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n").await
        }
        _ => return None,
    })
}

async fn operations(name: &str, sandbox: &Sandbox, client: &Client) -> Option<Answer> {
    let endpoint = "https://s3.us-west-2.amazonaws.com";
    let owner = |account| [("x-amz-expected-bucket-owner", account)];
    Some(match name {
        "S3_INVALID_URI" => client.s3("GET", "/%FF", &[], b"").await,
        "S3_KEY_TOO_LONG" => {
            client
                .s3("GET", &format!("/{}", "a".repeat(1025)), &[], b"")
                .await
        }
        "S3_BUCKET_NAME" => to(client, &format!("{endpoint}/Ledger/a")).await,
        "S3_NO_SUCH_BUCKET" => to(client, &format!("{endpoint}/nowhere/a")).await,
        "S3_PERMANENT_REDIRECT" => to(client, &format!("{endpoint}/{EASTERN}/a")).await,
        "S3_EXPECTED_OWNER" => client.s3("GET", "/a", &owner(CONSUMER), b"").await,
        "S3_ACCESS_DENIED" => {
            let sandbox = Sandbox::new(world(&policy(&[allow("s3:PutObject", "*")]), bucket()));
            let role = Client::new(&sandbox, "us-west-2", "AKIALEDGER", "ledger");
            get(&role).await
        }
        "S3_ACCESS_DENIED_ABROAD" => {
            let foreign = Client::new(sandbox, "us-west-2", "AKIAFOREIGN", "foreign");
            get(&foreign).await
        }
        "S3_NO_SUCH_KEY" => client.s3("GET", "/a", &owner(PRODUCER), b"").await,
        "S3_PRECONDITION_FAILED" => {
            sandbox.edit(|aws| aws.put_object(BUCKET, "a", "1"));
            client
                .s3("PUT", "/a", &[("if-none-match", "*")], b"1")
                .await
        }
        "S3_HEADER_NOT_IMPLEMENTED" => {
            client
                .s3("PUT", "/a", &[("if-none-match", "\"x\"")], b"1")
                .await
        }
        "S3_MAX_KEYS" => {
            client
                .s3("GET", "/?list-type=2&max-keys=-1", &[], b"")
                .await
        }
        "S3_CONTINUATION_TOKEN" => {
            client
                .s3("GET", "/?list-type=2&continuation-token=61", &[], b"")
                .await
        }
        "S3_ENCODING_TYPE" => {
            client
                .s3("GET", "/?list-type=2&encoding-type=x", &[], b"")
                .await
        }
        _ => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn an_s3_call_that_is_not_modelled_is_refused_and_changes_nothing() {
    let (sandbox, client) = bench();
    sandbox.edit(|aws| aws.put_object(BUCKET, "a", "1"));
    let cases: [(&str, &str, Params<'_>); 13] = [
        ("GET", "/", &[]),
        ("GET", "/?versioning", &[]),
        ("GET", "/?list-type=2&delimiter=%2F", &[]),
        ("GET", "/?list-type=2&fetch-owner=true", &[]),
        ("PUT", "/", &[("x-amz-acl", "private")]),
        ("POST", "/?delete", &[]),
        ("PUT", "/a?tagging", &[]),
        ("GET", "/a?versionId=1", &[]),
        ("GET", "/a", &[("range", "bytes=0-0")]),
        ("GET", "/a", &[("if-none-match", "\"x\"")]),
        ("PUT", "/a", &[("x-amz-meta-a", "1")]),
        ("PUT", "/b", &[("x-amz-copy-source", "/amiferry-ledger/a")]),
        (
            "PUT",
            "/a",
            &[("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")],
        ),
    ];
    for (method, path, headers) in cases {
        let answer = client.s3(method, path, headers, b"").await;
        assert_eq!(
            answer.status, 501,
            "{method} {path} {headers:?}: {answer:?}"
        );
        assert_eq!(answer.code.as_deref(), Some("NotImplemented"));
    }
    let accelerated = format!("https://{BUCKET}.s3-accelerate.amazonaws.com/a");
    assert_eq!(to(&client, &accelerated).await.status, 501);
    let presigned = format!("https://{BUCKET}.s3.us-west-2.amazonaws.com/a?X-Amz-Signature=x");
    assert_eq!(
        client
            .answer(request("GET", &presigned, &[], b""))
            .await
            .status,
        501
    );
    assert_eq!(sandbox.objects(BUCKET).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_of_another_region_redirects_to_it() {
    let (_, client) = bench();
    let uri = format!("https://{EASTERN}.s3.us-west-2.amazonaws.com/a");
    let signed = client.signed("s3", request("HEAD", &uri, &[], b""));
    let response = client.s3_response(signed).await;
    assert_eq!(
        (response.status().as_u16(), response.body().len()),
        (301, 0)
    );
    assert_eq!(
        crate::s3::header(&response, "x-amz-bucket-region"),
        "us-east-1"
    );
}
