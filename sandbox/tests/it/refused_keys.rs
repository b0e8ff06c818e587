//! Provoking the refusals of KMS.

use amiferry_sandbox::Limits;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::policies::{document, permit};
use crate::worlds::{Bench, COPIER, SOURCE_KEY, TARGET_KEY, world};

/// The operations that copying needs of the source key.
pub const COPYING: [&str; 6] = [
    "DescribeKey",
    "CreateGrant",
    "Decrypt",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
];

pub fn grant() -> Value {
    json!({
        "KeyId": SOURCE_KEY, "GranteePrincipal": COPIER, "Name": "ferry-1",
        "Operations": COPYING,
    })
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

pub async fn provoke(name: &str) -> Option<Answer> {
    first_of!(policies(name), grants(name), keys(name))
}

async fn keys(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let describe = |id: &'static str| bench.consumer.kms("DescribeKey", json!({"KeyId": id}));
    Some(match name {
        "KMS_ACCESS_DENIED" => describe(SOURCE_KEY).await,
        "KMS_VALIDATION" => {
            let all = with(grant(), "Operations", json!(["ReEncrypt*"]));
            bench.producer.kms("CreateGrant", all).await
        }
        "KEY_NOT_FOUND" => describe("nowhere").await,
        "ALIAS_NOT_FOUND" => describe("alias/nowhere").await,
        "KEY_INVALID_ARN" => describe("arn:aws:kms:us-east-1:222222222222:key/east").await,
        "KEY_INVALID_ID" => {
            bench
                .consumer
                .kms("GetKeyPolicy", json!({"KeyId": "alias/amis"}))
                .await
        }
        "KEY_DISABLED" => {
            bench.sandbox.edit(|aws| aws.disable_key(SOURCE_KEY));
            bench.producer.kms("CreateGrant", grant()).await
        }
        "KEY_INVALID_STATE" => {
            bench
                .sandbox
                .edit(|aws| aws.set_key_state(SOURCE_KEY, "PendingDeletion"));
            bench.producer.kms("CreateGrant", grant()).await
        }
        "KEY_FOREIGN" => {
            bench
                .consumer
                .kms("GetKeyPolicy", json!({"KeyId": SOURCE_KEY}))
                .await
        }
        "KEY_TAGS" => {
            let twice = json!({"TagKey": "a", "TagValue": "b"});
            let body = json!({"Tags": [twice, twice]});
            bench.consumer.kms("CreateKey", body).await
        }
        "MARKER_INVALID" => {
            let body = json!({"KeyId": TARGET_KEY, "Marker": "elsewhere"});
            bench.consumer.kms("ListGrants", body).await
        }
        _ => return None,
    })
}

async fn policies(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let put = |policy: String| {
        bench.consumer.kms(
            "PutKeyPolicy",
            json!({"KeyId": TARGET_KEY, "Policy": policy}),
        )
    };
    let naming = |principal: &str| document(&[permit(principal, "kms:*")]).to_string();
    Some(match name {
        "POLICY_MALFORMED" => put("{\"Statement\": 1}".to_owned()).await,
        "POLICY_UNKNOWN_PRINCIPAL" => put(naming("arn:aws:iam::222222222222:role/Nobody")).await,
        "POLICY_LOCKOUT" => put(naming(COPIER)).await,
        "POLICY_TOO_LONG" => put(format!("{:33000}", naming(COPIER))).await,
        "POLICY_NAME" => {
            let body = json!({"KeyId": TARGET_KEY, "PolicyName": "other"});
            bench.consumer.kms("GetKeyPolicy", body).await
        }
        "MANAGED_KEY_POLICY" => {
            // The policy of aws/ebs allows nobody to change it; the test allows it to reach the
            // refusal.
            let key = bench
                .sandbox
                .edit(|aws| aws.aws_ebs_key("222222222222", "us-west-2"));
            let policy = naming("arn:aws:iam::222222222222:root");
            bench.set_key_policy(&key, &policy);
            bench
                .consumer
                .kms("PutKeyPolicy", json!({"KeyId": key, "Policy": policy}))
                .await
        }
        _ => return None,
    })
}

async fn grants(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let unknown = "0".repeat(64);
    let revoke = |id: &str| {
        bench
            .producer
            .kms("RevokeGrant", json!({"KeyId": SOURCE_KEY, "GrantId": id}))
    };
    Some(match name {
        "GRANTEE_INVALID" => {
            let nobody = with(
                grant(),
                "GranteePrincipal",
                json!("arn:aws:iam::222222222222:role/Nobody"),
            );
            bench.producer.kms("CreateGrant", nobody).await
        }
        "GRANT_BEYOND_PARENT" => {
            bench.producer.kms("CreateGrant", grant()).await.ok();
            let with_id = [("ExternalId", "shared-secret")];
            let copier = bench.ferry.assume(COPIER, &with_id).await;
            let more = json!(["Decrypt", "Encrypt"]);
            let beyond = with(grant(), "Operations", more);
            copier.kms("CreateGrant", beyond).await
        }
        "GRANT_LIMIT" => {
            let one = Limits {
                grants_per_key: 1,
                ..Limits::default()
            };
            let bench = Bench::of(world().limits(one));
            bench.producer.kms("CreateGrant", grant()).await.ok();
            bench
                .producer
                .kms("CreateGrant", with(grant(), "Name", json!("another")))
                .await
        }
        "GRANT_NOT_FOUND" => revoke(&unknown).await,
        "GRANT_ID_MALFORMED" => revoke("short").await,
        "GRANT_TOKEN_INVALID" => {
            bench
                .producer
                .kms("RetireGrant", json!({"GrantToken": "guessed"}))
                .await
        }
        "GRANT_DRY_RUN" => {
            bench
                .producer
                .kms("CreateGrant", with(grant(), "DryRun", json!(true)))
                .await
        }
        _ => return None,
    })
}
