//! Buckets: created, refused and deleted.

use amiferry_sandbox::Sandbox;

use crate::client::{Answer, Client};
use crate::policies::{allow, document};
use crate::s3::{BUCKET, EASTERN, bench, bucket, request, world};
use crate::worlds::{EAST, WEST};

const NEW: &str = "amiferry-new";

fn configuration(inner: &str) -> String {
    let namespace = "http://s3.amazonaws.com/doc/2006-03-01/";
    format!("<CreateBucketConfiguration xmlns=\"{namespace}\">{inner}</CreateBucketConfiguration>")
}

fn location(region: &str) -> String {
    configuration(&format!(
        "<LocationConstraint>{region}</LocationConstraint>"
    ))
}

async fn send(client: &Client, method: &str, name: &str, body: &str) -> Answer {
    let uri = format!("https://{name}.{}/", client.host("s3"));
    let request = request(method, &uri, &[], body.as_bytes());
    client.answer(client.signed("s3", request)).await
}

async fn create(client: &Client, name: &str, body: &str) -> Answer {
    send(client, "PUT", name, body).await
}

pub async fn provoke(name: &str, sandbox: &Sandbox, client: &Client) -> Option<Answer> {
    let east = client.in_region(EAST);
    Some(match name {
        "S3_BUCKET_EXISTS" => {
            let foreign = Client::new(sandbox, WEST, "AKIAFOREIGN", "foreign");
            create(&foreign, BUCKET, &location(WEST)).await
        }
        "S3_BUCKET_OWNED" => create(client, BUCKET, &location(WEST)).await,
        "S3_BUCKET_NOT_EMPTY" => {
            sandbox.edit(|aws| aws.put_object(BUCKET, "a", "1"));
            send(client, "DELETE", BUCKET, "").await
        }
        "S3_LOCATION_ILLEGAL" => create(client, NEW, "").await,
        "S3_LOCATION_INVALID" => create(&east, NEW, &location(EAST)).await,
        "S3_MALFORMED_XML" => create(client, NEW, "<CreateBucketConfiguration>").await,
        _ => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn a_bucket_is_created_used_and_deleted() {
    let (sandbox, client) = bench();
    for (client, body) in [
        (client.clone(), location(WEST)),
        (client.in_region(EAST), String::new()),
        (client.in_region(EAST), configuration("")),
    ] {
        create(&client, NEW, &body).await.ok();
        let uri = format!("https://{NEW}.{}/a", client.host("s3"));
        let put = client.signed("s3", request("PUT", &uri, &[], b"1"));
        client.answer(put).await.ok();
        assert_eq!(sandbox.objects(NEW)["a"], b"1");
        assert!(sandbox.edit(|aws| aws.clear_bucket(NEW)));
        assert_eq!(send(&client, "DELETE", NEW, "").await.status, 204);
        let gone = send(&client, "DELETE", NEW, "").await;
        assert_eq!(gone.code.as_deref(), Some("NoSuchBucket"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_of_the_first_region_is_created_again() {
    let (sandbox, client) = bench();
    let east = client.in_region(EAST);
    sandbox.edit(|aws| aws.put_object(EASTERN, "a", "1"));
    create(&east, EASTERN, "").await.ok();
    assert_eq!(sandbox.objects(EASTERN).len(), 1);
    let west = create(&client, EASTERN, &location(WEST)).await;
    assert_eq!(west.code.as_deref(), Some("BucketAlreadyOwnedByYou"));
}

#[tokio::test(start_paused = true)]
async fn a_bucket_is_created_only_in_the_region_of_the_endpoint() {
    let (_, client) = bench();
    let east = client.in_region(EAST);
    for (client, body, code) in [
        (
            &client,
            location(EAST),
            "IllegalLocationConstraintException",
        ),
        (
            &client,
            configuration(""),
            "IllegalLocationConstraintException",
        ),
        (&east, location(WEST), "NotImplemented"),
        (&client, configuration("<Tags></Tags>"), "NotImplemented"),
        (&client, "{}".to_owned(), "MalformedXML"),
        (
            &client,
            configuration("<LocationConstraint>"),
            "MalformedXML",
        ),
    ] {
        let answer = create(client, NEW, &body).await;
        assert_eq!(answer.code.as_deref(), Some(code), "{body}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn buckets_need_permissions_of_their_own() {
    for (action, resource, expected) in [
        ("s3:CreateBucket", "arn:aws:s3:::amiferry-new", [200, 403]),
        ("s3:CreateBucket", "arn:aws:s3:::amiferry-new/*", [403, 404]),
        ("s3:*Bucket", "*", [200, 204]),
        ("s3:ListBucket", "*", [403, 404]),
    ] {
        let policy = document(&[allow(action, resource)]).to_string();
        let sandbox = Sandbox::new(world(&policy, bucket()));
        let role = Client::new(&sandbox, WEST, "AKIALEDGER", "ledger");
        let made = create(&role, NEW, &location(WEST)).await;
        let deleted = send(&role, "DELETE", NEW, "").await;
        assert_eq!([made.status, deleted.status], expected, "{action}");
    }
}
