//! Permissions in a bucket: identity policies, the bucket policy, and the answers about absent
//! keys.

use amiferry_sandbox::{Bucket, Sandbox, World};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::s3::{BUCKET, BUCKET_ARN, allow, arn, bucket, policy, request, world};
use crate::worlds::{CONSUMER, PRODUCER, WEST};

const IN_BUCKET: &str = "arn:aws:s3:::amiferry-ledger/*";

/// Returns the role `ledger` with these statements, and a bucket that holds `runs/a`.
fn role(statements: &[Value], bucket: Bucket) -> (Sandbox, Client) {
    of(world(&policy(statements), bucket.object("runs/a", "1")))
}

fn of(world: World) -> (Sandbox, Client) {
    let sandbox = Sandbox::new(world);
    let client = Client::new(&sandbox, WEST, "AKIALEDGER", "ledger");
    (sandbox, client)
}

fn foreigner(sandbox: &Sandbox) -> Client {
    Client::new(sandbox, WEST, "AKIAFOREIGN", "foreign")
}

fn bucket_policy(statements: &[Value]) -> Bucket {
    bucket().policy(policy(statements))
}

/// Returns a statement of a bucket policy.
fn named(effect: &str, principal: &str, action: &str, condition: &Value) -> Value {
    json!({
        "Effect": effect, "Principal": {"AWS": principal}, "Action": action,
        "Resource": [BUCKET_ARN, IN_BUCKET], "Condition": condition,
    })
}

async fn get(client: &Client, path: &str) -> Answer {
    client.s3("GET", path, &[], b"").await
}

fn code(answer: &Answer) -> &str {
    answer.code.as_deref().unwrap_or("")
}

#[tokio::test(start_paused = true)]
async fn each_s3_operation_needs_its_permission() {
    for (action, method, path) in [
        ("s3:GetObject", "GET", "/runs/a"),
        ("s3:GetObject", "HEAD", "/runs/a"),
        ("s3:PutObject", "PUT", "/runs/a"),
        ("s3:DeleteObject", "DELETE", "/runs/a"),
        ("s3:ListBucket", "GET", "/?list-type=2"),
        ("s3:ListBucket", "HEAD", "/"),
    ] {
        let resource = if action == "s3:ListBucket" {
            BUCKET_ARN
        } else {
            IN_BUCKET
        };
        let (_, allowed) = role(&[allow(action, resource)], bucket());
        let answer = allowed.s3(method, path, &[], b"").await;
        assert_eq!(answer.status / 100, 2, "{action}: {answer:?}");
        let other = [allow("s3:GetObjectTagging", IN_BUCKET)];
        let (_, denied) = role(&other, bucket());
        let answer = denied.s3(method, path, &[], b"").await;
        assert_eq!(answer.status, 403, "{action}: {answer:?}");
        let says = format!("perform: {action} on resource: &quot;{BUCKET_ARN}");
        assert!(
            method == "HEAD" || answer.body.contains(&says),
            "{answer:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_condition_on_the_etag_needs_permission_to_read() {
    let may = [
        allow("s3:PutObject", IN_BUCKET),
        allow("s3:DeleteObject", IN_BUCKET),
    ];
    let (_, client) = role(&may, bucket());
    for (method, header) in [("PUT", "\"x\""), ("DELETE", "\"x\"")] {
        let answer = client
            .s3(method, "/runs/a", &[("if-match", header)], b"")
            .await;
        assert_eq!(code(&answer), "AccessDenied", "{method}");
        assert!(answer.body.contains("perform: s3:GetObject"), "{answer:?}");
    }
    client
        .s3("PUT", "/runs/b", &[("if-none-match", "*")], b"")
        .await
        .ok();
    client
        .s3("DELETE", "/runs/b", &[("if-match", "*")], b"")
        .await
        .ok();
}

#[tokio::test(start_paused = true)]
async fn an_absent_key_shows_only_to_callers_that_may_list() {
    let reads = allow("s3:GetObject", IN_BUCKET);
    let (_, blind) = role(std::slice::from_ref(&reads), bucket());
    let answer = get(&blind, "/runs/b").await;
    assert_eq!((answer.status, code(&answer)), (403, "AccessDenied"));
    assert!(answer.body.contains("perform: s3:ListBucket"), "{answer:?}");
    let (_, listing) = role(
        &[reads.clone(), allow("s3:ListBucket", BUCKET_ARN)],
        bucket(),
    );
    let answer = get(&listing, "/runs/b").await;
    assert_eq!((answer.status, code(&answer)), (404, "NoSuchKey"));
    // GetObject has no prefix, so a permission that needs a prefix does not apply.
    let mut narrow = allow("s3:ListBucket", BUCKET_ARN);
    narrow["Condition"] = json!({"StringLike": {"s3:prefix": "runs/*"}});
    let (_, narrowed) = role(&[reads, narrow], bucket());
    assert_eq!(code(&get(&narrowed, "/runs/b").await), "AccessDenied");
}

#[tokio::test(start_paused = true)]
async fn listing_may_be_limited_to_a_prefix() {
    let mut narrow = allow("s3:ListBucket", BUCKET_ARN);
    narrow["Condition"] = json!({"StringLike": {"s3:prefix": "runs/*"}});
    let (_, client) = role(&[narrow], bucket());
    get(&client, "/?list-type=2&prefix=runs%2F").await.ok();
    assert_eq!(
        code(&get(&client, "/?list-type=2&prefix=other").await),
        "AccessDenied"
    );
    assert_eq!(code(&get(&client, "/?list-type=2").await), "AccessDenied");
}

#[tokio::test(start_paused = true)]
async fn a_bucket_policy_alone_lets_a_role_of_its_account_act() {
    let nothing = [allow("s3:GetObjectTagging", IN_BUCKET)];
    for (principal, expected) in [
        (arn(PRODUCER, "ledger"), 200),
        ("*".to_owned(), 200),
        // A policy that names the account delegates to the account's identity policies.
        (PRODUCER.to_owned(), 403),
        (arn(PRODUCER, "other"), 403),
    ] {
        let statement = named("Allow", &principal, "s3:GetObject", &json!({}));
        let (_, client) = role(&nothing, bucket_policy(&[statement]));
        assert_eq!(
            get(&client, "/runs/a").await.status,
            expected,
            "{principal}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_caller_needs_both_policies() {
    let everything = [allow("s3:*", "*")];
    let (sandbox, _) = role(&everything, bucket());
    let answer = get(&foreigner(&sandbox), "/runs/a").await;
    assert_eq!(
        (answer.status, answer.text("Message").as_deref()),
        (403, Some("Access Denied"))
    );
    let statement = named("Allow", CONSUMER, "s3:GetObject", &json!({}));
    let (sandbox, _) = role(&everything, bucket_policy(&[statement]));
    let foreign = foreigner(&sandbox);
    get(&foreign, "/runs/a").await.ok();
    let admin = arn(CONSUMER, "admin");
    let only = policy(&[allow("s3:PutObject", "*")]);
    sandbox.edit(|aws| aws.set_policies(&admin, &[&only]).expect("a policy"));
    assert_eq!(get(&foreign, "/runs/a").await.status, 403);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_policy_forbids_everybody_but_the_named_role() {
    for (operator, allowed) in [
        ("ArnNotEquals", arn(PRODUCER, "ledger")),
        (
            "StringNotLike",
            "arn:aws:iam::111111111111:role/led*".to_owned(),
        ),
    ] {
        let condition = json!({operator: {"aws:PrincipalArn": allowed}});
        let deny = named("Deny", "*", "s3:*", &condition);
        let (sandbox, client) = role(&[allow("s3:*", "*")], bucket_policy(&[deny]));
        get(&client, "/runs/a").await.ok();
        let answer = get(&crate::s3::admin(&sandbox), "/runs/a").await;
        assert_eq!(code(&answer), "AccessDenied", "{operator}");
        let why = "with an explicit deny in a resource-based policy";
        assert!(answer.body.contains(why), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_policy_may_require_tls_and_conditions() {
    let insecure = json!({"Bool": {"aws:SecureTransport": "false"}});
    let bare = json!({"Null": {"s3:if-match": "true", "s3:if-none-match": "true"}});
    let denies = [
        named("Deny", "*", "s3:*", &insecure),
        named("Deny", "*", "s3:PutObject", &bare),
    ];
    let (_, client) = role(&[allow("s3:*", "*")], bucket_policy(&denies));
    get(&client, "/runs/a").await.ok();
    let uri = format!("http://{BUCKET}.s3.us-west-2.amazonaws.com/runs/a");
    let plain = client.signed("s3", request("GET", &uri, &[], b""));
    assert_eq!(code(&client.answer(plain).await), "AccessDenied");
    assert_eq!(
        code(&client.s3("PUT", "/b", &[], b"").await),
        "AccessDenied"
    );
    client
        .s3("PUT", "/b", &[("if-none-match", "*")], b"")
        .await
        .ok();
}

#[tokio::test(start_paused = true)]
async fn a_changed_bucket_policy_is_in_force_at_once() {
    let (sandbox, client) = role(&[allow("s3:*", "*")], bucket());
    let deny = policy(&[named("Deny", "*", "s3:GetObject", &json!({}))]);
    assert_eq!(
        sandbox.edit(|aws| aws.set_bucket_policy(BUCKET, &deny)),
        Ok(true)
    );
    assert_eq!(get(&client, "/runs/a").await.status, 403);
    assert!(sandbox.edit(|aws| aws.drop_bucket_policy(BUCKET)));
    get(&client, "/runs/a").await.ok();
    assert_eq!(
        sandbox.edit(|aws| aws.set_bucket_policy("nowhere", &deny)),
        Ok(false)
    );
    let foreign = policy(&[json!({
        "Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": "arn:aws:s3:::amiferry-ledgers",
    })]);
    let error = sandbox.edit(|aws| aws.set_bucket_policy(BUCKET, &foreign));
    assert!(
        error
            .expect_err("another bucket")
            .reason
            .contains("amiferry-ledgers")
    );
}
