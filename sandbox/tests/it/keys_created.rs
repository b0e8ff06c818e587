//! Keys that calls create, list and schedule for deletion.

use serde_json::{Value, json};

use crate::policies::{allow, document, permit, permit_owner};
use crate::worlds::{Bench, CONSUMER, COPIER, OWN, PRODUCER, SOURCE_KEY, TARGET_KEY};

const NOBODY: &str = "arn:aws:iam::222222222222:user/nobody";

async fn created(bench: &Bench, body: Value) -> String {
    let answer = bench.consumer.kms("CreateKey", body).await.ok().json();
    let arn = answer["KeyMetadata"]["Arn"].as_str();
    arn.expect("an ARN").to_owned()
}

fn refusal(answer: &crate::client::Answer) -> Option<&str> {
    answer.refusal.as_deref()
}

#[tokio::test(start_paused = true)]
async fn a_new_key_has_the_default_policy_and_encrypts_copies() {
    let bench = Bench::new();
    let tags = json!([{"TagKey": "run", "TagValue": "one"}, {"TagKey": "a", "TagValue": ""}]);
    let body = json!({"Description": "for tests", "Tags": tags});
    let answer = bench.consumer.kms("CreateKey", body).await.ok().json();
    let metadata = &answer["KeyMetadata"];
    assert_eq!(metadata["KeyState"], "Enabled");
    assert_eq!(metadata["KeySpec"], "SYMMETRIC_DEFAULT");
    assert_eq!(metadata["Description"], "for tests");
    let arn = metadata["Arn"].as_str().expect("an ARN");
    let policy = bench.sandbox.key_policy(arn).expect("a policy");
    let statement = &policy["Statement"][0];
    assert_eq!(statement["Sid"], "Enable IAM User Permissions");
    assert_eq!(
        statement["Principal"]["AWS"],
        "arn:aws:iam::222222222222:root"
    );
    let listed = json!({"KeyId": arn, "Limit": 1});
    let answer = bench.consumer.kms("ListResourceTags", listed).await;
    let answer = answer.ok().json();
    let first = json!([{"TagKey": "a", "TagValue": ""}]);
    assert_eq!(
        (&answer["Tags"], &answer["Truncated"]),
        (&first, &json!(true))
    );
    let listed = json!({"KeyId": arn, "Marker": answer["NextMarker"]});
    let answer = bench.consumer.kms("ListResourceTags", listed).await;
    assert_eq!(answer.ok().json()["Tags"][0]["TagKey"], "run");
    let copy = bench.copy_of(OWN, &[("KmsKeyId", arn)]).await.ok();
    let copy = copy.text("snapshotId").expect("a copy");
    assert_eq!(bench.end_of(&copy).await.0, "completed");
}

#[tokio::test(start_paused = true)]
async fn a_new_key_takes_a_policy_that_leaves_the_caller_in() {
    let bench = Bench::new();
    let own = document(&[permit_owner(CONSUMER), permit(COPIER, "kms:Decrypt")]);
    let body = json!({"Policy": own.to_string()});
    let arn = created(&bench, body).await;
    assert_eq!(bench.sandbox.key_policy(&arn), Some(own));
    let keys = async || {
        let answer = bench.consumer.kms("ListKeys", json!({})).await;
        answer.ok().json()["Keys"].as_array().map(Vec::len)
    };
    let before = keys().await;
    let lockout = document(&[permit(COPIER, "kms:*")]).to_string();
    let nowhere = document(&[permit("arn:aws:iam::222222222222:role/None", "kms:*")]);
    for (policy, name) in [
        (lockout.clone(), "POLICY_LOCKOUT"),
        (nowhere.to_string(), "POLICY_UNKNOWN_PRINCIPAL"),
        ("{".to_owned(), "POLICY_MALFORMED"),
    ] {
        let answer = bench.consumer.kms("CreateKey", json!({"Policy": policy}));
        assert_eq!(refusal(&answer.await), Some(name));
    }
    assert_eq!(keys().await, before);
    let bypass = json!({"Policy": lockout, "BypassPolicyLockoutSafetyCheck": true});
    created(&bench, bypass).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_modelled_is_not_created() {
    let bench = Bench::new();
    for (body, name) in [
        (json!({"KeySpec": "RSA_2048"}), "NOT_IMPLEMENTED"),
        (json!({"MultiRegion": true}), "NOT_IMPLEMENTED"),
        (json!({"Tags": [{"Key": "a"}]}), "NOT_IMPLEMENTED"),
        (json!({"Tags": ["a"]}), "KMS_VALIDATION"),
        (json!({"Tags": [{"TagValue": "a"}]}), "KMS_VALIDATION"),
        (json!({"Tags": [{"TagKey": "aws:a"}]}), "KEY_TAGS"),
    ] {
        let answer = bench.consumer.kms("CreateKey", body.clone()).await;
        assert_eq!(refusal(&answer), Some(name), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_created_and_tagged_by_identity_policies_only() {
    let bench = Bench::new();
    let any_key = "arn:aws:kms:us-west-2:222222222222:key/*";
    let plain = json!({});
    let tagged = json!({"Tags": [{"TagKey": "run", "TagValue": "one"}]});
    let create = allow("kms:CreateKey", "*");
    for (statement, body, status) in [
        (allow("kms:ListKeys", "*"), &plain, 400),
        (allow("kms:CreateKey", any_key), &plain, 400),
        (create.clone(), &plain, 200),
        (create.clone(), &tagged, 400),
        (allow("kms:TagResource", any_key), &tagged, 200),
    ] {
        let policy = document(&[create.clone(), statement.clone()]);
        let policy = match status {
            400 => document(&[statement]),
            _ => policy,
        };
        bench.set_policies(NOBODY, &[&policy.to_string()]);
        let answer = bench.nobody.kms("CreateKey", body.clone()).await;
        assert_eq!(answer.status, status, "{policy}: {answer:?}");
    }
    bench.set_policies(NOBODY, &[]);
    let listed = bench.nobody.kms("ListKeys", json!({})).await;
    assert_eq!(refusal(&listed), Some("KMS_ACCESS_DENIED"));
    for operation in ["ListResourceTags", "ScheduleKeyDeletion"] {
        let of_target = json!({"KeyId": TARGET_KEY});
        let answer = bench.nobody.kms(operation, of_target).await;
        assert_eq!(refusal(&answer), Some("KMS_ACCESS_DENIED"));
        let foreign = json!({"KeyId": SOURCE_KEY});
        let answer = bench.consumer.kms(operation, foreign).await;
        assert_eq!(refusal(&answer), Some("KEY_FOREIGN"), "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_listed_page_by_page() {
    let bench = Bench::new();
    let more = created(&bench, json!({})).await;
    let first = bench.consumer.kms("ListKeys", json!({"Limit": 1})).await;
    let first = first.ok().json();
    assert_eq!(first["Truncated"], true);
    let rest = json!({"Marker": first["NextMarker"]});
    let rest = bench.consumer.kms("ListKeys", rest).await.ok().json();
    let all = [&first["Keys"][0]["KeyArn"], &rest["Keys"][0]["KeyArn"]];
    assert!(all.contains(&&json!(more)) && all.contains(&&json!(TARGET_KEY)));
    assert_eq!(rest["Truncated"], false);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_pending_deletion_cannot_be_used() {
    let bench = Bench::new();
    let arn = created(&bench, json!({})).await;
    for days in [6, 31] {
        let body = json!({"KeyId": arn, "PendingWindowInDays": days});
        let answer = bench.consumer.kms("ScheduleKeyDeletion", body).await;
        assert_eq!(refusal(&answer), Some("KMS_VALIDATION"), "{days}");
    }
    let copy = bench.copy_of(OWN, &[("KmsKeyId", &arn)]).await.ok();
    let copy = copy.text("snapshotId").expect("a copy");
    assert_eq!(bench.end_of(&copy).await.0, "completed");
    let body = json!({"KeyId": arn, "PendingWindowInDays": 7});
    let answer = bench.consumer.kms("ScheduleKeyDeletion", body.clone());
    let answer = answer.await.ok().json();
    assert_eq!(answer["KeyState"], "PendingDeletion");
    assert_eq!(answer["PendingWindowInDays"], 7);
    let describe = json!({"KeyId": arn});
    let described = bench.consumer.kms("DescribeKey", describe).await;
    let described = described.ok().json();
    let date = &described["KeyMetadata"]["DeletionDate"];
    assert_eq!(date, &answer["DeletionDate"]);
    let copy = bench.copy_of(&copy, &[]).await.ok();
    let copy = copy.text("snapshotId").expect("a copy");
    let end = bench.end_of(&copy).await;
    assert_eq!(end.1, "Given key ID is not accessible");
    let again = bench.consumer.kms("ScheduleKeyDeletion", body).await;
    assert_eq!(refusal(&again), Some("KEY_INVALID_STATE"));
    // The policy of a key alone allows its deletion to nobody but the account.
    bench.set_key_policy(TARGET_KEY, document(&[permit_owner(PRODUCER)]));
    let other = json!({"KeyId": TARGET_KEY});
    let answer = bench.consumer.kms("ScheduleKeyDeletion", other).await;
    assert_eq!(refusal(&answer), Some("KMS_ACCESS_DENIED"));
}
