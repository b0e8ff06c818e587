//! The Rust SDK's S3 client against the sandbox: how it signs, encodes and reads what a ledger
//! needs.

use amiferry_sandbox::{Account, Bucket, Call, Fault, Role, Sandbox, World};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::Object;
use serde_json::json;

use crate::support::{HOME, SOURCE, config_in};

const BUCKET: &str = "amiferry-ledger";
/// A key whose slashes stay as they are, while the client encodes all else.
const KEY: &str = "runs/a b+c=ü&<x>";

fn world() -> World {
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "s3:*", "Resource": "*",
    }]});
    let role = format!("arn:aws:iam::{SOURCE}:role/amiferry");
    let account = Account::new(SOURCE)
        .role(Role::new("amiferry").policy(policy))
        .access_key("AKIAIOSFODNNPRODUCER", "producer-secret", &role)
        .bucket(Bucket::new(HOME, BUCKET));
    World::new().account(account)
}

async fn client(sandbox: &Sandbox) -> Client {
    let config = config_in(HOME, sandbox.http_client(), sandbox.time_source());
    Client::new(&config.await)
}

fn put(s3: &Client, body: &str) -> PutObjectFluentBuilder {
    let body = ByteStream::from(body.as_bytes().to_vec());
    s3.put_object().bucket(BUCKET).key(KEY).body(body)
}

#[tokio::test(start_paused = true)]
async fn conditional_writes_and_deletes_follow_the_etag() {
    let sandbox = Sandbox::new(world());
    let s3 = client(&sandbox).await;
    let first = put(&s3, "one")
        .if_none_match("*")
        .send()
        .await
        .expect("written");
    let etag = first.e_tag().expect("an ETag").to_owned();
    let taken = put(&s3, "two")
        .if_none_match("*")
        .send()
        .await
        .expect_err("taken");
    let response = taken.raw_response().map(|raw| raw.status().as_u16());
    assert_eq!(
        (response, taken.code()),
        (Some(412), Some("PreconditionFailed"))
    );
    let second = put(&s3, "two")
        .if_match(&etag)
        .send()
        .await
        .expect("the first was there");
    let back = put(&s3, "one").if_match(second.e_tag().expect("an ETag"));
    assert_eq!(
        back.send().await.expect("written").e_tag(),
        Some(etag.as_str())
    );
    let read = s3
        .get_object()
        .bucket(BUCKET)
        .key(KEY)
        .send()
        .await
        .expect("an object");
    assert_eq!(read.e_tag(), Some(etag.as_str()));
    let body = read
        .body
        .collect()
        .await
        .expect("a body whose checksum holds");
    assert_eq!(body.into_bytes(), "one");
    let delete = || {
        s3.delete_object()
            .bucket(BUCKET)
            .key(KEY)
            .if_match(&etag)
            .send()
    };
    delete().await.expect("it is still the first");
    assert_eq!(delete().await.expect_err("gone").code(), Some("NoSuchKey"));
    let absent = s3.get_object().bucket(BUCKET).key(KEY).send().await;
    let absent = absent.expect_err("gone").into_service_error();
    assert!(absent.is_no_such_key(), "{absent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_long_listing_is_read_in_pages() {
    let sandbox = Sandbox::new(world());
    let keys: Vec<String> = (0..5).map(|number| format!("runs/{number} +ü")).collect();
    for key in &keys {
        sandbox.edit(|aws| aws.put_object(BUCKET, key, "1"));
    }
    let s3 = client(&sandbox).await;
    let list = s3
        .list_objects_v2()
        .bucket(BUCKET)
        .prefix("runs/")
        .max_keys(2);
    let pages = list
        .into_paginator()
        .send()
        .try_collect()
        .await
        .expect("pages");
    let found = pages.iter().flat_map(ListObjectsV2Output::contents);
    let found: Vec<&str> = found.filter_map(Object::key).collect();
    assert_eq!(
        (pages.len(), found),
        (3, keys.iter().map(String::as_str).collect())
    );
}

#[tokio::test]
async fn a_streamed_body_is_sent_in_chunks_with_a_trailer() {
    let sandbox = Sandbox::new(world());
    let s3 = client(&sandbox).await;
    let path = std::env::temp_dir().join(format!("amiferry-bucket-{}", std::process::id()));
    let content = "line\n".repeat(100_000);
    std::fs::write(&path, &content).expect("a file");
    let body = ByteStream::from_path(&path).await.expect("a stream");
    let sent = s3
        .put_object()
        .bucket(BUCKET)
        .key("stream")
        .body(body)
        .send()
        .await;
    std::fs::remove_file(&path).expect("the file");
    sent.expect("written");
    assert_eq!(sandbox.objects(BUCKET)["stream"], content.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn s3_refusals_reach_the_client_with_their_codes() {
    let sandbox = Sandbox::new(world());
    let s3 = client(&sandbox).await;
    let other = s3.get_object().bucket("nowhere").key("a").send().await;
    assert_eq!(other.expect_err("no bucket").code(), Some("NoSuchBucket"));
    let head = s3.head_object().bucket(BUCKET).key("a").send().await;
    assert!(
        head.expect_err("no object")
            .into_service_error()
            .is_not_found()
    );
    let east = config_in("us-east-1", sandbox.http_client(), sandbox.time_source()).await;
    let away = Client::new(&east)
        .get_object()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await;
    assert_eq!(
        away.expect_err("elsewhere").code(),
        Some("PermanentRedirect")
    );
    sandbox.set_fault(|call: &Call| match call.operation.as_str() {
        "PutObject" => Fault::Refuse {
            status: 409,
            code: "ConditionalRequestConflict".to_owned(),
            message: "another request".to_owned(),
        },
        _ => Fault::None,
    });
    let conflict = put(&s3, "one")
        .if_none_match("*")
        .send()
        .await
        .expect_err("a conflict");
    assert_eq!(conflict.code(), Some("ConditionalRequestConflict"));
}
