//! KMS: policies, grants, and the use of keys.

use serde_json::json;

use crate::refused_keys::grant;
use amiferry_sandbox::Key;

use crate::policies::{allow, document, permit, permit_owner, when};
use crate::worlds::{
    Bench, COPIER, FERRY, ORGANIZATION, PRODUCER, ROOT, SOURCE_KEY, TARGET_KEY, WEST, world,
};

#[tokio::test(start_paused = true)]
async fn a_key_is_found_by_id_arn_and_alias() {
    let bench = Bench::new();
    let alias_arn = "arn:aws:kms:us-west-2:222222222222:alias/amis";
    for name in ["target", TARGET_KEY, "alias/amis", alias_arn] {
        let answer = bench
            .consumer
            .kms("DescribeKey", json!({"KeyId": name}))
            .await
            .ok()
            .json();
        assert_eq!(answer["KeyMetadata"]["Arn"], TARGET_KEY, "{name}");
        assert_eq!(answer["KeyMetadata"]["KeyManager"], "CUSTOMER");
    }
    let managed = bench
        .consumer
        .kms("DescribeKey", json!({"KeyId": "alias/aws/ebs"}))
        .await
        .ok()
        .json();
    assert_eq!(managed["KeyMetadata"]["KeyManager"], "AWS");
    let aliases = bench
        .consumer
        .kms("ListAliases", json!({}))
        .await
        .ok()
        .json();
    let names: Vec<_> = aliases["Aliases"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|a| a["AliasName"].clone())
        .collect();
    assert_eq!(names, ["alias/amis", "alias/aws/ebs"]);
}

#[tokio::test(start_paused = true)]
async fn an_asymmetric_key_describes_itself_and_encrypts_no_copy() {
    let mut world = world();
    let keys = &mut world.accounts[1].keys;
    keys.push(Key::new(WEST, "mac").spec("HMAC_256"));
    keys.push(Key::new(WEST, "rsa").spec("RSA_2048"));
    keys.push(Key::new(WEST, "importing").state("PendingImport"));
    let bench = Bench::of(world);
    let describe = async |key: &str| {
        let answer = bench.consumer.kms("DescribeKey", json!({"KeyId": key}));
        answer.await.ok().json()["KeyMetadata"].clone()
    };
    let mac = describe("mac").await;
    assert_eq!(
        (&mac["KeySpec"], &mac["KeyUsage"]),
        (&json!("HMAC_256"), &json!("GENERATE_VERIFY_MAC"))
    );
    assert_eq!(mac["MacAlgorithms"], json!(["HMAC_SHA_256"]));
    let rsa = describe("rsa").await;
    assert_eq!(
        (&rsa["KeySpec"], &rsa["KeyUsage"]),
        (&json!("RSA_2048"), &json!("ENCRYPT_DECRYPT"))
    );
    assert_eq!(
        rsa["EncryptionAlgorithms"].as_array().map(Vec::len),
        Some(2)
    );
    let target = describe("target").await;
    assert_eq!(target["EncryptionAlgorithms"], json!(["SYMMETRIC_DEFAULT"]));
    let importing = describe("importing").await;
    assert_eq!(
        (&importing["KeyState"], &importing["Enabled"]),
        (&json!("PendingImport"), &json!(false))
    );
    for key in ["mac", "rsa", "importing"] {
        let id = bench.copy_of(ROOT, &[("KmsKeyId", key)]).await.ok();
        let end = bench
            .end_of(&id.text("snapshotId").expect("a snapshot"))
            .await;
        assert_eq!(
            end,
            (
                "error".to_owned(),
                "Given key ID is not accessible".to_owned()
            )
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_named_grant_is_repeated_only_if_all_of_it_is_equal() {
    let bench = Bench::new();
    let first = bench.producer.kms("CreateGrant", grant()).await.ok().json();
    let again = bench.producer.kms("CreateGrant", grant()).await.ok().json();
    assert_eq!(first["GrantId"], again["GrantId"]);
    assert_ne!(first["GrantToken"], again["GrantToken"]);
    let mut other = grant();
    other["Operations"] = json!(["Decrypt"]);
    let third = bench
        .producer
        .kms("CreateGrant", other.clone())
        .await
        .ok()
        .json();
    assert_ne!(first["GrantId"], third["GrantId"]);
    other.as_object_mut().expect("an object").remove("Name");
    for _ in 0..2 {
        bench.producer.kms("CreateGrant", other.clone()).await.ok();
    }
    assert_eq!(bench.sandbox.grants(SOURCE_KEY).len(), 4);
    let listed = bench
        .producer
        .kms("ListGrants", json!({"KeyId": SOURCE_KEY, "Limit": 3}))
        .await
        .ok()
        .json();
    assert_eq!(
        (
            listed["Grants"].as_array().map(Vec::len),
            &listed["Truncated"]
        ),
        (Some(3), &json!(true))
    );
    let rest = json!({"KeyId": SOURCE_KEY, "Limit": 3, "Marker": listed["NextMarker"]});
    let rest = bench.producer.kms("ListGrants", rest).await.ok().json();
    assert_eq!(
        (rest["Grants"].as_array().map(Vec::len), &rest["Truncated"]),
        (Some(1), &json!(false))
    );
    let one = json!({"KeyId": SOURCE_KEY, "GrantId": first["GrantId"]});
    bench.producer.kms("RevokeGrant", one.clone()).await.ok();
    assert_eq!(
        bench
            .producer
            .kms("RevokeGrant", one)
            .await
            .refusal
            .as_deref(),
        Some("GRANT_NOT_FOUND")
    );
    assert_eq!(bench.sandbox.grants(SOURCE_KEY).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_retired_by_token_or_retiring_principal() {
    let bench = Bench::new();
    let mut body = grant();
    body["RetiringPrincipal"] = json!(FERRY);
    let granted = bench.producer.kms("CreateGrant", body).await.ok().json();
    let named = json!({"KeyId": SOURCE_KEY, "GrantId": granted["GrantId"]});
    assert_eq!(
        bench
            .consumer
            .kms("RetireGrant", named.clone())
            .await
            .refusal
            .as_deref(),
        Some("KMS_ACCESS_DENIED")
    );
    bench.ferry.kms("RetireGrant", named).await.ok();
    let granted = bench.producer.kms("CreateGrant", grant()).await.ok().json();
    bench
        .producer
        .kms("RetireGrant", json!({"GrantToken": granted["GrantToken"]}))
        .await
        .ok();
    assert!(bench.sandbox.grants(SOURCE_KEY).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_foreign_caller_needs_a_grant_and_an_identity_policy() {
    let bench = Bench::new();
    let copier = bench
        .ferry
        .assume(COPIER, &[("ExternalId", "shared-secret")])
        .await;
    let describe = json!({"KeyId": SOURCE_KEY});
    assert_eq!(
        copier.kms("DescribeKey", describe.clone()).await.status,
        400
    );
    bench.producer.kms("CreateGrant", grant()).await.ok();
    copier.kms("DescribeKey", describe.clone()).await.ok();
    bench.set_policies(COPIER, &[]);
    let denied = copier.kms("DescribeKey", describe).await;
    assert!(
        denied.body.contains("no identity-based policy allows"),
        "{denied:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_policy_limits_a_grant() {
    let bench = Bench::new();
    bench.producer.kms("CreateGrant", grant()).await.ok();
    let policy = document(&[allow("ec2:*", "*")]).to_string();
    let limits = [("ExternalId", "shared-secret"), ("Policy", policy.as_str())];
    let copier = bench.ferry.assume(COPIER, &limits).await;
    copier.ec2("DescribeRegions", &[]).await.ok();
    let denied = copier
        .kms("DescribeKey", json!({"KeyId": SOURCE_KEY}))
        .await;
    assert!(
        denied.body.contains("no session policy allows"),
        "{denied:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_policy_is_read_and_replaced_whole() {
    let bench = Bench::new();
    let read = bench
        .consumer
        .kms("GetKeyPolicy", json!({"KeyId": "target"}))
        .await
        .ok()
        .json();
    let mut policy: serde_json::Value =
        serde_json::from_str(read["Policy"].as_str().expect("text")).expect("JSON");
    let statements = policy["Statement"].as_array_mut().expect("a list");
    statements.push(permit(COPIER, "kms:Decrypt"));
    let put = json!({"KeyId": TARGET_KEY, "Policy": policy.to_string()});
    bench.consumer.kms("PutKeyPolicy", put).await.ok();
    assert_eq!(bench.sandbox.key_policy(TARGET_KEY), Some(policy));
    assert_eq!(
        bench
            .sandbox
            .key_policy("arn:aws:kms:us-west-2:222222222222:key/none"),
        None
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_policy_for_ec2_only_refuses_direct_calls() {
    let bench = Bench::new();
    let uses = json!([
        "kms:DescribeKey",
        "kms:Decrypt",
        "kms:ReEncrypt*",
        "kms:GenerateDataKeyWithoutPlaintext",
    ]);
    let via_ec2 = json!({"StringEquals": {
        "aws:PrincipalOrgID": ORGANIZATION, "kms:ViaService": "ec2.us-west-2.amazonaws.com",
    }});
    let for_aws = json!({
        "StringEquals": {"aws:PrincipalOrgID": ORGANIZATION},
        "Bool": {"kms:GrantIsForAWSResource": "true"},
    });
    let policy = document(&[
        permit_owner(PRODUCER),
        when(permit("*", uses), via_ec2),
        when(permit("*", "kms:CreateGrant"), for_aws),
    ]);
    bench.set_key_policy(SOURCE_KEY, &policy);
    let direct = bench
        .consumer
        .kms("DescribeKey", json!({"KeyId": SOURCE_KEY}))
        .await;
    assert_eq!(direct.refusal.as_deref(), Some("KMS_ACCESS_DENIED"));
    assert_eq!(
        bench
            .consumer
            .kms("CreateGrant", grant())
            .await
            .refusal
            .as_deref(),
        Some("KMS_ACCESS_DENIED")
    );
    let id = bench.copy().await;
    assert_eq!(bench.end_of(&id).await.0, "completed");
}
