//! Objects: written, read, deleted and listed, with and without conditions.

use std::collections::BTreeMap;

use amiferry_sandbox::{Account, Bucket, Fault, Role, Sandbox, World};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

use crate::client::{Answer, Client, Params};
pub use crate::policies::allow;
use crate::policies::document;
use crate::worlds::{CONSUMER, EAST, PRODUCER, WEST};

pub const BUCKET: &str = "amiferry-ledger";
pub const BUCKET_ARN: &str = "arn:aws:s3:::amiferry-ledger";
/// A bucket in another Region.
pub const EASTERN: &str = "amiferry-ledger-east";
/// Bytes that are not UTF-8.
const BYTES: &[u8] = b"\xff\x00\r\n";

pub fn policy(statements: &[Value]) -> String {
    document(statements).to_string()
}

/// Returns a world with two accounts: the first has a ledger bucket and one role, whose access key
/// is `AKIALEDGER`; the other has an administrator.
pub fn world(role_policy: &str, bucket: Bucket) -> World {
    let role = Role::new("ledger").policy(role_policy);
    let owner = Account::new(PRODUCER)
        .role(role)
        .role(Role::admin("admin"))
        .access_key("AKIALEDGER", "ledger", &arn(PRODUCER, "ledger"))
        .access_key("AKIAADMIN", "admin", &arn(PRODUCER, "admin"))
        .bucket(bucket)
        .bucket(Bucket::new(EAST, EASTERN));
    let foreign = Account::new(CONSUMER)
        .role(Role::admin("admin"))
        .access_key("AKIAFOREIGN", "foreign", &arn(CONSUMER, "admin"));
    World::new().account(owner).account(foreign)
}

pub fn arn(account: &str, role: &str) -> String {
    format!("arn:aws:iam::{account}:role/{role}")
}

pub fn bucket() -> Bucket {
    Bucket::new(WEST, BUCKET)
}

pub fn admin(sandbox: &Sandbox) -> Client {
    Client::new(sandbox, WEST, "AKIAADMIN", "admin")
}

/// Returns a sandbox with an empty bucket, and its administrator.
pub fn bench() -> (Sandbox, Client) {
    let sandbox = Sandbox::new(world(&policy(&[allow("s3:*", "*")]), bucket()));
    let client = admin(&sandbox);
    (sandbox, client)
}

impl Client {
    /// Returns a signed request for `https://BUCKET.s3.REGION.amazonaws.com/…`.
    pub fn s3_request(
        &self,
        method: &str,
        path: &str,
        headers: Params<'_>,
        body: &[u8],
    ) -> Request<Bytes> {
        let host = self.host("s3");
        self.signed(
            "s3",
            request(
                method,
                &format!("https://{BUCKET}.{host}{path}"),
                headers,
                body,
            ),
        )
    }

    pub async fn s3(&self, method: &str, path: &str, headers: Params<'_>, body: &[u8]) -> Answer {
        self.answer(self.s3_request(method, path, headers, body))
            .await
    }

    pub async fn s3_response(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.sandbox.send(request).await.expect("an answer")
    }

    /// Writes an object and returns its ETag.
    async fn put(&self, path: &str, headers: Params<'_>, body: &[u8]) -> String {
        let request = self.s3_request("PUT", path, headers, body);
        let response = self.s3_response(request).await;
        assert_eq!(response.status(), 200, "{response:?}");
        header(&response, "etag")
    }
}

pub fn request(method: &str, uri: &str, headers: Params<'_>, body: &[u8]) -> Request<Bytes> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
        .body(Bytes::copy_from_slice(body))
        .expect("a request")
}

pub fn header(response: &Response<Bytes>, name: &str) -> String {
    let value = response.headers().get(name);
    let text = value.and_then(|value| value.to_str().ok());
    text.unwrap_or_default().to_owned()
}

fn outcome(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.code.as_deref())
}

#[tokio::test(start_paused = true)]
async fn an_object_reads_back_as_it_was_written() {
    let (sandbox, client) = bench();
    let etag = client
        .put("/runs/a", &[("content-type", "text/x")], BYTES)
        .await;
    assert_eq!(sandbox.objects(BUCKET)["runs/a"], BYTES);
    let request = client.s3_request("GET", "/runs/a?x-id=GetObject", &[], b"");
    let read = client.s3_response(request).await;
    assert_eq!((read.status().as_u16(), &read.body()[..]), (200, BYTES));
    assert_eq!(header(&read, "etag"), etag);
    assert_eq!(header(&read, "content-type"), "text/x");
    assert_eq!(header(&read, "content-length"), "4");
    assert!(header(&read, "last-modified").ends_with(" GMT"));
    let head = client
        .s3_response(client.s3_request("HEAD", "/runs/a", &[], b""))
        .await;
    assert_eq!(
        (header(&head, "content-length").as_str(), head.body().len()),
        ("4", 0)
    );
    assert_eq!(client.s3("DELETE", "/runs/a", &[], b"").await.status, 204);
    assert!(sandbox.objects(BUCKET).is_empty());
    assert_eq!(client.s3("DELETE", "/runs/a", &[], b"").await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn equal_content_has_an_equal_etag() {
    let (_, client) = bench();
    let first = client.put("/a", &[], b"one").await;
    let second = client.put("/a", &[], b"two").await;
    assert_eq!(client.put("/a", &[], b"one").await, first);
    assert_ne!(second, first);
    assert_eq!(first, "\"f97c5d29941bfb1b2fdab0874906ab82\"");
    // A condition cannot tell the first "one" from the second.
    client.put("/a", &[("if-match", &first)], b"three").await;
}

#[tokio::test(start_paused = true)]
async fn a_write_happens_only_on_its_condition() {
    let (sandbox, client) = bench();
    let absent = client.s3("PUT", "/a", &[("if-match", "\"x\"")], b"1").await;
    assert_eq!(outcome(&absent), (404, Some("NoSuchKey")));
    let etag = client.put("/a", &[("if-none-match", "*")], b"1").await;
    let again = client
        .s3("PUT", "/a", &[("if-none-match", "*")], b"2")
        .await;
    assert_eq!(outcome(&again), (412, Some("PreconditionFailed")));
    assert_eq!(again.text("Condition").as_deref(), Some("If-None-Match"));
    let stale = client.s3("PUT", "/a", &[("if-match", "\"x\"")], b"2").await;
    assert_eq!(outcome(&stale), (412, Some("PreconditionFailed")));
    assert_eq!(sandbox.objects(BUCKET)["a"], b"1");
    client.put("/a", &[("if-match", &etag)], b"2").await;
    let unquoted = client.put("/a", &[], b"3").await;
    client
        .put("/a", &[("if-match", unquoted.trim_matches('"'))], b"4")
        .await;
    assert_eq!(sandbox.objects(BUCKET)["a"], b"4");
}

#[tokio::test(start_paused = true)]
async fn a_delete_happens_only_on_its_condition() {
    let (sandbox, client) = bench();
    for etag in ["*", "\"x\""] {
        let absent = client.s3("DELETE", "/a", &[("if-match", etag)], b"").await;
        assert_eq!(outcome(&absent), (404, Some("NoSuchKey")), "{etag}");
    }
    let etag = client.put("/a", &[], b"1").await;
    let stale = client
        .s3("DELETE", "/a", &[("if-match", "\"x\"")], b"")
        .await;
    assert_eq!(outcome(&stale), (412, Some("PreconditionFailed")));
    assert_eq!(sandbox.objects(BUCKET).len(), 1);
    assert_eq!(
        client
            .s3("DELETE", "/a", &[("if-match", &etag)], b"")
            .await
            .status,
        204
    );
    client.put("/a", &[], b"1").await;
    assert_eq!(
        client
            .s3("DELETE", "/a", &[("if-match", "*")], b"")
            .await
            .status,
        204
    );
    assert!(sandbox.objects(BUCKET).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_listing_goes_page_by_page_in_order() {
    let (sandbox, client) = bench();
    sandbox.edit(|aws| {
        for key in ["runs/c", "runs/a", "runs/b", "other", "z"] {
            assert!(aws.put_object(BUCKET, key, key));
        }
    });
    let first = client
        .s3("GET", "/?list-type=2&prefix=runs%2F&max-keys=2", &[], b"")
        .await
        .ok();
    assert_eq!(first.texts("Key"), ["runs/a", "runs/b"]);
    assert_eq!(first.text("IsTruncated").as_deref(), Some("true"));
    assert_eq!(first.text("KeyCount").as_deref(), Some("2"));
    let token = first.text("NextContinuationToken").expect("a token");
    let path = format!("/?list-type=2&prefix=runs%2F&max-keys=2&continuation-token={token}");
    let second = client.s3("GET", &path, &[], b"").await.ok();
    assert_eq!(second.texts("Key"), ["runs/c"]);
    assert_eq!(second.text("IsTruncated").as_deref(), Some("false"));
    assert_eq!(second.text("NextContinuationToken"), None);
    let after = client
        .s3("GET", "/?list-type=2&start-after=runs%2Fb", &[], b"")
        .await
        .ok();
    assert_eq!(after.texts("Key"), ["runs/c", "z"]);
    let none = client
        .s3("GET", "/?list-type=2&max-keys=0", &[], b"")
        .await
        .ok();
    assert_eq!(
        (none.texts("Key").len(), none.text("IsTruncated").as_deref()),
        (0, Some("false"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_with_unusual_characters_reads_back() {
    let (sandbox, client) = bench();
    let key = "runs/a b+c=ü&<x>/%2F//end";
    let path = "/runs/a%20b%2Bc%3D%C3%BC%26%3Cx%3E/%252F//end";
    client.put(path, &[], b"1").await;
    assert_eq!(sandbox.objects(BUCKET).keys().collect::<Vec<_>>(), [key]);
    assert_eq!(client.s3("GET", path, &[], b"").await.ok().body, "1");
    let listed = client
        .s3("GET", "/?list-type=2&encoding-type=url", &[], b"")
        .await
        .ok();
    let encoded = "runs/a+b%2Bc%3D%C3%BC%26%3Cx%3E/%252F//end";
    assert_eq!(listed.text("Key").as_deref(), Some(encoded));
}

#[tokio::test(start_paused = true)]
async fn a_bucket_is_found_by_path_or_host() {
    let (sandbox, client) = bench();
    for (i, host) in ["https://s3.us-west-2.amazonaws.com", "http://127.0.0.1:9"]
        .iter()
        .enumerate()
    {
        let uri = format!("{host}/{BUCKET}/runs/{i}");
        let request = client.signed("s3", request("PUT", &uri, &[], b"1"));
        assert_eq!(client.s3_response(request).await.status(), 200);
        let key = format!("runs/{i}");
        assert!(sandbox.objects(BUCKET).contains_key(&key), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_is_decoded_and_its_trailer_checked() {
    let (sandbox, client) = bench();
    let headers = [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("x-amz-decoded-content-length", "9"),
        ("content-encoding", "aws-chunked"),
    ];
    let body = b"4\r\n1234\r\n5\r\n56789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n";
    client.put("/a", &headers, body).await;
    assert_eq!(sandbox.objects(BUCKET)["a"], b"123456789");
    let mode = [("x-amz-checksum-mode", "ENABLED")];
    let read = client
        .s3_response(client.s3_request("GET", "/a", &mode, b""))
        .await;
    assert_eq!(header(&read, "x-amz-checksum-crc32"), "y/Q5Jg==");
    let unsigned = [("x-amz-content-sha256", "UNSIGNED-PAYLOAD")];
    client.put("/b", &unsigned, b"as it is").await;
    assert_eq!(sandbox.objects(BUCKET)["b"], b"as it is");
}

#[tokio::test(start_paused = true)]
async fn an_s3_call_is_in_the_ledger_with_its_members() {
    let (sandbox, client) = bench();
    client
        .put("/runs/a", &[("if-none-match", "*")], b"secret")
        .await;
    client
        .s3("GET", "/?list-type=2&prefix=runs%2F", &[], b"")
        .await
        .ok();
    client
        .s3("DELETE", "/runs/a", &[("if-match", "\"x\"")], b"")
        .await;
    let seen: Vec<_> = sandbox
        .ledger()
        .into_iter()
        .map(|call| {
            assert_eq!(
                (call.service.as_str(), call.account.as_str()),
                ("s3", PRODUCER)
            );
            (call.operation, call.params, call.outcome)
        })
        .collect();
    let params = |more: &[(&str, &str)]| {
        let all = [("Bucket", BUCKET)].iter().chain(more);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    let failed = Some(Err("PreconditionFailed".to_owned()));
    assert_eq!(
        seen,
        [
            (
                "PutObject".to_owned(),
                params(&[("Key", "runs/a"), ("IfNoneMatch", "*")]),
                Some(Ok(()))
            ),
            (
                "ListObjectsV2".to_owned(),
                params(&[("Prefix", "runs/")]),
                Some(Ok(()))
            ),
            (
                "DeleteObject".to_owned(),
                params(&[("Key", "runs/a"), ("IfMatch", "\"x\"")]),
                failed
            ),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_answered_in_the_protocol_of_s3() {
    let (sandbox, client) = bench();
    sandbox.set_fault(|call| match call.operation.as_str() {
        "PutObject" => Fault::Refuse {
            status: 409,
            code: "ConditionalRequestConflict".to_owned(),
            message: "The conditional request cannot succeed.".to_owned(),
        },
        _ => Fault::ResetAfter,
    });
    let conflict = client.s3("PUT", "/a", &[], b"1").await;
    assert_eq!(
        outcome(&conflict),
        (409, Some("ConditionalRequestConflict"))
    );
    assert!(conflict.body.contains("<Error><Code>"), "{conflict:?}");
    assert!(sandbox.objects(BUCKET).is_empty());
    sandbox.edit(|aws| aws.put_object(BUCKET, "a", "1"));
    let request = client.s3_request("DELETE", "/a", &[], b"");
    assert!(sandbox.send(request).await.is_err());
    assert!(sandbox.objects(BUCKET).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_test_edits_buckets_and_objects() {
    let (sandbox, client) = bench();
    sandbox.edit(|aws| {
        assert!(aws.put_object(BUCKET, "a", "1") && aws.put_object(BUCKET, "b", "2"));
        assert!(aws.delete_object(BUCKET, "a") && !aws.delete_object(BUCKET, "a"));
    });
    assert_eq!(client.s3("GET", "/b", &[], b"").await.ok().body, "2");
    sandbox.edit(|aws| assert!(aws.clear_bucket(BUCKET)));
    assert_eq!(
        outcome(&client.s3("GET", "/b", &[], b"").await),
        (404, Some("NoSuchKey"))
    );
    sandbox.edit(|aws| assert!(aws.drop_bucket(BUCKET) && !aws.put_object(BUCKET, "a", "1")));
    assert_eq!(
        outcome(&client.s3("GET", "/b", &[], b"").await),
        (404, Some("NoSuchBucket"))
    );
}
